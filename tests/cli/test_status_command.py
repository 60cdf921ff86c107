"""`keyapi status`, for people and for programs."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime

from keyapi_async.crawl import CrawlFile
from keyapi_async.sandbox import Fault, Sandbox
from tests.cli.command_line import CRAWL, Run, hashtags_body


def test_a_crawl_with_a_failed_list(run: Run, sandbox: Sandbox) -> None:
    sandbox.fail(Fault.status(404), page=2)
    code, _, err = run(CRAWL + " --keep-going")
    assert code == 3
    code, out, _ = run("status t.sqlite")
    assert code == 0
    assert re.search(
        r"^t.sqlite: snapshot 1 of .*: finished, but for what failed$", out, re.MULTILINE
    )
    assert "1 of 2 lists done, 1 failed; 120 items on 6 pages, 0 duplicates dropped\n" in out
    assert "7 requests, 0 retries, 0 refused (429); 12 credits, 0 more at risk; 1 run, " in out
    assert "incomplete: hashtags region=" in out
    assert [line.removeprefix("keyapi: ") for line in err.splitlines()][1:-1] == out.splitlines()
    code, _, err = run("status no.sqlite")
    assert (code, "there is no such file" in err) == (1, True)


def test_json(run: Run, sandbox: Sandbox) -> None:
    run(CRAWL)
    run(CRAWL + " --fresh-within 0s --max-credits 4")
    code, out, err = run("status t.sqlite --json")
    assert (code, err, out.count("\n")) == (0, "", 1)
    found = json.loads(out)
    begun = [datetime.fromisoformat(snapshot.pop("begun")) for snapshot in found["snapshots"]]
    assert [moment.utcoffset() == UTC.utcoffset(None) for moment in begun] == [True, True]
    days = [date.fromisoformat(snapshot.pop("day")) for snapshot in found["snapshots"]]
    assert days == [summary.day for summary in CrawlFile("t.sqlite").snapshots()]
    assert found == {
        "file": "t.sqlite",
        "snapshots": [
            {
                "number": 1,
                "complete": True,
                "lists": {"total": 2, "done": 2, "failed": 0, "pending": 0},
                "items": 200,
                "credits": {"spent": 20, "at_risk": 0},
            },
            {
                "number": 2,
                "complete": False,
                "lists": {"total": 2, "done": 0, "failed": 0, "pending": 2},
                "items": 40,
                "credits": {"spent": 4, "at_risk": 0},
            },
        ],
    }


def test_lists_that_are_not_finished_are_named(run: Run, sandbox: Sandbox) -> None:
    run("crawl videos --every-region -o t.sqlite --rate inf --max-credits 2 --concurrency 1")
    code, out, _ = run("status t.sqlite")
    assert code == 0
    assert ": 25 to do\n0 of 25 lists done, 0 failed; 20 items on 1 page, " in out
    named = [line for line in out.splitlines() if line.startswith("incomplete: ")]
    assert named[0] == "incomplete: videos region=AE: not finished"
    assert len(named) == 10
    assert out.splitlines()[-1] == "and 15 lists more"


def test_an_empty_page_makes_a_list_incomplete(run: Run, sandbox: Sandbox) -> None:
    sandbox.fail(Fault.empty(), page=2)
    assert run("crawl hashtags -o t.sqlite -q --rate inf")[0] == 0
    out = run("status t.sqlite")[1]
    assert out.splitlines()[-1] == "incomplete: hashtags: an empty page ended it"
    assert run("status t.sqlite --json")[1].count('"complete": false') == 1


def test_what_a_server_named_is_safe_to_print(run: Run, sandbox: Sandbox) -> None:
    sandbox.fail(Fault.body(hashtags_body("x\x1b[2J\x9b", sandbox.api_key)))
    sandbox.fail(Fault.status(404), path="hashtag_detail", times=None)
    code, _, err = run("crawl hashtags --details all -o t.sqlite --keep-going --rate inf")
    assert code == 3
    out = run("status t.sqlite")[1]
    for text in (out, err):
        assert "\x1b" not in text
        assert "\x9b" not in text
        assert sandbox.api_key not in text
        assert (
            "incomplete: hashtag_detail hashtag_name=x\ufffd[2J\ufffd: NotFoundError: 404 " in text
        )
        assert "incomplete: hashtag_detail hashtag_name=***: NotFoundError: 404 " in text
