"""However a command fails: one line on stderr, and an exit code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from keyapi_async import RetryPolicy
from keyapi_async.cli import main
from keyapi_async.cli.output import ItemWriter
from keyapi_async.sandbox import Fault, Sandbox
from tests.cli.command_line import FAST, KEY, Run, json_lines


@pytest.mark.parametrize(
    ("fault", "code", "told"),
    [
        (Fault.status(401), 4, "401"),
        (Fault.status(402), 5, "402"),
        (Fault.status(403), 1, "403"),
        (Fault.status(404), 1, "404"),
        (Fault.status(429, retry_after="31"), 6, "429"),
        (Fault.data(None), 1, "data"),
        (Fault.body(b"<html>"), 1, "not JSON"),
        (Fault.redirect("https://example.com"), 1, "redirect"),
    ],
)
def test_failures(sandbox: Sandbox, capsys: Any, fault: Fault, code: int, told: str) -> None:
    sandbox.fail(fault, page=2)
    assert main(["hashtags", "--prefetch", "0", *FAST]) == code
    out, err = capsys.readouterr()
    assert len(json_lines(out)) == 20
    [line] = err.splitlines()
    assert line.startswith("keyapi: ")
    assert told in line
    assert len(sandbox.requests) == 2


def test_max_credits(sandbox: Sandbox, capsys: Any) -> None:
    assert main(["hashtags", "--max-credits", "5", *FAST]) == 5
    out, err = capsys.readouterr()
    assert len(json_lines(out)) == 40
    assert err.startswith("keyapi: one more request could pass --max-credits 5: ")
    assert sandbox.credits_spent == 4
    assert main(["hashtags", "--max-credits", "0"]) == 5
    assert len(sandbox.requests) == 2


def test_max_credits_of_a_day_shared_by_runs(sandbox: Sandbox, run: Run) -> None:
    line = "hashtags --limit 40 --rate 100 --share file:s --max-credits 6/24h"
    code, out, err = run(line)
    assert (code, len(json_lines(out)), err) == (0, 40, "")
    code, out, err = run(line)
    assert (code, len(json_lines(out))) == (5, 20)
    assert err.startswith("keyapi: one more request could pass --max-credits 6 per 86400 s, or a ")
    assert ": 0 are left, again in 86" in err
    assert sandbox.credits_spent == 6
    assert run("hashtags --limit 20 -q --rate 100 --share file:s")[0] == 0
    told = "keyapi: without --share, --max-credits counts this run alone\n"
    assert run("hashtags --limit 0 --max-credits 6/24h") == (0, "", told)


def test_a_share_by_the_environment_shows_no_password(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEYAPI_SHARE", "file:s")
    assert run("hashtags --limit 20 -q --rate 100")[0] == 0
    assert Path("s").exists()
    code, _, err = run("hashtags redis://:secret@localhost")
    assert code == 2
    assert "redis://***@localhost" in err
    assert "secret" not in err


def test_no_connection(sandbox: Sandbox, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RetryPolicy, "wait", lambda *_: 0.0)
    monkeypatch.setenv("KEYAPI_BASE_URL", "http://127.0.0.1:9")
    assert main(["hashtags"]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("keyapi: could not connect: ")
    assert "4 attempts" in line


@pytest.mark.parametrize(
    ("key", "told"),
    [(None, "no API key"), ("  ", "no API key"), (f"{KEY}\n{KEY}", "line break")],
)
def test_no_key(capsys: Any, monkeypatch: pytest.MonkeyPatch, key: str | None, told: str) -> None:
    if key is not None:
        monkeypatch.setenv("KEYAPI_TOKEN", key)
    assert main(["hashtags"]) == 4
    [line] = capsys.readouterr().err.splitlines()
    assert told in line
    assert "KEYAPI_TOKEN" in line
    assert KEY not in line


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("hashtags --regoin US", "--regoin. Did you mean --region?"),
        ("hashtagz", '"hashtagz". Did you mean "hashtag'),
        ("hashtags --period 8", '"8" for --period. Choose from: 7, 30, 120'),
        ("videos --order-by likes", "--order-by"),
        ("hashtags --limit 2.5", "--limit: must be a whole number, not '2.5'"),
        ("hashtags --limit -1", '"-1" for --limit. Must be >= 0.'),
        ("hashtags --page-size 21", "--page-size must be a whole number from 1 to 20, not 21"),
        ("hashtags --start-page 0", "--start-page must be"),
        ("hashtags --prefetch -1", "--prefetch must be"),
        ("hashtags --region=", "--region must be"),
        ("hashtags --industry-id=", "--industry-id must be"),
        ("music --search-keyword=", "--search-keyword must be"),
        ("hashtags --rate 0", '"0.0" for --rate. Must be > 0.'),
        ("hashtags --max-credits -2", "must be a number of credits such as 500, or per a time"),
        ("hashtags --max-credits 5/", "such as 1000/24h, not '5/'"),
        ("hashtags --max-credits 5/0s", "such as 1000/24h, not '5/0s'"),
        ("hashtags --share nowhere", "share must be file:PATH or redis://HOST, not 'nowhere'"),
        ("hashtags -o --limit 3", "write ./-name for one that begins with a hyphen"),
        ("hashtags -o", "-o requires an argument"),
        ("hashtag", "HASHTAG_NAME requires an argument"),
        ("hashtag #", "HASHTAG_NAME must be"),
        ("hashtag a b", "'b'"),
        ("sound  ", "CLIP_ID requires an argument"),
        ("sandbox --qps 0", '"0.0" for --qps. Must be > 0.'),
        ("sandbox --qps inf", "qps must be above 0"),
        ("sandbox --fault-rate 2", '"2.0" for --fault-rate. Must be <= 1.'),
        ("sandbox --port 70000", '"70000" for --port. Must be <= 65535.'),
        (f"hashtags --token {KEY}", "no --token: set the environment variable KEYAPI_TOKEN"),
        (f"hashtags --api_key={KEY}", "no --api-key: set the environment variable KEYAPI_TOKEN"),
        (f"--api-key {KEY} hashtags", "no --api-key: set the environment variable KEYAPI_TOKEN"),
    ],
)
def test_usage(sandbox: Sandbox, run: Run, arguments: str, told: str) -> None:
    code, out, err = run(arguments)
    [line] = err.splitlines()
    assert code == 2
    assert told in line
    assert KEY not in line
    assert out == ""
    assert sandbox.requests == []


def test_a_bad_base_url(sandbox: Sandbox, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYAPI_BASE_URL", "http://example.com")
    assert main(["hashtags"]) == 2
    assert "KEYAPI_BASE_URL" in capsys.readouterr().err


@pytest.mark.parametrize("verbose", [False, True])
def test_a_bug_is_told_as_one(
    sandbox: Sandbox, capsys: Any, monkeypatch: pytest.MonkeyPatch, verbose: bool
) -> None:
    def broken(*_: object) -> None:
        raise LookupError("nothing\nthere")

    monkeypatch.setattr(ItemWriter, "write", broken)
    assert main(["hashtags", *["-v"] * verbose]) == 1
    err = capsys.readouterr().err
    assert "keyapi: this is a bug: LookupError: nothing there (-v tells more)\n" in err
    assert ("Traceback" in err) == verbose


def test_a_port_that_is_taken(sandbox: Sandbox, capsys: Any) -> None:
    port = sandbox.url.rpartition(":")[2]
    assert main(["sandbox", "--port", port]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert "address already in use" in line


def test_an_option_given_twice_counts_once(sandbox: Sandbox, run: Run) -> None:
    code, out, _ = run("hashtags --limit 9 --period 30 -q --limit 2 --period 120 -q")
    assert (code, len(json_lines(out))) == (0, 2)
    assert [request.params["period"] for request in sandbox.requests] == ["120"]


def test_a_folder_that_is_not_there_is_named(run: Run, sandbox: Sandbox) -> None:
    code, _, err = run("crawl hashtags -o no/such.sqlite")
    assert (code, err.count("\n")) == (1, 1)
    assert "no/such.sqlite" in err
    assert not Path("no").exists()
