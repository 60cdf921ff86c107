"""Every fault x every endpoint and pager: the right end, exact attempts, exact credits."""

from __future__ import annotations

import asyncio
import math
import random
from typing import Any

import pytest

from keyapi_async import (
    InvalidResponseError,
    KeyAPIError,
    RateLimitError,
    RetryPolicy,
    TransportError,
)
from keyapi_async.sandbox import Fault, Sandbox
from tests.core.audited_sandbox import opened
from tests.core.calls import CALLS, PAGERS, TRENDING, Call, failing, spending
from tests.core.fault_cases import CASES
from tests.core.leaks import in_use

GROUPS = {"calls": CALLS, "pagers": PAGERS}
"""Each by itself: all of them at once would draw more retries than a client has."""

REFUSALS = {
    "429": Fault.status(429),
    "page of a proxy": Fault.html(429),
    "429 in a 200": Fault.status(429, http=200),
}


@pytest.mark.parametrize("bill_faults", [False, True], ids=["free", "billed"])
@pytest.mark.parametrize("calls", GROUPS.values(), ids=GROUPS)
@pytest.mark.parametrize("fault", CASES)
async def test_a_fault_that_stays(fault: str, calls: dict[str, Call], bill_faults: bool) -> None:
    case = CASES[fault]
    async with opened({"bill_faults": bill_faults}, qps=math.inf, timeout=5) as (client, sandbox):
        sandbox.fail(case.fault, times=None)
        for name, call in calls.items():
            error = await failing(call(client), case.error)
            assert (error.endpoint, error.attempts) == (TRENDING + name, case.attempts)
            assert error.params == sandbox.requests[-1].params
            assert error.maybe_billed is bool(case.at_risk or case.spent)
            assert in_use(client) == 0
            await asyncio.sleep(getattr(error, "retry_after", None) or 0)  # which is for everybody
        await settled(sandbox)
        sent = case.attempts * len(calls)
        spent, at_risk = case.spent * len(calls), case.at_risk * len(calls)
        assert len(sandbox.requests) == client.usage.requests == sent
        assert client.usage.retries == sent - len(calls)
        assert client.usage.rate_limited == sent * (case.error is RateLimitError)
        assert spending(client) == (spent, at_risk)
        assert sandbox.credits_spent == spent + at_risk * bill_faults
        await check_mended(client, sandbox, calls, spent)


async def check_mended(client: Any, sandbox: Sandbox, calls: dict[str, Call], spent: int) -> None:
    """The next calls on the same client work."""
    sandbox.heal()
    at_risk, sent = client.usage.credits_at_risk, len(sandbox.requests)
    for call in calls.values():
        await call(client)
    pages = len(calls) * (2 if calls is PAGERS else 1)
    assert len(sandbox.requests) == sent + pages
    assert spending(client) == (spent + 2 * pages, at_risk)


@pytest.mark.parametrize("calls", GROUPS.values(), ids=GROUPS)
@pytest.mark.parametrize("fault", REFUSALS)
async def test_a_refusal_that_stays(fault: str, calls: dict[str, Call]) -> None:
    async with opened(qps=1000, retry=RetryPolicy(rate_limit_deadline=3.5)) as (client, sandbox):
        sandbox.fail(REFUSALS[fault], times=None)
        for name, call in calls.items():
            error = await failing(call(client), RateLimitError)
            assert (error.endpoint, error.attempts) == (TRENDING + name, 4)  # one each second
            assert (error.maybe_billed, spending(client)) == (False, (0, 0))
        assert client.usage.rate_limited == len(sandbox.requests) == 4 * len(calls)
        await check_mended(client, sandbox, calls, 0)


@pytest.mark.parametrize("calls", GROUPS.values(), ids=GROUPS)
@pytest.mark.parametrize(
    "fault", [*(name for name, case in CASES.items() if case.attempts > 1), *REFUSALS]
)
async def test_a_fault_that_passes(fault: str, calls: dict[str, Call]) -> None:
    async with opened(qps=1000) as (client, sandbox):
        for call in calls.values():
            sandbox.fail(CASES[fault].fault if fault in CASES else REFUSALS[fault])
            await call(client)
        pages = len(calls) * (2 if calls is PAGERS else 1)
        assert len(sandbox.requests) == pages + len(calls)
        assert client.usage.retries == len(calls)
        assert client.usage.credits_spent == sandbox.credits_spent == 2 * pages


