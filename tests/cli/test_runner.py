"""What a signal ends, and the log, for every command."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import Any

import pytest

from keyapi_async.cli import main
from keyapi_async.cli.runner import logging_to_stderr, perform
from keyapi_async.cli.signals import SIGNALS
from keyapi_async.sandbox import Fault, Sandbox
from tests.cli.command_line import FAST, KEY, Run, Tripwire


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_cancels_what_runs(number: int) -> None:
    cleaned = []

    async def work() -> None:
        try:
            os.kill(os.getpid(), number)
            await asyncio.sleep(60)
        finally:
            cleaned.append(True)

    with pytest.raises(KeyboardInterrupt):
        perform(work(), verbose=False)
    assert cleaned == [True]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_list_that_is_interrupted(number: int, run: Run, sandbox: Sandbox) -> None:
    sandbox.fail(Fault.stall(), page=3)
    sandbox._ledger.requests = Tripwire(os.getpid(), number, 1, 3)
    code, _, err = run("hashtags -o tags.jsonl --prefetch 0 --rate inf")
    assert code == 130
    part, end = err.splitlines()
    assert part.startswith("keyapi: incomplete: the 40 items that came are in ")
    assert end == "keyapi: interrupted"


def test_verbose_tells_more_but_never_the_key(sandbox: Sandbox, capsys: Any) -> None:
    sandbox.fail(Fault.body(f"<html>{KEY}".encode()), page=2)
    assert main(["hashtags", "-v", *FAST]) == 1
    err = capsys.readouterr().err
    for detail in ("RequestEvent", "Traceback", "InvalidResponseError", "'page': '2'", "<html>"):
        assert detail in err
    assert KEY not in err


def test_a_log_has_nothing_that_a_terminal_obeys(capsys: Any, sandbox: Sandbox) -> None:
    logger = logging.getLogger("keyapi_async")
    with logging_to_stderr(verbose=True):
        logger.info("one\x1b]0;title\x07\ntwo %s", KEY)
    logger.info("not any more")
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith("INFO one\ufffd]0;title\ufffd")
    assert second == "two ***"


def test_what_a_server_says_is_safe_to_print(sandbox: Sandbox, run: Run) -> None:
    body = b'{"code": 404, "message": "no \\u001b[2J such\\u009b thing", "data": null}'
    sandbox.fail(Fault.body(body))
    code, _, err = run("hashtag x -v")
    assert code == 1
    assert "\x1b" not in err
    assert "\x9b" not in err
    assert "keyapi: 404 no \ufffd[2J such\ufffd thing" in err
