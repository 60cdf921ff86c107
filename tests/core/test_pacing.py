"""The pace as a server sees it, and the turns behind it. (The guard alone: test_guard.py.)"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest

from keyapi_async import KeyAPIClient, RateLimitError, RetryPolicy
from keyapi_async.guard import Guard
from keyapi_async.pacing import OwnPace, Pacer
from keyapi_async.sandbox import Fault, Sandbox
from tests.core.audited_sandbox import opened
from tests.core.calls import CALLS, Events, lasting, outcomes, spending


def arrivals(sandbox: Sandbox) -> list[float]:
    return [request.time for request in sandbox.requests]


def most_within(seconds: float, times: Sequence[float]) -> int:
    """The most of these moments in any window of that length."""
    return max(sum(start <= time < start + seconds for time in times) for start in times)


def make_pacer(qps: float, margin: float = 0.03) -> Pacer:
    guard = Guard(ceiling=qps, pace=qps)
    return Pacer(guard, OwnPace(guard, margin), adaptive=True)


async def keep_calling(client: KeyAPIClient, seconds: float, tasks: int = 16) -> None:
    end = asyncio.get_running_loop().time() + seconds

    async def work() -> None:
        while asyncio.get_running_loop().time() < end:
            await client.trending.hashtag_detail()

    await asyncio.gather(*(work() for _ in range(tasks)))


# Under the ceiling, and close to it


@pytest.mark.parametrize(
    ("window", "qps", "seconds"),
    [("sliding", 10, 10), ("fixed", 10, 10), ("leaky", 10, 10), ("sliding", 50, 5)],
)
async def test_the_limit_is_used_to_the_full_and_never_passed(
    qps: float, seconds: float, window: str
) -> None:
    burst = {"burst": 1} if window == "leaky" else {}
    settings = {"qps": qps, "window": window, "latency": (0.1, 0.3), **burst}
    async with opened(settings, qps=qps) as (client, sandbox):
        await keep_calling(client, seconds, tasks=32)
        times = arrivals(sandbox)
        assert client.usage.rate_limited == 0
        assert most_within(1.0, times) <= qps
        assert most_within(3.0, times) <= 3 * qps
        assert min(after - before for before, after in pairwise(times)) >= 0.5 / qps
        in_time = sum(time < times[0] + seconds for time in times)
        assert in_time >= 0.95 * qps * seconds


@pytest.mark.parametrize(
    ("options", "calls", "low", "high", "gap"),
    [
        ({"qps": 0.5}, 6, 10.1, 11, 2.0),
        ({"qps": 10, "margin": 0.5}, 51, 9.8, 11, 0.19),
        ({"qps": 10, "margin": 0}, 101, 9.8, 11, 0.095),
        ({"qps": 50}, 101, 1.9, 2.5, 0.019),
        ({"qps": 1000}, 300, 0.25, 3, 0),
        ({"qps": math.inf}, 1000, 0, 3, 0),
    ],
    ids=["0.5/s", "margin 0.5", "margin 0", "50/s", "1000/s", "unpaced"],
)
async def test_the_pace_is_qps_less_the_margin(
    options: dict[str, Any], calls: int, low: float, high: float, gap: float
) -> None:
    pacer, times = make_pacer(**options), list[float]()

    async def turn() -> None:
        await pacer.acquire()
        times.append(asyncio.get_running_loop().time())

    with lasting(low, high):
        await asyncio.gather(*(turn() for _ in range(calls)))
    assert pacer.pace == options["qps"]
    assert min(after - before for before, after in pairwise(times)) >= gap


# First come, first served


async def test_turns_come_in_the_order_of_asking_and_newcomers_wait() -> None:
    pacer = make_pacer(5000)
    asked, served, tasks = list[int](), list[int](), list[asyncio.Task[None]]()

    async def turn(number: int, *, brings_one: bool) -> None:
        asked.append(number)
        await pacer.acquire()
        served.append(number)
        if brings_one:  # it asks in the moment in which another is just waking
            tasks.append(asyncio.create_task(turn(number + 250, brings_one=False)))

    tasks += [asyncio.create_task(turn(number, brings_one=True)) for number in range(250)]
    await asyncio.gather(*tasks)
    await asyncio.gather(*tasks[250:])
    assert served == asked
    assert sorted(served) == list(range(500))


async def test_calls_reach_the_server_in_the_order_of_asking() -> None:
    names = [f"tag{number}" for number in range(100)]
    async with opened({"latency": (0, 0.5)}, qps=50) as (client, sandbox):
        sandbox.fail(Fault.status(429), page=None)
        await asyncio.gather(*map(client.trending.hashtag_detail, names))
        seen = [request.params["hashtag_name"] for request in sandbox.requests]
        again = seen.index(names[0], 1)  # the refused one queues up again, behind the others
        assert seen[:again] + seen[again + 1 :] == names


async def test_those_who_give_up_take_no_turn() -> None:
    async with opened(qps=10) as (client, sandbox):
        calls = [asyncio.create_task(client.trending.hashtags()) for _ in range(100)]
        await asyncio.sleep(0.95)
        for call in calls[1::2]:
            call.cancel()
        with lasting(4.2, 5):
            results = await outcomes(calls)
        assert sum(isinstance(result, asyncio.CancelledError) for result in results) == 45
        assert len(sandbox.requests) == 55
        assert spending(client) == (110, 0)


# The pause


@pytest.mark.parametrize("adaptive", [False, True])
async def test_after_a_pause_calls_leave_one_by_one(adaptive: bool) -> None:
    async with opened(qps=10, adaptive=adaptive) as (client, sandbox):
        sandbox.fail(Fault.status(429, retry_after="3"))
        await asyncio.gather(*(client.trending.hashtags() for _ in range(30)))
        first, *rest = arrivals(sandbox)
        assert 2.98 <= rest[0] - first <= 3.3
        assert min(after - before for before, after in pairwise(rest)) >= 0.05
        assert len(rest) == 30


async def test_many_429s_under_way_make_one_pause() -> None:
    events = Events()
    async with opened({"latency": 1}, qps=20, on_event=events) as (client, sandbox):
        sandbox.fail(Fault.status(429), times=10)
        await asyncio.gather(*(client.trending.hashtags() for _ in range(30)))
        assert client.usage.rate_limited == client.usage.retries == 10
        assert [event.wait for event in events if event.kind == "pause"] == [1.0]
        assert client.usage.pace == 20
        gaps = sorted(after - before for before, after in pairwise(arrivals(sandbox)))
        assert gaps[0] >= 0.025
        assert 0.9 <= gaps[-1] <= 1.9


async def test_a_longer_wish_of_a_later_429_makes_the_pause_longer() -> None:
    async with opened({"latency": 1}, qps=3) as (client, sandbox):
        sandbox.fail(Fault.status(429, retry_after="2"), Fault.status(429, retry_after="4"))
        sandbox.fail(Fault.status(429, retry_after="1"))
        await asyncio.gather(*(client.trending.hashtags() for _ in range(5)))
        times = arrivals(sandbox)
        # Asked at 1.0 to wait until 3.0, at 1.3 until 5.3, at 1.7 until 2.7.
        assert times[2] - times[0] < 1
        assert 5.3 <= times[3] - times[0] <= 5.7


# The guard at work


async def test_a_pace_set_too_high_comes_down_and_climbs_back() -> None:
    events = Events()
    limit = {"qps": 10, "window": "leaky", "burst": 5, "latency": (0.1, 0.3)}
    async with opened(limit, qps=50, on_event=events) as (client, sandbox):
        await keep_calling(client, 30)
        end = arrivals(sandbox)[-1]
        served = [request.time for request in sandbox.requests if request.status == 200]
        assert sum(time > end - 10 for time in served) >= 80
        paces = [event.pace for event in events if event.kind == "pace"]
        assert paces == sorted({*paces}, key=paces.index), "every change is told once"
        assert paces[0] < 50
        assert any(after > before for before, after in pairwise(paces))
        assert any(after < before for before, after in pairwise(paces))
        assert client.usage.pace == events[-1].pace < 20
        assert all(event.pace <= 50 for event in events)


async def test_climbing_lets_nobody_through_early() -> None:
    async with opened(qps=10) as (client, sandbox):
        for page in (1, 2):
            sandbox.fail(Fault.status(429), page=page)
            await client.trending.hashtags(page=page)
        before, start = client.usage.pace, len(sandbox.requests)
        await asyncio.gather(*(client.trending.hashtags() for _ in range(150)))
        assert before * 1.2 < client.usage.pace <= 10
        gaps = [after - before for before, after in pairwise(arrivals(sandbox)[start:])]
        assert gaps[0] > gaps[-1]
        assert min(gaps) >= 0.9 * gaps[-1] >= 0.09


async def test_a_pace_that_is_not_adaptive_stays(caplog: pytest.LogCaptureFixture) -> None:
    events = Events()
    options = {"qps": 50, "adaptive": False, "on_event": events}
    async with opened({"qps": 10}, **options) as (client, _):
        await keep_calling(client, 5)
        assert client.usage.rate_limited > 4
        assert {event.pace for event in events} == {50}
        assert "pace" not in events.kinds
    assert "pace cut" not in caplog.text


async def test_cuts_are_logged_with_the_pace_found(caplog: pytest.LogCaptureFixture) -> None:
    async with opened(qps=50) as (client, sandbox):
        for page in (1, 2):  # the second one soon after the pause, and not first after it
            sandbox.fail(Fault.status(429), page=page)
            await client.trending.hashtags(page=page)
        found = f"pace cut to {client.usage.pace:.3g} requests/s"
    assert client.usage.pace < 50
    assert [record.levelname for record in caplog.records if found in record.message] == ["WARNING"]


@pytest.mark.parametrize("qps", [0.5, 10, 50])
async def test_a_long_time_of_429s_ruins_no_pace(qps: float) -> None:
    async with opened(qps=qps) as (client, sandbox):
        sandbox.fail(Fault.status(429), times=None)
        errors = await outcomes([client.trending.hashtags() for _ in range(3)])
        assert {type(error) for error in errors} == {RateLimitError}
        sandbox.heal()
        low = min(qps, 1) * 0.9  # what the pauses alone leave: one request a second
        assert client.usage.pace >= low
        with lasting(0, 25 / low):
            await asyncio.gather(*(client.trending.hashtags() for _ in range(20)))
        assert spending(client) == (40, 0)


async def test_no_pace_at_all_stays_none(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    async with opened(qps=math.inf) as (client, sandbox):
        sandbox.fail(Fault.status(429), times=5)
        with lasting(5):
            await client.trending.hashtags()
        with lasting(0, 0.9):
            await asyncio.gather(*(client.trending.hashtags() for _ in range(100)))
        assert client.usage.pace == math.inf
        assert len(sandbox.requests) == 106
    assert "pace cut" not in caplog.text


async def test_a_retry_takes_a_turn_of_its_own() -> None:
    retry = RetryPolicy(backoff=0)
    async with opened(qps=10, retry=retry) as (client, sandbox):
        sandbox.fail(Fault.status(503), times=2)
        await asyncio.gather(*(CALLS["videos"](client) for _ in range(10)))
        times = arrivals(sandbox)
        assert len(times) == 12
        assert min(after - before for before, after in pairwise(times)) >= 0.05
