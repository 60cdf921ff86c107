"""`keyapi crawl` and `keyapi export`, as they are typed."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from keyapi_async.crawl.summary import summarize

from keyapi_async.cli import main, watch
from keyapi_async.cli.crawling import age
from keyapi_async.cli.export import moment
from keyapi_async.cli.watch import State, Watch, span, summary_lines
from keyapi_async.crawl import Progress
from keyapi_async.crawl import store as store_module
from keyapi_async.crawl.store import opened
from keyapi_async.sandbox import Fault, Recorded, Sandbox
from keyapi_async.usage import RequestEvent

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        monkeypatch.setenv("KEYAPI_TOKEN", sandbox.api_key)
        monkeypatch.setenv("KEYAPI_BASE_URL", sandbox.url)
        yield sandbox


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command line in an empty folder: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def run(line: str, *more: str) -> tuple[int, str, str]:
        code = main([*line.split(), *more])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


CRAWL = "crawl hashtags --region US --region GB -o t.sqlite --rate inf"


# -- the plan ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            "hashtags --region US --region GB --period 7 --period 30 --industry 22000000000",
            "hashtags: 4 queries\n4 queries, about 20 pages, 40 credits",
        ),
        (
            "hashtags videos music --every-region",
            "hashtags: 71 queries\nvideos: 25 queries\nmusic: 71 queries\n"  # noqa: ISC004
            "167 queries, about 1335 pages, 2670 credits",
        ),
        (
            "videos --order-by vv --order-by like --max-items 30",
            "videos: 2 queries\n2 queries, about 4 pages, 8 credits",
        ),
        (
            "music --keyword a --keyword b --commercial-music --with-details --max-pages 1",
            "music: 2 queries\n2 queries, about 2 pages and 40 details, 84 credits",
        ),
        ("hashtags --new-to-top-100", "hashtags: 1 queries\n1 queries, about 5 pages, 10 credits"),
    ],
)
def test_simulate_tells_what_it_takes_and_needs_no_key(line: str, told: str, run: Run) -> None:
    code, out, err = run(f"crawl {line} -s")
    assert (code, err) == (0, "")
    assert out == f"{told} if lists are as long as usual\n"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("", "nothing to crawl: name endpoints"),
        ("hashtags", "-o FILE is needed"),
        ("sounds -s", "Invalid value"),
        ("hashtags --order-by vv -s", "--order-by says nothing about hashtags"),
        ("-i plan.jsonl --region US -s", "--region says nothing about what comes from a file"),
        ("hashtags --region US --every-region -s", "--every-region needs an endpoint"),
        ("-i plan.jsonl --every-region -s", "--every-region needs an endpoint"),
        ("hashtags --region= -s", "--region must be a non-empty text"),
        ("hashtags --period 8 -s", "--period"),
        ("hashtags --max-items -1 -s", "--max-items must be a whole number of at least 0"),
        ("hashtags --max-pages 1.5 -s", "--max-pages"),
        ("hashtags --resume t.sqlite", "--resume takes plan and limits from the file"),
        ("--resume t.sqlite -o u.sqlite", "--resume takes plan and limits from the file"),
        (
            "music --resume t.sqlite -o u.sqlite --max-items 0 --region US --industry 1 -i -",
            (
                "--resume takes plan and limits from the file: "
                "leave out music --region --industry-id --input --max-items --output"
            ),
        ),
        (
            "music --status t.sqlite -o u.sqlite --period 7 --extend --keep-going --rate 2 -q -v",
            (
                "--status only looks at a file: "
                "leave out music --period --output --extend --keep-going --rate"
            ),
        ),
        ("-i empty.jsonl -o t.sqlite", "empty.jsonl holds no query"),
        ("music -i empty.jsonl -o t.sqlite", "empty.jsonl holds no query"),
        ("-i latin.jsonl -o t.sqlite", "latin.jsonl, line 2: is not UTF-8"),
        ("hashtags -o t.sqlite --fresh-within 1", "must be an age such as 90m, 24h or 7d, not '1'"),
        ("-i bad.jsonl -s", "bad.jsonl, line 1: Expecting value"),
        (
            "hashtags -o t.sqlite --concurrency 0",
            "--concurrency must be a whole number of at least 1",
        ),
        ("hashtags -o t.sqlite --log-json -v", "--verbose would put plain lines between"),
    ],
)
def test_usage(line: str, problem: str, run: Run, sandbox: Sandbox) -> None:
    Path("plan.jsonl").write_text('{"endpoint": "music"}')
    Path("bad.jsonl").write_text("nonsense")
    Path("empty.jsonl").write_text("\n \n")
    music = '{"endpoint": "music", "search_keyword": "%s"}\n'
    Path("latin.jsonl").write_bytes((music % "a" + music % "\xe9").encode("latin-1"))
    code, out, err = run(f"crawl {line}")
    assert (code, out) == (2, "")
    assert problem in err
    assert not sandbox.requests
    assert len(list(Path.cwd().iterdir())) == 4  # the plans: nothing was made


def test_a_plan_from_a_file_or_a_pipe(
    run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("plan.jsonl").write_text('{"endpoint": "music", "region": "GB"}\n', encoding="utf-8-sig")
    code, out, _ = run("crawl videos -i plan.jsonl -s")
    assert (code, out.splitlines()[:2]) == (0, ["videos: 1 queries", "music: 1 queries"])
    with Path("plan.jsonl").open() as lines:
        monkeypatch.setattr(sys, "stdin", lines)
        assert run("crawl -i - -o t.sqlite --rate inf -q") == (0, "", "")
    assert len(sandbox.requests) == 5
    code, _, err = run("crawl -i no.jsonl -s")
    assert (code, err) == (1, "keyapi: can't read no.jsonl: No such file or directory\n")
    Path("plan.jsonl").write_text("")
    with Path("plan.jsonl").open() as lines:
        monkeypatch.setattr(sys, "stdin", lines)
        assert run("crawl -i - -s") == (2, "", "keyapi: standard input holds no query\n")


# -- a run -------------------------------------------------------------------------------------


def test_a_crawl_and_the_same_again(run: Run, sandbox: Sandbox) -> None:
    code, out, err = run(CRAWL)
    assert (code, out) == (0, "")
    assert "t.sqlite: snapshot 1: 2 lists" in err
    assert "2 of 2 lists done, 0 failed; 200 items on 10 pages, 0 duplicates dropped" in err
    assert (
        "10 requests, 0 retries, 0 refused (429); 20 credits, 0 more at risk; started once" in err
    )
    code, out, err = run(CRAWL)
    assert (code, out) == (0, "")
    assert err == (
        "keyapi: t.sqlite: snapshot 1 is finished: 2 of 2 lists are done; nothing to do "
        "(--fresh-within fetches anew)\n"
    )
    assert run(CRAWL + " -q") == (0, "", "")
    assert run("crawl --resume t.sqlite -q") == (0, "", "")
    assert run(CRAWL + " --fresh-within 24h -q") == (0, "", "")
    assert len(sandbox.requests) == 10
    code, _, err = run(CRAWL + " --fresh-within 0s")
    assert (code, "t.sqlite: snapshot 2: 2 lists" in err) == (0, True)
    assert len(sandbox.requests) == 20


def test_a_budget_is_exact_and_the_rest_comes_later(run: Run, sandbox: Sandbox) -> None:
    code, _, err = run(CRAWL + " --max-credits 14")
    assert (code, sandbox.credits_spent) == (5, 14)
    assert "keyapi: go on with: keyapi crawl --resume t.sqlite\n" in err
    assert "one more request could pass --max-credits 14: 1" in err
    code, out, _ = run(CRAWL + " -s")
    assert (code, out.splitlines()[-1][:26]) == (0, "2 queries, about 3 pages, ")
    code, _, err = run("crawl --resume t.sqlite --rate inf")
    assert (code, sandbox.credits_spent) == (0, 20)
    assert "snapshot 1: 0 of 2 lists are done, 7 pages (14 credits) are not paid again" in err
    code, out, _ = run(CRAWL + " -s")
    assert out.startswith("2 queries are done already\n0 queries, about 0 pages, 0 credits")


def test_status(run: Run, sandbox: Sandbox) -> None:
    sandbox.fail(Fault.status(404), page=2)
    code, _, err = run(CRAWL + " --keep-going")
    assert code == 3
    code, out, _ = run("crawl --status t.sqlite")
    assert code == 0
    assert re.search(
        r"^t.sqlite: snapshot 1 of .*: finished, but for what failed$", out, re.MULTILINE
    )
    assert "1 of 2 lists done, 1 failed; 120 items on 6 pages" in out
    assert "failed: hashtags region=" in out
    assert [line.removeprefix("keyapi: ") for line in err.splitlines()][1:-1] == out.splitlines()
    code, _, err = run("crawl --status no.sqlite")
    assert (code, "there is no such file" in err) == (1, True)


def test_failed_lists(run: Run, sandbox: Sandbox) -> None:
    sandbox.fail(Fault.status(404), page=2)
    code, _, err = run(CRAWL + " --concurrency 1")
    assert code == 1
    assert "404 Not Found" in err
    assert "keyapi: go on with: keyapi crawl --resume t.sqlite --retry-failed\n" in err
    assert len(sandbox.requests) == 2  # the other list was not begun
    code, _, err = run(CRAWL)
    assert code == 3
    assert "0 of 2 lists are done and 1 failed (--retry-failed tries them again)" in err
    assert "1 of 2 lists failed; try them again with: keyapi crawl --resume t.sqlite" in err
    assert run(CRAWL)[0] == 3
    assert run("crawl --resume t.sqlite --retry-failed --rate inf -q") == (0, "", "")
    assert sandbox.credits_spent == 20


@pytest.mark.parametrize(("status", "code"), [(401, 4), (402, 5)])
def test_key_and_credits_stop_it_at_once(
    status: int, code: int, run: Run, sandbox: Sandbox
) -> None:
    sandbox.fail(Fault.status(status), times=None)
    assert (
        run("crawl videos music --every-region -o t.sqlite --concurrency 4 --keep-going")[0] == code
    )
    assert len(sandbox.requests) <= 4


def test_a_full_disk(run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = store_module.connect

    def small(path: Path, *, create: bool = False) -> sqlite3.Connection:
        connection = connect(path, create=create)
        connection.execute("PRAGMA max_page_count = 20")
        return connection

    monkeypatch.setattr(store_module, "connect", small)
    code, _, err = run(CRAWL)
    assert code == 1
    assert err.splitlines()[-1].startswith("keyapi: t.sqlite: the disk is full; what was stored")


def test_without_a_key(run: Run) -> None:
    assert run("crawl videos -o t.sqlite")[0] == 4
    assert not Path("t.sqlite").exists()


def test_a_changed_plan(run: Run, sandbox: Sandbox) -> None:
    run(CRAWL)
    code, _, err = run("crawl hashtags --region US -o t.sqlite")
    assert (code, "no longer there: hashtags region=GB" in err) == (1, True)
    code, _, err = run("crawl music -o t.sqlite --extend --rate inf")
    assert (code, "2 of 3 lists are done" in err) == (0, True)
    assert len(sandbox.requests) == 15


def test_json_log(run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "EVERY", 0.0)
    sandbox.fail(Fault.status(404), page=2)
    code, _, err = run(CRAWL + " --log-json --keep-going --max-credits 1000")
    assert code == 3
    first, *progress, summary, end = map(json.loads, err.splitlines())
    del first["time"], end["time"]
    assert first == {
        "event": "snapshot",
        "message": "t.sqlite: snapshot 1: 2 lists",
        "file": "t.sqlite",
        "snapshot": 1,
    }
    assert progress
    for state in progress:
        assert state["event"] == "progress"
        assert set(State.__annotations__) <= state.keys()
    assert summary["event"] == "summary"
    assert summary["items"] == 120
    assert summary["failures"][0]["query"].startswith("hashtags region=")
    assert end == {
        "event": "end",
        "message": "1 of 2 lists failed; "
        "try them again with: keyapi crawl --resume t.sqlite --retry-failed",
        "exit_code": 3,
    }


@pytest.mark.parametrize(
    ("line", "code", "events"),
    [
        (CRAWL + " --max-credits 4 --log-json", 5, ["snapshot", "summary", "resume", "end"]),
        (CRAWL + " --sandbox --log_json", 0, ["sandbox", "snapshot", "summary"]),
        ("crawl sounds --log-json", 2, ["end"]),
    ],
)
def test_every_line_of_a_json_log_is_json(
    line: str, code: int, events: list[str], run: Run, sandbox: Sandbox
) -> None:
    got, out, err = run(line)
    told = [json.loads(text) for text in err.splitlines()]
    assert (got, out, [one["event"] for one in told]) == (code, "", events)
    for one in told:
        assert one["event"] == "summary" or not one["message"].startswith("keyapi")
    if code:
        assert told[-1]["exit_code"] == code


def test_plain_lines_and_the_sandbox_within(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "EVERY", 0.01)
    code, _, err = run("crawl videos -o t.sqlite --sandbox --rate 200 --max-credits 100")
    assert code == 0
    assert err.startswith("keyapi: asking a sandbox: the data is made up")
    assert re.search(r"0 of 1 lists · \d+ items · [\d.]+ of 200 requests/s · \d+ of 100 cred", err)


def test_a_live_line_on_a_terminal(
    run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    code, _, err = run(CRAWL)
    assert code == 0
    assert "of 2 lists · " in err


# -- signals -----------------------------------------------------------------------------------


class Tripwire(list[Recorded]):
    """Sends a signal with the n-th request, and perhaps another with the next."""

    def __init__(self, pid: int, number: int, times: int, at: int) -> None:
        self.pid, self.number, self.times, self.at = pid, number, times, at

    def append(self, record: Recorded) -> None:
        super().append(record)
        if len(self) >= self.at and self.times:
            self.times -= 1
            os.kill(self.pid, self.number)


VIDEOS = "crawl videos --rate inf --region US --region GB -o t.sqlite"
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals are of POSIX")


@POSIX
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("times", [1, 2])
def test_signals_end_it_in_good_order(number: int, times: int, run: Run, sandbox: Sandbox) -> None:
    sandbox._ledger.requests = Tripwire(os.getpid(), number, times, 9)
    code, _, err = run(VIDEOS)
    assert code == 130
    last = "keyapi: interrupted; go on with: keyapi crawl --resume t.sqlite"
    assert err.splitlines()[-1] == last
    check_interrupted(Path("t.sqlite"), sandbox, lost=2 if times == 2 else 0)


@POSIX
@pytest.mark.parametrize("more", [[], ["--keep-going"]])
@pytest.mark.parametrize("page", [3, 25])
def test_a_request_that_fails_after_the_signal(
    page: int, more: list[str], run: Run, sandbox: Sandbox
) -> None:
    """Nor does it matter whether that was the last one."""
    sandbox._ledger.requests = Tripwire(os.getpid(), signal.SIGINT, 1, page)
    sandbox.fail(Fault.status(404), page=page)
    line = "crawl videos --rate inf -o t.sqlite --concurrency 1 --region US --region GB"
    code, _, err = run(line, *more)
    assert code == 130
    last = err.splitlines()[-1]
    assert last.startswith("keyapi: interrupted; go on with: keyapi crawl --resume t.sqlite")
    words = last.partition("go on with: keyapi ")[2]
    assert run(words, "--rate", "inf", "-q") == (0, "", "")
    assert sandbox.credits_spent == 100


@POSIX
def test_a_full_disk_is_told_whatever_came_before(
    run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = store_module.connect

    def small(path: Path, *, create: bool = False) -> sqlite3.Connection:
        connection = connect(path, create=create)
        ((pages,),) = connection.execute("PRAGMA page_count").fetchall()
        connection.execute(f"PRAGMA max_page_count = {pages + 3}")
        return connection

    monkeypatch.setattr(store_module, "connect", small)
    sandbox._ledger.requests = Tripwire(os.getpid(), signal.SIGINT, 1, 1)
    code, _, err = run(CRAWL)
    assert code == 1
    assert err.splitlines()[-1].startswith("keyapi: t.sqlite: the disk is full; what was stored")


@POSIX
def test_a_signal_to_the_process(tmp_path: Path, sandbox: Sandbox) -> None:
    command = [sys.executable, "-m", "keyapi_async.cli", *VIDEOS.replace("t.sqlite", "").split()]
    process = subprocess.Popen(
        [*command, "t t.sqlite"], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    sandbox._ledger.requests = Tripwire(process.pid, signal.SIGTERM, 1, 9)
    _, err = process.communicate()
    assert process.returncode == 130
    assert err.splitlines()[-1].endswith("keyapi crawl --resume 't t.sqlite'")
    check_interrupted(tmp_path / "t t.sqlite", sandbox, lost=0)


def check_interrupted(file: Path, sandbox: Sandbox, lost: int) -> None:
    """What was paid for is stored, but for what was given up; the rest comes at no extra cost."""
    with closing(sqlite3.connect(file)) as db:
        ((stored,),) = db.execute("SELECT count(*) FROM pages").fetchall()
        assert db.execute("SELECT count(*) FROM runs WHERE ended_at IS NULL").fetchall() == [(0,)]
    assert stored <= len(sandbox.requests) <= stored + lost
    assert main(["crawl", "--resume", str(file), "--rate", "inf", "-q"]) == 0
    assert 100 <= sandbox.credits_spent <= 100 + 2 * lost


# -- export ------------------------------------------------------------------------------------


def test_export(run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    run(CRAWL)
    folder = Path.cwd()
    assert run("export t.sqlite -o out.jsonl") == (
        0,
        "",
        f"keyapi: {folder}/out.jsonl: 200 items\n",
    )
    assert run("export t.sqlite -o out.parquet -q") == (0, "", "")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", io.StringIO())
        assert main(["export", "t.sqlite", "-o", "-"]) == 0
    code, out, err = run("export t.sqlite -o - --region GB --period 7 --endpoint hashtags")
    assert (code, err, len(out.splitlines())) == (0, "", 100)
    code, out, err = run("export t.sqlite -o - --since 1h --until 2999-01-01 --all-snapshots")
    assert (code, len(out.splitlines())) == (0, 200)
    assert run("export t.sqlite -o - --until 2020-01-01")[:2] == (0, "")
    assert run("export t.sqlite -o out.xlsx")[0] == 2
    assert run("export t.sqlite -o - --since yesterday")[0] == 2
    assert run("export no.sqlite -o -")[0] == 1


def test_an_export_of_an_unfinished_snapshot_says_so(run: Run, sandbox: Sandbox) -> None:
    run(CRAWL + " --max-credits 4")
    code, out, err = run("export t.sqlite -o -")
    assert (code, len(out.splitlines())) == (0, 40)
    assert err == "keyapi: t.sqlite: snapshot 1 is unfinished: 0 of 2 lists are done\n"


# -- small things ------------------------------------------------------------------------------


def test_ages_and_moments() -> None:
    assert [age(text) for text in ("90m", "1.5h", "7d", "2w", "0s")] == [
        5400,
        5400,
        604800,
        1209600,
        0,
    ]
    assert moment("2026-11-21") == moment("2026-11-21T00:00:00Z") == 1795219200
    assert moment("2026-11-21T01:00+01:00") == 1795219200
    with pytest.raises(ValueError, match="must be an age"):
        age("-1h")
    with pytest.raises(ValueError, match="must be a date or time such as"):
        moment("never")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (119, "119 s"), (150, "2 min"), (7199, "119 min"), (9000, "2 h 30 min")],
)
def test_spans(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_a_line_tells_all_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(watch.time, "monotonic", lambda: now[0])
    progress = Progress(queries=9, done=3, failed=1, pages=10, pages_expected=40, items=80)
    progress.duplicates = 2
    told = Watch(progress, "plain", 500)
    told.usage.pace = 12.0
    for _ in range(30):
        now[0] += 1.0
        told.usage.requests += 10
        told.state()
    told.usage.credits_spent, told.usage.retries = 600, 4
    event = RequestEvent(
        kind="pause", path="/p", params={}, attempt=1, pace=12.0, error="RateLimitError", wait=7.0
    )
    told.on_event(event)
    assert told.state().text() == (
        "3 of 9 lists · 1 failed · 80 items · 2 duplicates · 10.0 of 12 requests/s · "
        "600 of 500 credits · 4 retries · waiting 7 s: rate limit · 3 s left"
    )
    now[0] += 8.0
    assert "waiting" not in told.state().text()


def test_many_failures_are_counted(run: Run, sandbox: Sandbox) -> None:
    sandbox.fail(Fault.status(404), times=None)
    code, _, err = run("crawl videos --every-region -o t.sqlite --keep-going --rate inf")
    assert code == 3
    assert "keyapi: and 15 more that failed" in err
    with opened(Path("t.sqlite")) as store:
        assert len(summary_lines(summarize(store), "t.sqlite")) == 3 + 10 + 1
