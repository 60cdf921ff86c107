"""`keyapi movers`, `history`, `check` and `report`, on scripted days."""

from __future__ import annotations

import csv
import io
import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from keyapi_async import HashtagsQuery, VideosQuery, trends
from tests.cli.command_line import Run, json_lines
from tests.trends.scripted import Listing, add_day, day

US = HashtagsQuery(region="US")
GB = HashtagsQuery(region="GB")
VIDEOS = VideosQuery()


@pytest.fixture(autouse=True)
def path(tmp_path: Path) -> Path:
    path = tmp_path / "t.sqlite"
    views = {"a": 1000, "b": 100}
    add_day(path, day(1), {US: Listing("abc", views=views), VIDEOS: Listing("ab")}, credits_spent=4)
    views = {"a": 1500, "b": 100}
    add_day(path, day(2), {US: Listing("bad", views=views), VIDEOS: Listing("ab")}, credits_spent=4)
    return path


def test_movers_as_json_lines(run: Run) -> None:
    code, out, err = run("movers t.sqlite")
    assert (code, err) == (0, "keyapi: 2026-02-02: Compared with 2026-02-01.\n")
    assert json_lines(out) == [move.to_dict() for move in trends.movers("t.sqlite")]
    code, out, err = run("movers t.sqlite -q --endpoint hashtags --kind new,dropped --min-change 1")
    assert (code, err) == (0, "")
    assert [move["item_id"] for move in json_lines(out)] == ["d", "c"]
    assert json_lines(run("movers t.sqlite --top 1")[1])[0]["item_id"] == "b"


def test_a_csv_runs_in_no_spreadsheet(run: Run, path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("""UPDATE items SET json = json_set(json, '$.hashtag_name', '=1+1')""")
        db.commit()
    out = run("movers t.sqlite --format csv --endpoint hashtags")[1]
    assert {row["name"] for row in csv.DictReader(io.StringIO(out))} == {"'=1+1"}
    assert json_lines(run("movers t.sqlite --endpoint hashtags")[1])[0]["name"] == "=1+1"


def test_movers_in_a_file(run: Run, tmp_path: Path) -> None:
    assert run("movers t.sqlite -o out.csv")[:2] == (0, "")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text(encoding="utf-8"))))
    assert [*rows[0]][:7] == [
        "endpoint", "query_period", "query_region", "query_industry_id", "query_new_to_top_100",
        "query_order_by", "day",
    ]  # fmt: skip
    assert [row["item_id"] for row in rows] == ["b", "a", "d", "c", "a", "b"]
    assert rows[1]["ranks"] == "2026-02-01=1 2026-02-02=2"
    assert rows[2]["ranks"] == "2026-02-01= 2026-02-02=3"
    assert (rows[1]["regions"], rows[1]["growth"], rows[4]["views"]) == ("US", "0.5", "")
    assert run("movers t.sqlite -o out.md")[0] == 0
    text = (tmp_path / "out.md").read_text(encoding="utf-8")
    assert text.startswith("## TikTok trends, 2026-02-02\n")
    assert run("movers t.sqlite -q --format md -o -") == (0, text, "")
    code, _, err = run("movers t.sqlite -o nowhere/out.csv")
    assert (code, "can't write nowhere/out.csv" in err) == (1, True)


def test_movers_on_a_terminal(terminal: Callable[..., str], path: Path) -> None:
    add_day(path, day(3), {US: Listing([f"n{number}" for number in range(25)])})
    shown = terminal("movers t.sqlite")
    assert "name of n0" in shown
    assert "name of n24" not in shown
    assert shown.count("new") + shown.count("dropped") == 20
    assert "the 20 that matter most of 28 moves; --top shows more" in shown
    shown = terminal("movers t.sqlite --day 2026-02-02 --endpoint hashtags")
    assert "▲1" in shown
    assert "+50%" in shown


def test_a_gap_and_a_day_with_nothing_to_compare_are_said(run: Run, path: Path) -> None:
    add_day(path, day(4), {US: Listing("abc"), GB: Listing("a")})
    _, _, err = run("movers t.sqlite --endpoint hashtags")
    assert "1 list: compared with 2026-02-02; 2026-02-03 has no complete list." in err
    assert "1 list: it has no complete list before 2026-02-04." in err
    assert (
        len(json_lines(run("movers t.sqlite --since 2d --region US --endpoint hashtags")[1])) == 4
    )
    assert "2026-02-01" in run("movers t.sqlite --since 2026-02-01 --endpoint hashtags")[2]
    add_day(path.with_name("b.sqlite"), day(1), {US: Listing("a", "failed")})
    assert run("movers b.sqlite") == (0, "", "keyapi: no list is complete on any day\n")


