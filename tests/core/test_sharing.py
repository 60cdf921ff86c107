"""One pace, one pause and one adaptive rate for all clients that name a share, as the server sees.

Two clients in one event loop stand for two processes: they share nothing but the file or Redis.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from contextlib import AsyncExitStack
from itertools import pairwise
from typing import Any

import pytest

from keyapi_async import (
    ClientClosedError,
    DeadlineError,
    KeyAPIClient,
    RateLimitError,
    RetryPolicy,
)
from keyapi_async.sandbox import Fault, Sandbox
from keyapi_async.shared_state import HOLD
from tests.core.calls import Events, failing, lasting, outcomes
from tests.core.shares import drive, pace_of, sharing
from tests.core.test_pacing import arrivals, keep_calling, most_within


def sent_by(client: KeyAPIClient) -> int:
    return client.usage.requests


async def call(client: KeyAPIClient, times: int) -> list[Any]:
    return await outcomes([client.trending.hashtag_detail() for _ in range(times)])


# One pace


@pytest.mark.parametrize(("qps", "window"), [(10, "sliding"), (50, "sliding"), (10, "leaky")])
@pytest.mark.parametrize("clients", [2, pytest.param(4, marks=pytest.mark.slow)])
async def test_all_together_use_the_limit_and_nobody_is_refused(
    share: str, qps: float, window: str, clients: int
) -> None:
    limit = {"qps": qps, "window": window, "latency": (0.1, 0.3)}
    limit |= {"burst": 1} if window == "leaky" else {}
    async with sharing(share, limit, *([{"qps": qps}] * clients)) as (sandbox, *all_of_them):
        seconds = 100 / qps
        await asyncio.gather(*(keep_calling(client, seconds) for client in all_of_them))
        times = arrivals(sandbox)
        assert sandbox.refused == 0
        assert most_within(1.0, times) <= qps
        in_time = sum(time < times[0] + seconds for time in times)
        assert in_time >= 0.95 * qps * seconds
        fair = len(times) / clients
        assert all(sent_by(client) >= fair / 2 for client in all_of_them)


async def test_one_that_wants_little_gets_it_though_the_other_wants_all(share: str) -> None:
    async with sharing(share, {}, {"qps": 10}, {"qps": 10}) as (_, greedy, modest):
        greed = asyncio.create_task(keep_calling(greedy, 5, tasks=100))
        await asyncio.sleep(1)
        with lasting(0, 0.3):
            await modest.trending.hashtags()
        await greed


async def test_the_slots_of_a_client_are_those_of_what_is_made_from_it(share: str) -> None:
    async with sharing(share, {}, {"qps": 10}, {"qps": 10}) as (sandbox, one, other):
        urgent = one.with_options(priority=1)
        slow = [asyncio.create_task(one.trending.videos()) for _ in range(5)]
        await asyncio.sleep(0.01)
        calls = [asyncio.create_task(urgent.trending.hashtags()) for _ in range(3)]
        await asyncio.gather(*slow, *calls, call(other, 2))
        asked = [request.path.rsplit("/", 1)[-1] for request in sandbox.requests]
        mine = [name for name in asked if name != "detail"]
        assert mine == ["videos"] + 3 * ["hashtags"] + 4 * ["videos"]
        gaps = [after - before for before, after in pairwise(arrivals(sandbox))]
        assert min(gaps) > 0.09


async def test_the_lower_rate_holds_for_a_minute_after_its_client_has_gone(share: str) -> None:
    async with sharing(share, {}, {"qps": 20}, {"qps": 5}) as (sandbox, fast, slow):
        await call(fast, 3)
        assert fast.usage.pace == 20
        await call(slow, 1)
        with lasting(1.8):
            await call(fast, 9)
        assert fast.usage.pace == 5
        await asyncio.sleep(HOLD - 5)
        await call(fast, 2)
        assert fast.usage.pace == 5
        await asyncio.sleep(6)
        await call(fast, 2)
        assert fast.usage.pace == 20
        assert len(sandbox.requests) == 17


async def test_other_keys_and_other_servers_have_a_pace_of_their_own(share: str) -> None:
    limit = {"latency": 0.01}
    async with sharing(share, limit, {"qps": 1}) as (sandbox, client):
        stranger = drive(sandbox.client("sk-another", share=share, qps=1))
        async with Sandbox(**limit) as another, stranger, AsyncExitStack() as stack:
            elsewhere = drive(another.client(share=share, qps=1))
            await stack.enter_async_context(elsewhere)
            with lasting(0, 0.5):
                await outcomes([call(one, 1) for one in (client, stranger, elsewhere)])


# One pause


async def test_a_pause_of_one_is_a_pause_of_all(share: str) -> None:
    events = Events()
    options = {"qps": 10, "on_event": events}
    async with sharing(share, {"latency": 0.2}, options, options) as (sandbox, one, other):
        sandbox.fail(Fault.status(429, retry_after="5"))
        await asyncio.gather(call(one, 8), call(other, 8))
        times = arrivals(sandbox)
        over = times[0] + 0.2 + 5
        assert [time for time in times if times[0] + 0.32 < time < over - 0.01] == []
        assert len(times) == 17
        after = [time for time in times if time >= over - 0.01]
        assert min(later - sooner for sooner, later in pairwise(after)) > 0.09
        assert sandbox.refused == 1
        assert [event.wait for event in events if event.kind == "pause"] == [5]
        assert one.usage.pace == other.usage.pace == 10


async def test_whoever_cannot_wait_for_the_pause_of_another_ends_at_once(share: str) -> None:
    async with sharing(share, {}, {"qps": 10}, {"qps": 10}) as (sandbox, one, other):
        hasty = other.with_options(retry=RetryPolicy(max_wait=3))
        soon = other.with_options(deadline=4)
        sandbox.fail(Fault.status(429, retry_after="9"))
        refused = asyncio.create_task(one.trending.videos())
        await asyncio.sleep(0.05)
        waiting = [hasty.trending.hashtags(), hasty.trending.music(), soon.trending.hashtags()]
        with lasting(0, 0.2):
            found = await outcomes(waiting)
        assert [type(error) for error in found] == [RateLimitError, RateLimitError, DeadlineError]
        assert all(8.5 < error.retry_after < 9 for error in found)
        assert "refused in a process that shares the pace" in str(found[0])
        with lasting(0, 0.01):  # and those that come later, too
            error = await failing(hasty.trending.hashtags(), RateLimitError)
        assert 8.5 < error.retry_after < 9
        await refused
        assert len(sandbox.requests) == 2


async def test_calls_that_wait_in_a_queue_end_when_the_pause_of_another_is_found(
    share: str,
) -> None:
    async with sharing(share, {}, {"qps": 2}, {"qps": 2}) as (sandbox, one, other):
        hasty = other.with_options(retry=RetryPolicy(max_wait=3))
        calls = [asyncio.create_task(hasty.trending.hashtags()) for _ in range(10)]
        await asyncio.sleep(0.1)
        sandbox.fail(Fault.status(429, retry_after="9"), times=None)
        lost = asyncio.create_task(failing(one.with_options(deadline=2).trending.videos()))
        with lasting(0.4, 1.6):
            found = await outcomes(list(calls))
        kinds = Counter(type(one).__name__ for one in found)
        assert kinds["RateLimitError"] >= 8
        assert await lost
        # The one slot that it had reserved by then.
        late = [request for request in sandbox.requests if "hashtags" in request.path][1:]
        assert len(late) <= 1


# One adaptive rate


async def test_a_rate_set_too_high_comes_down_for_all_and_climbs_back(share: str) -> None:
    limit = {"qps": 10, "window": "leaky", "burst": 5, "latency": (0.1, 0.3)}
    async with sharing(share, limit, {"qps": 50}, {"qps": 50}) as (sandbox, one, other):
        await asyncio.gather(keep_calling(one, 30), keep_calling(other, 30))
        end = arrivals(sandbox)[-1]
        served = [request.time for request in sandbox.requests if request.status == 200]
        assert sum(time > end - 10 for time in served) >= 75
        await call(one, 1)
        await call(other, 1)
        assert one.usage.pace == other.usage.pace < 20
        sandbox.qps = None
        for _ in range(15):  # each raises it by 7 %
            for client in (one, other):
                await asyncio.sleep(60)
                await call(client, 1)
        await call(one, 1)
        assert one.usage.pace == other.usage.pace == 50


async def test_a_client_that_is_not_adaptive_leaves_the_rate_alone(share: str) -> None:
    options = {"qps": 50, "adaptive": False}
    async with sharing(share, {"qps": 10}, options, options) as (sandbox, one, other):
        await asyncio.gather(keep_calling(one, 5), keep_calling(other, 5))
        assert sandbox.refused > 4
        assert one.usage.pace == other.usage.pace == 50


# Those who give up


async def test_calls_that_are_cancelled_push_nobodys_slot_away(share: str) -> None:
    async with sharing(share, {}, {"qps": 10}, {"qps": 10}) as (sandbox, one, other):
        await call(one, 1)
        hasty = one.with_options(deadline=0.01)
        found = [(await call(hasty, 1))[0] for _ in range(80)]
        assert sum(isinstance(one, DeadlineError) for one in found) >= 70
        with lasting(0, 0.4):
            await call(other, 1)
        with lasting(0, 0.3):
            await call(one, 1)
        with lasting(0.9, 1.3):
            await call(one, 10)
        assert len(sandbox.requests) > 10


async def test_a_slot_nobody_waited_for_is_not_used_later(share: str) -> None:
    async with sharing(share, {}, {"qps": 2}) as (sandbox, client):
        await call(client, 1)
        await failing(client.with_options(deadline=0.1).trending.hashtags(), DeadlineError)
        await asyncio.sleep(3)
        await call(client, 3)
        times = arrivals(sandbox)
        assert min(after - before for before, after in pairwise(times)) > 0.45


async def test_closing_ends_those_who_wait_for_a_slot(share: str) -> None:
    async with sharing(share, {}, {"qps": 0.1}) as (sandbox, client):
        calls = [asyncio.create_task(client.trending.hashtags()) for _ in range(5)]
        await asyncio.sleep(1)
        with lasting(0):
            await client.close()
            found = await outcomes(list(calls))
        assert Counter(type(one).__name__ for one in found) == {"Page": 1, "ClientClosedError": 4}
        assert len(sandbox.requests) == 1


async def test_closing_ends_who_swallowed_the_cancellation(share: str) -> None:
    async with sharing(share, {}, {"qps": 0.1}) as (_, client):
        pace = pace_of(client)
        await pace.acquire()
        waiting = asyncio.create_task(pace.acquire())
        await asyncio.sleep(1)
        await pace.close()
        with pytest.raises(ClientClosedError, match="was closed"):
            await waiting


async def test_a_pace_that_is_cut_is_logged_and_told_once(
    share: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    events = Events()
    options = {"qps": 50, "on_event": events}
    async with sharing(share, {}, options, {"qps": 50}) as (sandbox, one, other):
        for page in (1, 2):
            sandbox.fail(Fault.status(429), page=page)
            await one.trending.hashtags(page=page)
        await call(other, 1)
        assert one.usage.pace == other.usage.pace < 50
        found = f"pace cut to {one.usage.pace:.3g} requests/s"
        assert sum(found in record.message for record in caplog.records) == 1
        assert events.kinds.count("pace") == 1