@pytest.mark.parametrize("calls", GROUPS.values(), ids=GROUPS)
async def test_a_server_that_is_not_there(calls: dict[str, Call]) -> None:
    async with Sandbox() as sandbox:
        port = int(sandbox.url.rpartition(":")[2])
    async with sandbox.client(qps=1000) as client:
        for call in calls.values():
            error = await failing(call(client), TransportError)
            assert "could not connect" in str(error)
            assert (error.attempts, error.maybe_billed) == (4, False)
        assert (client.usage.requests, spending(client)) == (0, (0, 0))
        async with Sandbox(port=port) as back:
            await check_mended(client, back, calls, 0)


async def test_a_redirect_is_one_attempt_at_risk() -> None:
    async with opened() as (client, sandbox):
        sandbox.fail(Fault.redirect(sandbox.url))
        error = await failing(client.trending.hashtags(), InvalidResponseError)
        assert (error.attempts, len(sandbox.requests), spending(client)) == (1, 1, (0, 2))


PASSING = [
    Fault.status(429),
    Fault.status(500),
    Fault.status(503),
    Fault.html(502),
    Fault.status(500, http=200),
    Fault.reset(),
    Fault.disconnect(),
    Fault.stall(),
    Fault.drip(),
    Fault.half_json(),
    Fault.truncated(),
    Fault.html(200),
    Fault.data(None),
]


@pytest.mark.slow
@pytest.mark.parametrize("bill_faults", [False, True])
async def test_soak(bill_faults):
    """2,000 pages with 20 % faults of every kind: every item once, the books right throughout."""
    sandbox = Sandbox(
        faults=PASSING, fault_rate=0.2, seed=7, bill_faults=bill_faults, latency=(0.0, 0.2)
    )
    async with sandbox, sandbox.client(qps=1000, adaptive=False) as client:
        usage = client.usage

        def books_right(_: object) -> None:
            assert usage.credits_spent <= sandbox.credits_spent
            assert sandbox.credits_spent <= usage.credits_spent + usage.credits_at_risk

        async def stream(queries):
            for period, region in queries:
                pager = client.trending.iter_videos(
                    period=period, region=region, prefetch=random.Random(region).choice([0, 2])
                )
                found = []
                while pager.stop_reason is None:
                    try:
                        async for video in pager:
                            found.append(video.item_id)
                            books_right(video)
                    except KeyAPIError:
                        books_right(None)
                expected = sandbox.items("videos", period=str(period), region=region)
                assert found == [item["item_id"] for item in expected]

        regions = [f"R{number}" for number in range(27)]
        queries = [(period, region) for region in regions for period in (7, 30, 120)][:80]
        await asyncio.gather(*(stream(queries[number::8]) for number in range(8)))
        await settled(sandbox)
        books_right(None)
        pages = [r for r in sandbox.requests if r.code == 0 and r.credits and r.fault != "data"]
        assert len(pages) >= 2000
        if not bill_faults:
            assert usage.credits_spent == sandbox.credits_spent


@pytest.mark.parametrize("prefetch", [0, 5])
async def test_max_credits_is_never_passed(prefetch):
    """50 tasks at once, with prefetch, retries and billed faults."""
    sandbox = Sandbox(faults=PASSING, fault_rate=0.3, seed=3, bill_faults=True, latency=(0.0, 0.2))
    async with sandbox, sandbox.client(qps=1000, max_credits=150) as client:

        async def crawl(number: int) -> None:
            while True:
                await client.trending.iter_hashtags(
                    region=f"R{number}", prefetch=prefetch
                ).collect()

        results = await asyncio.gather(*map(crawl, range(50)), return_exceptions=True)
        assert all(isinstance(result, KeyAPIError) for result in results)
        await settled(sandbox)
        assert sandbox.credits_spent <= 150
        assert client.usage.credits_spent + client.usage.credits_at_risk <= 150
        assert sandbox.credits_spent >= 100


async def settled(sandbox: Sandbox) -> None:
    """Until the server has noticed which clients went away."""
    while sandbox._ledger._held:
        await asyncio.sleep(0.01)
