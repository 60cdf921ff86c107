"""`keyapi crawl`, as it is typed."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from keyapi_async import RetryPolicy
from keyapi_async.cli import display as display_module
from keyapi_async.cli import main
from keyapi_async.cli.signals import SIGNALS
from keyapi_async.crawl import CrawlFile, database
from keyapi_async.sandbox import Fault, Sandbox
from tests.cli.command_line import CRAWL, Run, Tripwire


def test_a_crawl_and_the_same_again(run: Run, sandbox: Sandbox) -> None:
    code, out, err = run(CRAWL)
    assert (code, out) == (0, "")
    assert "t.sqlite: snapshot 1: 2 lists\n" in err
    assert "2 of 2 lists done, 0 failed; 200 items on 10 pages, 0 duplicates dropped" in err
    assert "10 requests, 0 retries, 0 refused (429); 20 credits, 0 more at risk; 1 run, " in err
    code, out, err = run(CRAWL)
    assert (code, out) == (0, "")
    assert err == (
        "keyapi: t.sqlite: snapshot 1 is finished: 2 of 2 lists done; nothing to do "
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
    assert "incomplete" not in err
    code, out, _ = run(CRAWL + " -s")
    assert (code, out.splitlines()[-1][:26]) == (0, "2 queries, about 3 pages, ")
    code, _, err = run("crawl --resume t.sqlite --rate inf")
    assert (code, sandbox.credits_spent) == (0, 20)
    assert "snapshot 1: 0 of 2 lists done, 7 pages (14 credits) not paid again" in err
    code, out, _ = run(CRAWL + " -s")
    assert out.startswith("2 queries done already\n0 queries, about 0 pages, 0 credits")


def test_failed_lists(run: Run, sandbox: Sandbox) -> None:
    sandbox.fail(Fault.status(404), page=2)
    code, _, err = run(CRAWL + " --concurrency 1")
    assert code == 1
    assert "404 Not Found" in err
    assert "keyapi: go on with: keyapi crawl --resume t.sqlite --retry-failed\n" in err
    assert len(sandbox.requests) == 2  # the other list was not begun
    code, out, _ = run(CRAWL + " -s")
    assert out.startswith("1 query failed (--retry-failed tries again)\nhashtags: 1 query\n")
    code, _, err = run(CRAWL)
    assert code == 3
    assert "0 of 2 lists done and 1 failed (--retry-failed tries them again)" in err
    assert "1 of 2 lists failed; go on with: keyapi crawl --resume t.sqlite" in err
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


def test_many_failures_are_counted(run: Run, sandbox: Sandbox) -> None:
    sandbox.fail(Fault.status(404), times=None)
    code, _, err = run("crawl videos --every-region -o t.sqlite --keep-going --rate inf")
    assert code == 3
    assert err.count("\nkeyapi: incomplete: videos region=") == 10
    assert "keyapi: and 15 lists more\n" in err
    code, _, err = run("crawl videos --every-region -o t.sqlite --rate inf -q")
    assert (code, err.count("\n")) == (3, 1)
    assert err.startswith("keyapi: 25 of 25 lists failed; go on with: ")


@pytest.mark.slow
def test_an_outage_ends_it_incomplete(
    run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(RetryPolicy, "wait", lambda *_: 0.0)
        patch.setenv("KEYAPI_BASE_URL", "http://127.0.0.1:9")
        code, _, err = run("crawl videos --every-region --max-pages 1 -o t.sqlite --wait-outage 0s")
    assert code == 3
    lines = err.splitlines()
    assert lines[-1].startswith("keyapi: the server was down for 0 s, the last time with: could")
    assert lines[-1].endswith("; go on with: keyapi crawl --resume t.sqlite")
    assert sum(line.endswith(": not finished") for line in lines) == 10
    assert lines[-2] == "keyapi: and 15 lists more"
    assert run("crawl --resume t.sqlite --rate inf -q") == (0, "", "")
    assert len(sandbox.requests) == 25


def test_a_full_disk(run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = database._connect

    def small(path: Path, mode: str) -> sqlite3.Connection:
        connection = connect(path, mode)
        connection.execute("PRAGMA max_page_count = 20")
        return connection

    monkeypatch.setattr(database, "_connect", small)
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
    assert (code, "2 of 3 lists done" in err) == (0, True)
    assert len(sandbox.requests) == 15


def test_a_snapshot_for_each_day(run: Run, sandbox: Sandbox) -> None:
    line = "crawl --daily music -o t.sqlite --rate inf"
    assert run(line)[0] == 0
    assert "nothing to do" in run(line)[2]
    with closing(sqlite3.connect("t.sqlite")) as db:
        db.execute("UPDATE snapshots SET day = date(day, '-1 day'), started_at = started_at - 9e4")
        db.commit()
    assert "snapshot 2: 1 list\n" in run(line)[2]
    assert run("crawl music -o u.sqlite -q --rate inf --daily=Asia/Tokyo")[0] == 0
    assert len(sandbox.requests) == 15


def test_a_snapshot_from_the_future_is_named(run: Run, sandbox: Sandbox) -> None:
    run("crawl music -o t.sqlite --rate inf --daily")
    with closing(sqlite3.connect("t.sqlite")) as db:
        db.execute("UPDATE snapshots SET day = '2999-01-01', started_at = 32472144000")
        db.commit()
    code, _, err = run("crawl music -o t.sqlite --rate inf --daily")
    assert code == 0
    first, second = err.splitlines()[:2]
    assert first == (
        "keyapi: t.sqlite: snapshot 1 was begun in the future, by a clock that was wrong; "
        "it is left alone"
    )
    assert second == "keyapi: t.sqlite: snapshot 2: 1 list"


@pytest.mark.parametrize(("details", "cost"), [("top:3", 16), ("all", 210), ("new", 210)])
def test_details(run: Run, sandbox: Sandbox, details: str, cost: int) -> None:
    assert run(f"crawl hashtags --details {details} -o t.sqlite --rate inf -q") == (0, "", "")
    assert sandbox.credits_spent == cost


def test_a_dry_run_leaves_nothing_behind(run: Run, sandbox: Sandbox) -> None:
    assert run("crawl music -o no.sqlite -s")[0] == 0
    assert run("crawl --resume no.sqlite -s")[0] == 1
    run("crawl music -o t.sqlite --rate inf -q --max-credits 2")
    before = {path.name: path.read_bytes() for path in Path.cwd().iterdir()}
    with closing(sqlite3.connect("t.sqlite-lock", isolation_level=None)) as lock:
        lock.execute("BEGIN EXCLUSIVE")  # as a running crawl has it
        code, out, _ = run("crawl --resume t.sqlite -s")
    assert (code, out) == (
        0,
        "music: 1 query\n1 query, about 4 pages, 8 credits if lists are as long as usual\n",
    )
    assert {path.name: path.read_bytes() for path in Path.cwd().iterdir()} == before
    assert len(sandbox.requests) == 1


# -- what it says ------------------------------------------------------------------------------


@pytest.mark.slow
def test_json_log(run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(display_module.EVERY, "json", 0.0)
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
    assert {state["event"] for state in progress} == {"progress"}
    assert summary["event"] == "summary"
    assert (summary["items"], summary["failed"], summary["complete"]) == (120, 1, False)
    assert summary["failures"][0]["query"].startswith("hashtags region=")
    assert end == {
        "event": "end",
        "message": "1 of 2 lists failed; go on with: keyapi crawl --resume t.sqlite --retry-failed",
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
    assert not any(one["message"].startswith("keyapi") for one in told)
    if code:
        assert told[-1]["exit_code"] == code


def test_plain_lines_and_the_sandbox_within(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(display_module.EVERY, "plain", 0.01)
    code, _, err = run("crawl videos -o t.sqlite --sandbox --rate 200 --max-credits 100")
    assert code == 0
    assert err.startswith("keyapi: asking a sandbox: the data is made up")
    assert re.search(r"\d+/25 pages · 0/1 lists · \d+ items · [\d.]+/200 req/s · \d+/100 cred", err)


def test_a_bar_on_a_terminal(run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setitem(display_module.EVERY, "live", 0.01)
    code, _, err = run("crawl videos --region US --region GB -o t.sqlite --rate inf")
    assert code == 0
    assert re.search(r"/50 pages · \d/2 lists", err)


# -- signals -----------------------------------------------------------------------------------

VIDEOS = "crawl videos --rate inf --region US --region GB -o t.sqlite"


@pytest.mark.parametrize("number", SIGNALS)
def test_signals_end_it_in_good_order(number: int, run: Run, sandbox: Sandbox) -> None:
    sandbox._ledger.requests = Tripwire(os.getpid(), number, 1, 9)
    code, _, err = run(VIDEOS)
    assert code == 130
    told = err.splitlines()
    stop = r"keyapi: stopping: 5 s for what is under way, which may cost up to [24] credits; a se"
    assert re.match(stop, told[1])
    assert told[-1] == "keyapi: interrupted; go on with: keyapi crawl --resume t.sqlite"
    check_interrupted(Path("t.sqlite"), sandbox, lost=0)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_second_signal_gives_up_what_does_not_come(
    number: int, run: Run, sandbox: Sandbox
) -> None:
    sandbox.fail(Fault.stall(), page=3, times=2)
    sandbox._ledger.requests = Tripwire(os.getpid(), number, 1, 6)
    second = threading.Timer(1.0, os.kill, (os.getpid(), number))
    second.start()
    code, _, err = run(VIDEOS)
    second.join()
    assert (code, len(sandbox.requests)) == (130, 6)
    told = err.splitlines()
    assert "keyapi: what is under way is given up; it may have cost up to 4 credits" in told
    assert any("; 8 credits, 4 more at risk; " in line for line in told)
    check_interrupted(Path("t.sqlite"), sandbox, lost=2)


@pytest.mark.parametrize("more", [[], ["--keep-going"]])
@pytest.mark.parametrize("page", [3, 25])
def test_a_request_that_fails_after_the_signal(
    page: int, more: list[str], run: Run, sandbox: Sandbox
) -> None:
    """Nor does it matter whether that was the last one."""
    sandbox._ledger.requests = Tripwire(os.getpid(), SIGNALS[0], 1, page)
    sandbox.fail(Fault.status(404), page=page)
    line = "crawl videos --rate inf -o t.sqlite --concurrency 1 --region US --region GB"
    code, _, err = run(line, *more)
    assert code == 130
    last = err.splitlines()[-1]
    assert last.startswith("keyapi: interrupted; go on with: keyapi crawl --resume t.sqlite")
    words = last.partition("go on with: keyapi ")[2]
    assert run(words, "--rate", "inf", "-q") == (0, "", "")
    assert sandbox.credits_spent == 100


def test_a_full_disk_is_told_whatever_came_before(
    run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = database._connect

    def small(path: Path, mode: str) -> sqlite3.Connection:
        connection = connect(path, mode)
        connection.execute("PRAGMA max_page_count = 20")
        return connection

    monkeypatch.setattr(database, "_connect", small)
    sandbox._ledger.requests = Tripwire(os.getpid(), SIGNALS[0], 1, 1)
    code, _, err = run(CRAWL)
    assert code == 1
    assert err.splitlines()[-1].startswith("keyapi: t.sqlite: the disk is full; what was stored")


def check_interrupted(file: Path, sandbox: Sandbox, lost: int) -> None:
    """What was paid for is stored, but for what was given up; the rest comes at no extra cost."""
    summary = CrawlFile(file).status()
    with closing(sqlite3.connect(file)) as db:
        assert db.execute("SELECT count(*) FROM runs WHERE ended_at IS NULL").fetchall() == [(0,)]
    assert summary.pages <= len(sandbox.requests) <= summary.pages + lost
    assert main(["crawl", "--resume", str(file), "--rate", "inf", "-q"]) == 0
    assert 100 <= sandbox.credits_spent <= 100 + 2 * lost
