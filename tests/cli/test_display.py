"""How a command says how it is getting on: a bar, plain lines, JSON lines."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Callable
from typing import Any

import pytest

from keyapi_async import RequestEvent
from keyapi_async.cli import display as module
from keyapi_async.cli.display import BAR, Display, choose_form
from keyapi_async.crawl import Progress
from keyapi_async.sandbox import Fault, Sandbox
from tests.cli.command_line import Run, Terminal


def wait(kind: str, seconds: float, **fields: Any) -> RequestEvent:
    return RequestEvent(
        kind=kind,  # type: ignore[arg-type]
        endpoint="/p",
        params={},
        attempt=1,
        pace=12.0,
        wait=seconds,
        **fields,
    )


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def busy(clock: list[float]) -> Display:
    """In the middle of a crawl, for half a minute."""
    progress = Progress(queries=9, done=3, failed=1, pages=10, pages_expected=40, items=80)
    progress.duplicates = 2
    display = Display("plain", max_credits=500)
    display.look = lambda: progress
    display.usage.pace = 12.0
    for _ in range(30):
        clock[0] += 1.0
        display.usage.requests += 10
        display.state()
    display.usage.credits_spent, display.usage.retries = 600, 4
    return display


def test_a_line_tells_all_there_is(busy: Display, clock: list[float]) -> None:
    assert busy.line() == (
        "10/40 pages · 3/9 lists · 1 failed · 80 items · 2 duplicates · 10.0/12 req/s · "
        "600/500 credits · 4 retries · 3 s left"
    )
    busy.on_event(wait("pause", 7.0, error="RateLimitError", status=429))
    assert busy.line().endswith(" · 3 s left · waiting 7.0 s: rate limit (429)")
    clock[0] += 8.0
    assert "waiting" not in busy.line()
    busy.on_event(wait("retry", 2.0, error="TransportError"))
    assert busy.line().endswith(" · waiting 2.0 s: retry after no connection")
    busy.on_event(wait("pace", 9.0))
    busy.on_event(wait("retry", 0.0))
    assert busy.line().endswith(" · waiting 2.0 s: retry after no connection")


def test_a_line_has_what_there_is_room_for(busy: Display) -> None:
    assert busy.line(85) == (
        "10/40 pages · 3/9 lists · 1 failed · 10.0/12 req/s · 600/500 credits · 3 s left"
    )
    assert busy.line(80 - BAR - 2) == (
        "10/40 pages · 3/9 lists · 10.0/12 req/s · 600/500 credits · 3 s left"
    )
    busy.on_event(wait("pause", 7.0, error="RateLimitError", status=429))
    assert busy.line(66) == "10/40 pages · 3 s left · waiting 7.0 s: rate limit (429)"
    assert busy.line(20) == "waiting 7.0 s: rate limit (429)"  # cut by the terminal


def test_an_outage_is_told(busy: Display, clock: list[float]) -> None:
    look = busy.look()
    look.outage, look.next_probe = "could not connect:\x1b[2J", clock[0] + 12
    state = busy.state()
    assert (state["waiting_seconds"], "could not connect" in state["waiting_because"]) == (12, True)
    assert busy.line(66).startswith(
        "waiting 12.0 s: the server is down, could not connect:\ufffd[2J"
    )


def test_little_is_known_at_first(clock: list[float]) -> None:
    display = Display("plain", noun="hashtag")
    display.usage.pace = float("inf")
    assert display.line() == "0 hashtags · 0.0 req/s · 0 credits"
    state = display.state()
    assert (state["pace"], state["eta_seconds"], state["max_credits"]) == (None, None, None)


def test_forms(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_form(quiet=False, verbose=False) == "plain"
    assert choose_form(quiet=True, verbose=False) == "quiet"
    assert choose_form(quiet=True, verbose=False, log_json=True) == "json"
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    assert choose_form(quiet=False, verbose=False) == "live"
    assert choose_form(quiet=False, verbose=True) == "plain"
    monkeypatch.setenv("TERM", "dumb")
    assert choose_form(quiet=False, verbose=False) == "plain"


async def test_a_bar_fits_one_line(
    busy: Display, monkeypatch: pytest.MonkeyPatch, clock: list[float]
) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    display = Display("live", max_credits=500)
    display.look, display.usage = busy.look, busy.usage
    async with display.running():
        await asyncio.sleep(0.15)
        display.on_event(wait("pause", 99.0, error="an error of a very long name indeed" * 3))
        await asyncio.sleep(0.1)
        display.tell("news", "something else")
    shown = screen.getvalue()
    assert "━" * 3 in shown
    assert "10/40 pages · 3/9 lists" in shown
    assert "waiting 99.0 s: an error of a very" in shown
    assert "keyapi: something else\n" in shown
    plain = [part for part in shown.split("\r") if "pages" in part or "waiting" in part]
    for line in plain:
        text = module.printable("".join(line.split("\x1b[2K")))
        assert "\n" not in text


async def test_a_terminal_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(Terminal):
        is_gone = False

        def write(self, text: str) -> int:
            if self.is_gone:
                raise OSError
            return super().write(text)

    screen = Gone()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    async with Display("live").running():
        screen.is_gone = True


def test_waiting_is_told_on_a_terminal(sandbox: Sandbox, terminal: Callable[..., str]) -> None:
    sandbox.fail(Fault.status(429, retry_after="0.5"), page=2)
    sandbox.fail(Fault.status(503), page=3)
    screen = terminal("hashtags -o /dev/null --prefetch 0 --rate inf")
    assert re.search(r"1/5 pages · .* · waiting 0\.[1-5] s: rate limit \(429\)", screen)
    assert re.search(r"2/5 pages · .* · waiting 0\.\d s: retry after server error \(503\)", screen)
    assert screen.endswith("keyapi: 100 of 100 hashtags · 5 pages · 10 credits\n")
    assert len(sandbox.requests) == 7


def test_waiting_is_told_elsewhere(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(module.EVERY, "plain", 0.15)
    sandbox.fail(Fault.status(429, retry_after="0.2"))
    code, _, err = run("hashtags --limit 1")
    assert code == 0
    line = r"keyapi: 0 hashtags · [\d.]+/10 req/s · 0 credits · waiting 0.\d s: rate limit"
    assert re.fullmatch(line + r" \(429\)\n", err)
    sandbox.fail(Fault.status(429, retry_after="0.2"))
    assert run("hashtags --limit 1 -q")[2] == ""


async def test_json_lines(busy: Display, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(module.EVERY, "json", 0.1)
    display = Display("json", max_credits=500)
    display.look, display.usage = busy.look, busy.usage
    async with display.running():
        await asyncio.sleep(0.15)
    display.tell("news", "what came", credits=2)
    progress, news = map(json.loads, capsys.readouterr().err.splitlines())
    assert (news["event"], news["message"], news["credits"]) == ("news", "what came", 2)
    expected = {
        "event": "progress",
        "queries": 9,
        "done": 3,
        "failed": 1,
        "pages": 10,
        "pages_expected": 40,
        "items": 80,
        "duplicates": 2,
        "pace": 12.0,
        "credits_spent": 600,
        "credits_at_risk": 0,
        "max_credits": 500,
        "retries": 4,
        "waiting_seconds": 0.0,
        "waiting_because": "",
    }
    assert expected.items() <= progress.items()
    assert {"requests_per_second", "eta_seconds", "time"} <= progress.keys()


async def test_quiet(capsys: Any) -> None:
    display = Display("quiet")
    async with display.running():
        display.tell("news", "nothing")
    assert capsys.readouterr() == ("", "")
