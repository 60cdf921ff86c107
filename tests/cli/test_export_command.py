"""`keyapi export`, as it is typed."""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from keyapi_async.cli import main
from keyapi_async.crawl import CrawlFile
from keyapi_async.sandbox import Fault, Sandbox
from tests.cli.command_line import CRAWL, Run, hashtags_body


@pytest.fixture
def crawled(run: Run, sandbox: Sandbox) -> Run:
    assert run(CRAWL)[0] == 0
    return run


def test_forms(crawled: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    told = f"keyapi: {Path.cwd()}/out.jsonl: 200 items\n"
    assert crawled("export t.sqlite -o out.jsonl") == (0, "", told)
    assert crawled("export t.sqlite -o out.parquet -q") == (0, "", "")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", io.StringIO())
        assert main(["export", "t.sqlite", "-o", "-"]) == 0
    assert crawled("export t.sqlite -o out.xlsx")[0] == 2
    assert crawled("export no.sqlite -o -")[0] == 1


@pytest.mark.parametrize(
    ("options", "items"),
    [
        ("--region GB --period 7 --endpoint hashtags", 100),
        ("--region GB --region US", 200),
        ("--endpoint videos", 0),
        ("--since 1h --until 2999-01-01", 200),
        ("--until 2020-01-01", 0),
        ("--snapshot latest", 200),
        ("--snapshot 1", 200),
        ("--snapshot all", 200),
    ],
)
def test_selections(crawled: Run, options: str, items: int) -> None:
    code, out, err = crawled(f"export t.sqlite -o - {options}")
    assert (code, len(out.splitlines()), err) == (0, items, "")


def test_a_snapshot_that_is_not_there(crawled: Run) -> None:
    code, out, err = crawled("export t.sqlite -o - --snapshot 2")
    assert (code, out) == (1, "")
    assert err == "keyapi: t.sqlite: has no snapshot 2; the newest is 1\n"


def test_several_files_into_a_lake(crawled: Run) -> None:
    shutil.copy("t.sqlite", "u.sqlite")
    code, out, err = crawled("export t.sqlite u.sqlite -o lake/")
    assert (code, out, err.count(": 200 items")) == (0, "", 2)
    assert len([*Path("lake/hashtags").glob("day=*/*.parquet")]) == 2
    assert (
        crawled("export t.sqlite u.sqlite -o lake/")[2] == "keyapi: lake/: nothing new to write\n"
    )


def test_snapshots(crawled: Run, sandbox: Sandbox) -> None:
    crawled(CRAWL + " --fresh-within 0s")
    counts = {
        chosen: len(crawled(f"export t.sqlite -o - --snapshot {chosen}")[1].splitlines())
        for chosen in ("1", "2", "latest", "all")
    }
    assert counts == {"1": 200, "2": 200, "latest": 200, "all": 400}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--since yesterday", "must be a date or time such as 2026-11-21"),
        ("--snapshot newest", "must be a snapshot's number, latest or all, not 'newest'"),
        ("--period 8", "Choose from: 7, 30, 120, 365, 1095."),
        ("--endpoint tags", '"hashtag_detail"'),
    ],
)
def test_usage(run: Run, options: str, told: str) -> None:
    code, out, err = run(f"export t.sqlite -o - {options}")
    assert (code, out, told in err) == (2, "", True)


def test_an_unfinished_snapshot_says_so(run: Run, sandbox: Sandbox) -> None:
    run(CRAWL + " --max-credits 4")
    code, out, err = run("export t.sqlite -o -")
    assert (code, len(out.splitlines())) == (0, 40)
    lines = err.replace("keyapi: ", "").splitlines()
    today = CrawlFile("t.sqlite").status().day
    assert lines == [
        f"t.sqlite: snapshot 1 of {today} is incomplete: 2 lists lacking",
        "incomplete: hashtags region=US: not finished",
        "incomplete: hashtags region=GB: not finished",
    ]
    assert run("export t.sqlite -o - -q")[2] == ""
    assert run("export t.sqlite -o - --complete-only") == (0, "", "")


@pytest.mark.skipif(sys.platform != "linux", reason="others have no such names")
@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet", "duckdb"])
def test_a_name_that_is_not_utf8(crawled: Run, form: str) -> None:
    folder = Path(os.fsdecode(b"caf\xe9"))
    folder.mkdir()
    code, out, err = crawled("export t.sqlite -o", f"{folder}/{folder}.{form}")
    ending = f".hashtags.{form}" if form in ("csv", "parquet") else f".{form}"
    assert (code, out) == (0, "")
    assert err.endswith(f"caf\ufffd/caf\ufffd{ending}: 200 items\n")
    assert [path.name for path in folder.iterdir()] == [f"{folder}{ending}"]


def test_nothing_that_a_terminal_obeys(
    run: Run, sandbox: Sandbox, terminal: Callable[..., str]
) -> None:
    sandbox.fail(Fault.body(hashtags_body("x").replace(b'"x"', '"x\x9b2J\x7f"'.encode())))
    assert run("crawl hashtags -o t.sqlite -q")[0] == 0
    screen = terminal("export t.sqlite -o -")
    assert '"x\\u009b2J\\u007f"' in screen
    assert screen.count("\n") == 1


def test_a_terminal_is_told_how_far_it_is(crawled: Run, terminal: Callable[..., str]) -> None:
    screen = terminal("export t.sqlite -o t.jsonl")
    assert "200 items" in screen.replace("t.jsonl: 200 items", "")
    assert "t.jsonl: 200 items" in screen
    assert "200 items" not in terminal("export t.sqlite -o t.jsonl -q")
