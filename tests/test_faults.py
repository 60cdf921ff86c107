"""Every fault x every endpoint and iterator: the right end, exact attempts, exact credits."""

from __future__ import annotations

import asyncio
import random

import pytest
from attrs import frozen

from keyapi_async import (
    AuthenticationError,
    BadRequestError,
    InsufficientCreditsError,
    InvalidResponseError,
    KeyAPIError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    RequestTimeoutError,
    ServerError,
    TransportError,
)
from keyapi_async.sandbox import Fault, Sandbox

CALLS = {
    "hashtags": lambda trending: trending.hashtags(),
    "hashtag_detail": lambda trending: trending.hashtag_detail(),
    "videos": lambda trending: trending.videos(),
    "music": lambda trending: trending.music(),
    "music_detail": lambda trending: trending.music_detail(),
    "iter_hashtags": lambda trending: trending.iter_hashtags(max_pages=2).collect(),
    "iter_videos": lambda trending: trending.iter_videos(max_pages=2).collect(),
    "iter_music": lambda trending: trending.iter_music(max_pages=2).collect(),
}


@frozen
class Case:
    """A fault that stays, and what a call makes of it."""

    fault: Fault
    error: type[KeyAPIError]
    attempts: int  # until it gives up
    at_risk: int  # credits, after those attempts
    spent: int = 0


CASES = {
    "400": Case(Fault.status(400), BadRequestError, 1, 0),
    "401": Case(Fault.status(401), AuthenticationError, 1, 0),
    "402": Case(Fault.status(402), InsufficientCreditsError, 1, 0),
    "403": Case(Fault.status(403), PermissionDeniedError, 1, 0),
    "404": Case(Fault.status(404), NotFoundError, 1, 0),
    "429": Case(Fault.status(429), RateLimitError, 0, 0),
    "429 for an hour": Case(Fault.status(429, retry_after="3600"), RateLimitError, 1, 0),
    "429 page of a proxy": Case(Fault.html(429), RateLimitError, 0, 0),
    "429 in a 200": Case(Fault.status(429, http=200), RateLimitError, 0, 0),
    "500": Case(Fault.status(500), ServerError, 2, 4),
    "500 in a 200": Case(Fault.status(500, http=200), ServerError, 2, 4),
    "502 page": Case(Fault.html(502), ServerError, 4, 8),
    "503": Case(Fault.status(503), ServerError, 4, 8),
    "504": Case(Fault.status(504), ServerError, 4, 8),
    "HTML 200": Case(Fault.html(200), InvalidResponseError, 1, 2),
    "half JSON": Case(Fault.half_json(), InvalidResponseError, 1, 2),
    "truncated": Case(Fault.truncated(), InvalidResponseError, 1, 2),
    "bomb": Case(Fault.bomb(40_000_000), InvalidResponseError, 1, 2),
    "redirect": Case(Fault.redirect("https://elsewhere.example/"), InvalidResponseError, 1, 2),
    "data null": Case(Fault.data(None), InvalidResponseError, 1, 0, spent=2),
    "data empty": Case(Fault.data({}), InvalidResponseError, 1, 0, spent=2),
    "reset": Case(Fault.reset(), TransportError, 2, 4),
    "disconnect": Case(Fault.disconnect(), TransportError, 2, 4),
    "stall": Case(Fault.stall(), RequestTimeoutError, 2, 4),
    "drip": Case(Fault.drip(), RequestTimeoutError, 2, 4),
}


@pytest.mark.parametrize("bill_faults", [False, True])
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name", CASES)
async def test_a_fault_that_stays(name, call, bill_faults):
    case = CASES[name]
    before = asyncio.all_tasks()
    async with Sandbox(bill_faults=bill_faults) as sandbox:
        async with sandbox.client(qps=1000) as client:
            sandbox.fail(case.fault, times=None)
            with pytest.raises(case.error) as caught:
                await CALLS[call](client.trending)
            error, usage = caught.value, client.usage
            assert type(error) is case.error
            if case.attempts:
                assert error.attempts == case.attempts
            else:  # by time: a pause of 1 s each for 60 s
                assert 58 <= error.attempts <= 62
            assert usage.requests == len(sandbox.requests) == error.attempts
            assert usage.retries == error.attempts - 1
            assert usage.rate_limited == (error.attempts if case.error is RateLimitError else 0)
            assert (usage.credits_spent, usage.credits_at_risk) == (case.spent, case.at_risk)
            assert error.maybe_billed == bool(case.spent or case.at_risk)
            assert error.endpoint == sandbox.requests[0].path
            assert error.params == sandbox.requests[0].params
            await settled(sandbox)
            bill = case.spent + (case.at_risk if bill_faults and name != "redirect" else 0)
            assert sandbox.credits_spent == bill

            sandbox.heal()  # the next call on the same client works
            sent = len(sandbox.requests)
            await CALLS[call](client.trending)
            pages = 2 if call.startswith("iter") else 1
            assert len(sandbox.requests) == sent + pages
            assert usage.credits_spent == case.spent + 2 * pages
        assert asyncio.all_tasks() - before == server_tasks(before)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "name", [name for name, case in CASES.items() if case.attempts != 1 and "404" not in name]
)
async def test_a_fault_that_passes(name, call):
    async with Sandbox() as sandbox, sandbox.client(qps=1000) as client:
        sandbox.fail(CASES[name].fault)
        await CALLS[call](client.trending)
        pages = 2 if call.startswith("iter") else 1
        assert len(sandbox.requests) == pages + 1
        assert client.usage.retries == 1
        assert client.usage.credits_spent == sandbox.credits_spent == 2 * pages


@pytest.mark.parametrize("call", CALLS)
async def test_a_server_that_is_not_there(call, unused_tcp_port):
    async with Sandbox() as sandbox:
        port = sandbox.url.rpartition(":")[2]
    client = sandbox.client(qps=1000)
    async with client:
        with pytest.raises(TransportError, match="could not connect") as caught:
            await CALLS[call](client.trending)
        assert caught.value.attempts == 4
        assert not caught.value.maybe_billed
        assert client.usage.requests == client.usage.credits_at_risk == 0
        async with Sandbox(port=int(port)):
            await CALLS[call](client.trending)


FAULTS = [
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


@pytest.mark.parametrize("bill_faults", [False, True])
async def test_soak(bill_faults):
    """2,000 pages with 20 % faults of every kind: every item once, the books right throughout."""
    sandbox = Sandbox(
        faults=FAULTS, fault_rate=0.2, seed=7, bill_faults=bill_faults, latency=(0.0, 0.2)
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
    sandbox = Sandbox(faults=FAULTS, fault_rate=0.3, seed=3, bill_faults=True, latency=(0.0, 0.2))
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


def server_tasks(before):
    """Tasks of the sandbox's own connections, which end with it."""
    return {task for task in asyncio.all_tasks() - before if "RequestHandler" in repr(task)}
