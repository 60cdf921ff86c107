"""`keyapi export`, as it is typed."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from keyapi_async.cli import main
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
        ("--snapshot 2", 0),
        ("--snapshot all", 200),
    ],
)
def test_selections(crawled: Run, options: str, items: int) -> None:
    code, out, err = crawled(f"export t.sqlite -o - {options}")
    assert (code, len(out.splitlines()), err) == (0, items, "")


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
    assert err == "keyapi: t.sqlite: snapshot 1 is unfinished: 0 of 2 lists done\n"
    assert run("export t.sqlite -o - -q")[2] == ""


@pytest.mark.skipif(sys.platform != "linux", reason="others have no such names")
@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet", "duckdb"])
def test_a_name_that_is_not_utf8(crawled: Run, form: str) -> None:
    folder = Path(os.fsdecode(b"caf\xe9"))
    folder.mkdir()
    code, out, err = crawled("export t.sqlite -o", f"{folder}/{folder}.{form}")
    told = f"keyapi: {Path.cwd()}/caf\ufffd/caf\ufffd.{form}: 200 items\n"
    assert (code, out, err) == (0, "", told)
    assert [path.name for path in folder.iterdir()] == [f"{folder}.{form}"]


def test_nothing_that_a_terminal_obeys(
    run: Run, sandbox: Sandbox, terminal: Callable[..., str]
) -> None:
    sandbox.fail(Fault.body(hashtags_body("x").replace(b'"x"', '"x\x9b2J\x7f"'.encode())))
    assert run("crawl hashtags -o t.sqlite -q")[0] == 0
    screen = terminal("export t.sqlite -o -")
    assert '"x\\u009b2J\\u007f"' in screen
    assert screen.count("\n") == 1
