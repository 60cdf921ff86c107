"""What `keyapi` prints and writes, within this process and over real sockets."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import FAST, lines

from keyapi_async.cli import main, progress
from keyapi_async.cli.output import Sink
from keyapi_async.sandbox import Fault, Sandbox


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Run the command with both standard outputs on one terminal of 80 columns."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_INTERACTIVE", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str) -> str:
        screen = Terminal()
        with monkeypatch.context() as patch:  # here, as pytest's capture patches these as well
            patch.setattr(sys, "stdout", screen)
            patch.setattr(sys, "stderr", screen)
            assert main(arguments) == 0
        return screen.getvalue()

    return run


def hashtags_body(*names: str, has_more: bool = False) -> bytes:
    items = [{"hashtag_id": str(i), "hashtag_name": name} for i, name in enumerate(names)]
    pagination = {"page": 1, "size": 20, "total": len(items), "has_more": has_more}
    data = {"list": items, "pagination": pagination}
    return json.dumps({"code": 0, "message": "success", "data": data}).encode()


# JSON lines


@pytest.mark.parametrize(("limit", "pages"), [(0, 0), (1, 1), (20, 1), (21, 2), (47, 3), (500, 5)])
def test_limit_is_exact(sandbox: Sandbox, capsys: Any, limit: int, pages: int) -> None:
    assert main(["hashtags", "--limit", str(limit), *FAST]) == 0
    out, err = capsys.readouterr()
    assert lines(out) == sandbox.items("hashtags")[:limit]
    assert (len(sandbox.requests), sandbox.credits_spent) == (pages, 2 * pages)
    assert err == ""


@pytest.mark.parametrize(
    ("command", "path", "options", "wire"),
    [
        ("hashtags", "hashtags", "", {}),
        (
            "hashtags",
            "hashtags",
            "--period 120 --region XX --industry-id 25000000000 --new-to-top-100",
            {
                "period": "120",
                "region": "XX",
                "industry_id": "25000000000",
                "new_to_top_100": "true",
            },
        ),
        (
            "videos",
            "videos",
            "--period 30 --region GB --order-by repost",
            {"period": "30", "region": "GB", "order_by": "repost"},
        ),
        (
            "music",
            "music",
            "--search-keyword sun --period=7 --region DE --new-to-top-100 --commercial-music",
            {
                "search_keyword": "sun",
                "region": "DE",
                "new_to_top_100": "true",
                "commercial_music": "true",
            },
        ),
    ],
)
def test_every_filter(
    sandbox: Sandbox, capsys: Any, command: str, path: str, options: str, wire: dict[str, str]
) -> None:
    assert main([command, *options.split(), *FAST]) == 0
    assert lines(capsys.readouterr().out) == sandbox.items(path, **wire)
    assert sandbox.requests[0].params.items() >= wire.items()
    assert sandbox.credits_spent == 2 * len(sandbox.requests)


def test_page_options(sandbox: Sandbox, capsys: Any) -> None:
    arguments = "hashtags --page-size 7 --start-page 3 --limit 15 --prefetch 0"
    assert main([*arguments.split(), *FAST]) == 0
    assert lines(capsys.readouterr().out) == sandbox.items("hashtags")[14:29]
    assert [record.page for record in sandbox.requests] == [3, 4, 5]


def test_details_are_one_line(sandbox: Sandbox, capsys: Any) -> None:
    assert main(["hashtag", "#ufc324", "--period", "1095", "--region", "US"]) == 0
    [detail] = lines(capsys.readouterr().out)
    assert detail["hashtag_name"] == "ufc324"
    assert sandbox.requests[0].params == {
        "period": "1095",
        "region": "US",
        "hashtag_name": "ufc324",
    }
    clip = sandbox.items("music")[0]["clip_id"]
    assert main(["sound", clip]) == 0
    [detail] = lines(capsys.readouterr().out)
    assert detail["sound"]["clip_id"] == clip
    assert sandbox.credits_spent == 4


def test_text_is_kept_as_it_is_unless_it_cannot_be_encoded(sandbox: Sandbox, capsys: Any) -> None:
    body = hashtags_body("日本🐶", "half \ud83d of it")
    sandbox.fail(Fault.body(body))
    assert main(["hashtags"]) == 0
    out = capsys.readouterr().out
    assert "日本🐶" in out
    assert r"half \ud83d of it" in out
    assert [item["hashtag_name"] for item in lines(out)] == ["日本🐶", "half \ud83d of it"]


def test_an_empty_page_that_ends_the_list_is_told(sandbox: Sandbox, capsys: Any) -> None:
    sandbox.fail(Fault.empty(), page=2)
    assert main(["hashtags", *FAST]) == 0
    out, err = capsys.readouterr()
    assert len(lines(out)) == 20
    assert err == "keyapi: an empty page ended the list: 20 of 100 hashtags came\n"
    sandbox.fail(Fault.empty(), page=2)
    assert main(["hashtags", "-q", *FAST]) == 0
    assert capsys.readouterr().err == ""


# Files


def test_a_file_appears_when_it_is_complete(sandbox: Sandbox, capsys: Any, tmp_path: Path) -> None:
    target = tmp_path / "tags.jsonl"
    target.write_text("old")
    link = tmp_path / "link"
    link.symlink_to(target)
    assert main(["hashtags", "-o", str(link), *FAST]) == 0
    assert lines(target.read_text(encoding="utf-8")) == sandbox.items("hashtags")
    assert sorted(tmp_path.iterdir()) == [link, target]
    assert capsys.readouterr() == ("", "")


def test_a_table_in_a_file_is_plain(sandbox: Sandbox, tmp_path: Path) -> None:
    target = tmp_path / "tags.txt"
    assert main(["hashtags", "--format", "table", "--output", str(target), *FAST]) == 0
    text = target.read_text(encoding="utf-8")
    assert len(text.splitlines()) == 101
    assert "\x1b" not in text


def test_dash_is_standard_output(sandbox: Sandbox, terminal: Callable[..., str]) -> None:
    assert (
        lines(terminal("hashtags", "-o", "-", "-q", "--limit", "3"))
        == sandbox.items("hashtags")[:3]
    )


def test_what_came_before_a_failure_is_kept_apart(
    sandbox: Sandbox, capsys: Any, tmp_path: Path
) -> None:
    target = tmp_path / "tags.jsonl"
    sandbox.fail(Fault.body(b"{}"), page=2)
    assert main(["hashtags", "-o", str(target), *FAST]) == 1
    part = tmp_path / "tags.jsonl.part"
    assert list(tmp_path.iterdir()) == [part]
    assert lines(part.read_text(encoding="utf-8")) == sandbox.items("hashtags")[:20]
    told = capsys.readouterr().err.splitlines()
    assert told[0] == f"keyapi: incomplete: the 20 items that came are in {part}"
    assert len(told) == 2


def test_nothing_is_left_if_nothing_came(sandbox: Sandbox, capsys: Any, tmp_path: Path) -> None:
    sandbox.fail(Fault.status(404))
    assert main(["hashtag", "nosuch", "-o", str(tmp_path / "tag.json")]) == 1
    assert list(tmp_path.iterdir()) == []
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_interrupted_between_pages(
    sandbox: Sandbox, capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Sink.write

    def interrupted(sink: Sink[Any], items: Any) -> None:
        if sink.count == 40:
            raise KeyboardInterrupt
        write(sink, items)

    monkeypatch.setattr(Sink, "write", interrupted)
    assert main(["hashtags", "-o", str(tmp_path / "tags"), *FAST]) == 130
    [part] = tmp_path.iterdir()
    assert len(lines(part.read_text(encoding="utf-8"))) == 40
    assert capsys.readouterr().err.endswith("\nkeyapi: interrupted\n")


def test_a_device_is_written_to_and_stays(sandbox: Sandbox) -> None:
    assert main(["hashtags", "-o", os.devnull, "--limit", "1"]) == 0
    assert not Path(os.devnull).is_file()
    assert not Path(os.devnull + ".part").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk(sandbox: Sandbox, capsys: Any) -> None:
    assert main(["hashtags", "-o", "/dev/full", "--limit", "1"]) == 1
    assert capsys.readouterr().err == "keyapi: can't write /dev/full: No space left on device\n"


def test_a_file_that_cannot_be_written_costs_nothing(
    sandbox: Sandbox, capsys: Any, tmp_path: Path
) -> None:
    assert main(["hashtags", "-o", str(tmp_path / "no" / "such")]) == 1
    assert main(["hashtags", "-o", str(tmp_path)]) == 1
    assert sandbox.requests == []
    told = capsys.readouterr().err.splitlines()
    assert told[0].endswith(": No such file or directory")
    assert told[1].endswith(": Is a directory")


# Tables and progress


def test_a_table_on_a_terminal(sandbox: Sandbox, terminal: Callable[..., str]) -> None:
    screen = terminal("hashtags", "--limit", "45", *FAST)
    assert screen.count("Hashtag") == 1
    assert screen.count("\x1b]8;") == 2 * 45  # each name is a link
    assert screen.endswith("keyapi: 45 of 100 hashtags · 3 pages · 6 credits\n")
    assert sandbox.credits_spent == 6


@pytest.mark.parametrize("command", ["videos", "music"])
def test_other_tables(sandbox: Sandbox, terminal: Callable[..., str], command: str) -> None:
    rows = terminal(command, "--limit", "10", "-q").splitlines()
    assert len(rows) == 11
    key = {"videos": "item_id", "music": "clip_id"}[command]
    for row, item in zip(rows[1:], sandbox.items(command), strict=False):
        assert str(item[key]) in row


def test_a_table_of_odd_values(
    sandbox: Sandbox, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    points = [{"value": None}, {"value": 0.5}, {"value": 7}, {"value": -1}]
    odd = [
        {"hashtag_name": "[bold]\x1b[2J\ud83d\u202e", "trend": points, "publish_cnt": 999_500},
        {"hashtag_name": "up", "rank_diff_type": 1, "rank_diff": 12, "video_views": 999},
        {"hashtag_name": "down", "rank_diff_type": 3, "rank_diff": -3, "video_views": 10**16},
        {"hashtag_name": "same", "rank_diff_type": 2, "rank_diff": 0, "publish_cnt": 99_960},
        {"hashtag_name": "new", "rank_diff_type": 4, "industry_info": {"value": "Games"}},
        {"hashtag_name": "long", "trend": [{"value": i / 120} for i in range(120)]},
    ]
    items = [{"hashtag_id": str(i), **tag} for i, tag in enumerate(odd)]
    pagination = {"page": 1, "has_more": False}
    sandbox.fail(Fault.data({"list": [], "pagination": pagination}))
    body = json.dumps({"code": 0, "data": {"list": items, "pagination": pagination}})
    assert main(["hashtags", "--format", "table"]) == 0  # an empty list
    assert capsys.readouterr().out == ""
    sandbox.fail(Fault.body(body.encode()))
    assert main(["hashtags", "--format", "table"]) == 0
    rows = [" ".join(row.split()) for row in capsys.readouterr().out.splitlines()]
    assert rows == [
        "# Hashtag Posts Views Industry Trend",
        "[bold]\ufffd[2J\ufffd\ufffd 1M ▅█▁",
        "▲12 up 999",
        "▼3 down 10P",
        "same 100K",
        "new new Games",
        "long ▁▁▂▃▃▄▅▅▆▇▇█",
    ]


def test_details_on_a_terminal(sandbox: Sandbox, terminal: Callable[..., str]) -> None:
    screen = terminal("hashtag", "ufc324", "--sandbox") + terminal("sound", "6703723351497508865")
    assert screen.startswith("keyapi: asking a sandbox")
    assert "#ufc324" in screen
    for label in ("Posts", "Views", "Trend", "Countries", "Interests", "Clip", "Author"):
        assert label in screen
    assert len(sandbox.requests) == 1


def test_sparse_details(sandbox: Sandbox, capsys: Any) -> None:
    many = [{"hashtag_name": f"tag{i}"} for i in range(9)]
    info = {
        "hashtag_id": 1,
        "hashtag_name": "few",
        "publish_cnt": 5,
        "related_hashtags": many,
        "longevity": {"popular_days": 2},
        "audience_countries": [
            {"score": 5},
            {"country_info": {"value": "Fiji"}, "score": 7},
            {"country_info": {"value": "Chad"}, "score": 70.5},
            {"country_info": {"value": "Mali"}},
        ],
    }
    sandbox.fail(Fault.data({"info": info}))
    assert main(["hashtag", "few", "--format", "table"]) == 0
    rows = [row.strip("│ ") for row in capsys.readouterr().out.splitlines()]
    assert "#few" in rows[0]
    assert " ".join(" ".join(rows[1:-1]).split()) == (
        "Posts 5 Popular 2 days Countries Chad 70.5, Fiji 7 Related "
        "#tag0, #tag1, #tag2, #tag3, #tag4, #tag5, #tag6, #tag7, …"
    )
    sandbox.fail(Fault.data({"sound": {"clip_id": "7", "longevity": None}}))
    assert main(["sound", "7", "--format", "table"]) == 0
    rows = [row.strip("│ ") for row in capsys.readouterr().out.splitlines()]
    assert "7" in rows[0]
    assert [row.split() for row in rows[1:-1]] == [["Clip", "7"]]


def test_waiting_is_told_on_a_terminal(
    sandbox: Sandbox, terminal: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.fail(Fault.status(429, retry_after="0.5"), page=2)
    sandbox.fail(Fault.status(503), page=3)
    screen = terminal("hashtags", "-o", os.devnull, "--prefetch", "0", *FAST)
    assert "20 of 100 hashtags · 1 page · 2 credits · waiting 0." in screen
    assert "rate limit (429)" in screen
    assert "server error (503)" in screen
    assert screen.endswith("keyapi: 100 of 100 hashtags · 5 pages · 10 credits\n")
    assert len(sandbox.requests) == 7


def test_long_waits_alone_are_told_elsewhere(
    sandbox: Sandbox, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "WORTH_A_LINE", 0.15)
    sandbox.fail(Fault.status(429, retry_after="0.2"), Fault.status(429, retry_after="0.05"))
    assert main(["hashtags", "--limit", "1"]) == 0
    assert capsys.readouterr().err == "keyapi: waiting 0.2 s: rate limit (429)\n"
    sandbox.fail(Fault.status(429, retry_after="0.2"))
    assert main(["hashtags", "--limit", "1", "-q"]) == 0
    assert capsys.readouterr().err == ""