@pytest.mark.parametrize(
    ("line", "says", "code"),
    [
        ("movers", "requires an argument", 2),
        ("movers no.sqlite", "there is no such file", 1),
        ("movers t.sqlite --region XX", "--region must be in these files: US, not 'XX'", 2),
        ("movers t.sqlite --kind up", "--kind must be one of new, returned, risen,", 2),
        ("movers t.sqlite --since yesterday", "a date such as 2026-11-21 or an age such as 7d", 2),
        ("movers t.sqlite --since 2026-02-02", "--since must be before 2026-02-02", 2),
        ("movers t.sqlite --post", "set KEYAPI_WEBHOOK, or --post URL", 2),
        ("movers t.sqlite --post s3cret -q", "the webhook's address must begin with https://", 2),
        ("history t.sqlite", "which item?", 2),
        ("history t.sqlite nothing", "nothing: is in none of these lists", 1),
        ("report t.sqlite", "requires an argument", 2),
        ("report t.sqlite -o nowhere/page.html", "can't write nowhere/page.html", 1),
        ("check no.sqlite", "there is no such file", 1),
    ],
)
def test_what_cannot_be_done(run: Run, line: str, says: str, code: int) -> None:
    found, out, err = run(line)
    assert (found, out) == (code, "")
    assert says in err
    assert "s3cret" not in err


def test_history(run: Run, terminal: Callable[..., str]) -> None:
    code, out, _ = run("history t.sqlite a")
    assert code == 0
    assert json_lines(out) == [one.to_dict() for one in trends.history("t.sqlite", None, "a")]
    _, out, _ = run("history t.sqlite t.sqlite --format table --endpoint hashtags", "#Name of A")
    assert "2026-02-02              2   1.5K\n" in out
    shown = terminal("history t.sqlite d")
    assert "2026-02-01" in shown
    assert "▃" in shown


def test_check(run: Run, path: Path) -> None:
    told = [f"2026-02-0{n}: 2 of 2 lists complete, 5 items, 4 credits\n" for n in (1, 2)]
    assert run("check t.sqlite") == (0, "".join(told), "")
    assert json.loads(run("check t.sqlite --json")[1])["ok"] is True
    add_day(path, day(3), {US: Listing("abc"), VIDEOS: Listing("a", "failed")})
    code, out, err = run("check t.sqlite")
    assert (code, err) == (3, "keyapi: 1 thing is wrong with 2026-02-03\n")
    assert out.endswith("2026-02-03: incomplete: videos: incomplete, with 1 items\n")
    code, out, _ = run("check t.sqlite --json")
    assert (code, json.loads(out)["problems"][0]["kind"]) == (3, "incomplete")
    add_day(path.with_name("b.sqlite"), day(3), {GB: Listing()})
    code, _, err = run("check t.sqlite b.sqlite")
    assert (code, err) == (3, "keyapi: 2 things are wrong with 2026-02-03\n")


def test_report(run: Run, tmp_path: Path) -> None:
    code, out, err = run("report t.sqlite -o page.html")
    assert (code, out) == (0, "")
    assert err.startswith("keyapi: page.html: ")
    assert "Monday, 2 February 2026" in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert run("report t.sqlite -o page.html --day 2026-02-01 -q") == (0, "", "")
    assert "1 February" in (tmp_path / "page.html").read_text(encoding="utf-8")


# -- posting -----------------------------------------------------------------------------------


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, Any]]]:
    """What a webhook answered and got; it fails at first."""
    got: list[tuple[int, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append((200 if got else 500, json.loads(body)))
            self.send_response(got[-1][0])
            self.send_header("Retry-After", "0")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("KEYAPI_WEBHOOK", f"http://127.0.0.1:{server.server_port}/s3cret-path")
    yield got
    server.shutdown()
    thread.join()
    server.server_close()


def test_it_is_posted_once(run: Run, webhook: list[tuple[int, Any]]) -> None:
    told = "keyapi: 2026-02-02: Compared with 2026-02-01.\nkeyapi: "
    assert run("movers t.sqlite --post") == (0, "", f"{told}posted\n")
    assert [status for status, _ in webhook] == [500, 200]
    assert webhook[1][1]["text"].startswith("*TikTok trends, 2026-02-02*")
    before = f"{told}posted before; --again posts it once more\n"
    assert run("movers t.sqlite --post") == (0, "", before)
    quiet = f"{told}nothing moved; nothing is posted without --always\n"
    assert run("movers t.sqlite --endpoint videos --post") == (0, "", quiet)
    assert run("movers t.sqlite --post --again -q") == (0, "", "")
    code, out, err = run("movers t.sqlite --post --again -v -o moves.jsonl")
    assert (code, out) == (0, "")
    assert len(webhook) == 4
    assert "s3cret" not in err
    assert len(json_lines(Path("moves.jsonl").read_text(encoding="utf-8"))) == 6


def test_the_address_is_struck_out_of_messages(run: Run, webhook: list[tuple[int, Any]]) -> None:
    code, _, err = run("movers t.sqlite --region", os.environ["KEYAPI_WEBHOOK"])
    assert (code, err) == (2, "keyapi: --region must be in these files: US, not '***'\n")


@pytest.mark.parametrize("command", ["movers t.sqlite", "history t.sqlite a", "report t.sqlite"])
def test_no_output_replaces_the_crawl(run: Run, path: Path, command: str) -> None:
    before = path.read_bytes()
    code, out, err = run(f"{command} -o t.sqlite")
    assert (code, out) == (1, "")
    assert "t.sqlite" in err
    assert "is the crawl's own file" in err
    assert path.read_bytes() == before


def test_a_day_that_was_not_crawled_makes_no_report(run: Run, tmp_path: Path) -> None:
    code, _, err = run("report t.sqlite -o r.html --day 2026-01-01")
    assert (code, "nothing was crawled on 2026-01-01" in err) == (1, True)
    assert not (tmp_path / "r.html").exists()
