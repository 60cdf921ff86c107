"""What is counted and told: credits, budgets, events, logs."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from keyapi_async import (
    CreditBudgetError,
    KeyAPIError,
    RetryPolicy,
)
from keyapi_async.sandbox import Fault
from tests.core.audited_sandbox import opened
from tests.core.calls import TRENDING, Events, failing, outcomes, spending
from tests.core.fault_cases import CASES


@pytest.mark.parametrize("bill_faults", [False, True], ids=["free", "billed"])
@pytest.mark.parametrize(
    "fault", [None, *sorted(CASES.keys() - {"bomb", "429 for an hour", "data null", "data empty"})]
)
async def test_max_credits_is_never_passed(fault: str | None, bill_faults: bool) -> None:
    settings = {"bill_faults": bill_faults, "latency": (0, 0.2)}
    async with opened(settings, max_credits=21, qps=100, timeout=5) as (client, sandbox):
        if fault:
            sandbox.fail(CASES[fault].fault, times=20)
        results = await outcomes([client.trending.hashtags() for _ in range(50)])
        served = sum(not isinstance(result, KeyAPIError) for result in results)
        assert spending(client)[0] == 2 * served
        assert max(sum(spending(client)), sandbox.credits_spent) <= 20
        if fault is None:
            assert served == len(sandbox.requests) == 10
            assert sum(isinstance(result, CreditBudgetError) for result in results) == 40
        sandbox.heal()
        while sum(spending(client)) < 20:  # what turned out to be free can still be used
            await client.trending.videos()
        error = await failing(client.trending.videos(), CreditBudgetError)
        assert (error.attempts, error.maybe_billed) == (0, False)


async def test_max_credits_is_checked_before_a_retry() -> None:
    async with opened(max_credits=3) as (client, sandbox):
        sandbox.fail(Fault.status(503))
        error = await failing(client.trending.hashtags(), CreditBudgetError)
        assert (error.attempts, error.maybe_billed) == (1, True)
        assert (len(sandbox.requests), spending(client)) == (1, (0, 2))


async def test_a_budget_of_nothing_sends_nothing() -> None:
    async with opened(max_credits=0) as (client, sandbox):
        await failing(client.trending.hashtags(), CreditBudgetError)
        assert (sandbox.requests, spending(client)) == ([], (0, 0))


async def test_a_429_and_its_retry_are_told_in_order() -> None:
    events = Events()
    async with opened(on_event=events) as (client, sandbox):
        sandbox.fail(Fault.status(429, retry_after="3"))
        page = await client.trending.hashtags()
        assert events.kinds == "attempt pause retry attempt"
        assert [event.attempt for event in events] == [1, 1, 1, 2]
        assert [event.status for event in events] == [429, 429, 429, 200]
        assert [event.error for event in events] == ["RateLimitError"] * 3 + [None]
        assert [event.wait for event in events] == [None, 3.0, 0.0, None]
        assert [event.elapsed is None for event in events] == [False, True, True, False]
        assert {event.endpoint for event in events} == {TRENDING + "hashtags"}
        assert events[0].params == sandbox.requests[0].params
        assert events[-1].request_id == page.request_id
        assert {event.pace for event in events} == {10}


async def test_a_500_and_its_retry_are_told_in_order() -> None:
    events = Events()
    async with opened(on_event=events) as (client, sandbox):
        sandbox.fail(Fault.status(500))
        await client.trending.hashtags()
        assert events.kinds == "attempt retry attempt"
        assert [(event.status, event.error) for event in events] == [
            (500, "ServerError"),
            (500, "ServerError"),
            (200, None),
        ]


async def test_a_lost_connection_is_told_without_a_status() -> None:
    events = Events()
    async with opened(on_event=events) as (client, sandbox):
        sandbox.fail(Fault.reset())
        await client.trending.hashtags()
        assert [(event.kind, event.status, event.error) for event in events] == [
            ("attempt", None, "TransportError"),
            ("retry", None, "TransportError"),
            ("attempt", 200, None),
        ]


async def test_an_on_event_that_raises_breaks_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def on_event(event: object) -> None:
        raise RuntimeError(f"not my {type(event).__name__}")

    async with opened(on_event=on_event) as (client, sandbox):
        sandbox.fail(Fault.status(500))
        assert (await client.trending.hashtags()).items
    failures = [record for record in caplog.records if record.levelname == "ERROR"]
    assert [record.getMessage() for record in failures] == [
        "on_event failed; the request goes on"
    ] * 3


QUIET_PROGRAM = """
import asyncio, sys
from keyapi_async import KeyAPIClient, KeyAPIError, RetryPolicy
from keyapi_async.sandbox import Fault, Sandbox

def on_event(event):
    raise RuntimeError

async def main():
    async with Sandbox() as sandbox:
        sandbox.fail(Fault.status(429, retry_after="0"))
        async with sandbox.client(on_event=on_event) as client:
            await client.trending.hashtags()

asyncio.run(main())
"""


def test_an_unconfigured_program_hears_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", QUIET_PROGRAM], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("", "")


async def test_debug_logs_what_on_event_is_told(caplog: pytest.LogCaptureFixture) -> None:
    events = Events()
    with caplog.at_level(logging.DEBUG, "keyapi_async"):
        async with opened(on_event=events) as (client, sandbox):
            sandbox.fail(Fault.status(429))
            await client.trending.hashtags()
        async with opened() as (client, sandbox):
            await client.trending.videos()
    *told, last = [record.getMessage() for record in caplog.records if record.levelname == "DEBUG"]
    assert told == [str(event) for event in events]
    assert "trending/videos" in last
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "429 from /v1/tiktok/trending/hashtags: all calls pause for 1 s"
    ]


async def test_without_debug_and_on_event_nothing_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with opened(retry=RetryPolicy(backoff=0)) as (client, sandbox):
        sandbox.fail(Fault.status(500))
        await client.trending.hashtags()
    assert not [record for record in caplog.records if record.name == "keyapi_async"]
