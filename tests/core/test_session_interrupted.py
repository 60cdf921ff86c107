"""Calls that do not end by themselves: a verdict on all who wait, or a cancellation."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from keyapi_async import (
    APIError,
    AuthenticationError,
    InsufficientCreditsError,
    PermissionDeniedError,
    RetryPolicy,
)
from keyapi_async.sandbox import Fault
from tests.core.audited_sandbox import opened
from tests.core.calls import CALLS, TRENDING, lasting, outcomes, spending
from tests.core.leaks import in_use
from tests.core.scripted_server import CLOSE, EVER, OK, Step, envelope, scripted

ENDPOINTS = [TRENDING + name for name in CALLS]


# Verdicts on all who wait


@pytest.mark.parametrize(
    ("status", "kind"), [(401, AuthenticationError), (402, InsufficientCreditsError)]
)
async def test_401_and_402_fail_every_waiting_call_at_once(
    status: int, kind: type[APIError]
) -> None:
    async with opened(qps=1) as (client, sandbox):
        sandbox.fail(Fault.status(status))
        with lasting(0):
            calls = [call(client) for call in CALLS.values() for _ in range(4)]
            errors = await outcomes(calls)
        assert {type(error) for error in errors} == {kind}
        assert [error.attempts for error in errors] == [1] + [0] * 19
        assert {error.endpoint for error in errors} == set(ENDPOINTS)
        assert len({id(error) for error in errors}) == 20
        assert (len(sandbox.requests), spending(client)) == (1, (0, 0))
        with lasting(0.8, 2):  # later calls are sent again, at the pace
            await client.trending.hashtags()


async def test_403_fails_the_waiting_calls_of_its_endpoint_only() -> None:
    async with opened({"forbidden": ["videos"]}, qps=1) as (client, sandbox):
        calls = [CALLS[name](client) for name in ("videos", "hashtags") * 5]
        results = await outcomes(calls)
        assert {type(result) for result in results[::2]} == {PermissionDeniedError}
        assert all(result.items for result in results[1::2])
        paths = [request.path for request in sandbox.requests]
        assert paths == [TRENDING + "videos"] + [TRENDING + "hashtags"] * 5


async def test_a_verdict_reaches_a_call_in_its_backoff_but_none_under_way() -> None:
    async with scripted(
        envelope(503, Retry_After="20"), (9.0, OK), envelope(401, "apiKey is null"), OK
    ) as server:
        async with server.client() as client:
            with lasting(9):
                backing_off, under_way, judge = await outcomes(
                    [client.trending.hashtag_detail() for _ in range(3)]
                )
        assert type(backing_off) is type(judge) is AuthenticationError
        assert backing_off is not judge
        assert (backing_off.attempts, backing_off.maybe_billed) == (1, True)
        assert (judge.attempts, judge.maybe_billed) == (1, False)
        assert under_way.hashtag_id == "1"
        assert (len(server.requests), spending(client)) == (3, (2, 2))


async def test_those_who_waited_owe_nothing_for_the_attempts_of_the_judged() -> None:
    async with scripted(envelope(500), envelope(401)) as server, server.client(qps=0.5) as client:
        first = asyncio.create_task(client.trending.hashtag_detail())
        await asyncio.sleep(1.5)
        waiting = [asyncio.create_task(client.trending.hashtag_detail()) for _ in range(3)]
        judged, *others = await outcomes([first, *waiting])
        assert (judged.attempts, judged.maybe_billed) == (2, True)
        assert [(error.attempts, error.maybe_billed) for error in others] == [(0, False)] * 3
        assert (len(server.requests), spending(client)) == (2, (0, 2))


class Stuck:
    """A limit that lets two in; the third waits, and takes a second to be cancelled."""

    entered = 0

    async def __aenter__(self) -> None:
        self.entered += 1
        try:
            await asyncio.sleep(EVER if self.entered > 2 else 0)
        except asyncio.CancelledError:
            await asyncio.sleep(1)
            raise

    async def __aexit__(self, *_: object) -> None:
        pass


async def test_a_second_verdict_changes_nothing_for_those_already_judged() -> None:
    verdicts = (1.0, envelope(401)), (1.5, envelope(402))
    async with scripted(*verdicts) as server, server.client(limiter=Stuck()) as client:
        results = await outcomes([client.trending.hashtag_detail() for _ in range(3)])
        kinds = [AuthenticationError, InsufficientCreditsError, AuthenticationError]
        assert [type(result) for result in results] == kinds
        assert (len(server.requests), spending(client)) == (2, (0, 0))


async def test_a_verdict_in_the_very_moment_of_a_turn_gives_the_slot_back() -> None:
    limiter = asyncio.Semaphore(1)  # the 401 frees the slot, and condemns who gets it
    async with scripted(envelope(401)) as server, server.client(limiter=limiter) as client:
        results = await outcomes([client.trending.hashtag_detail() for _ in range(3)])
        assert [type(result) for result in results] == [AuthenticationError] * 3
        assert [result.attempts for result in results] == [1, 0, 0]
        assert (limiter._value, len(server.requests), spending(client)) == (1, 1, (0, 0))


# Cancellation


STAGES: dict[str, tuple[list[Step], int, int]] = {  # answers; at risk before, after cancelling
    "pace": ([OK], 0, 0),
    "pause": ([envelope(429, Retry_After="20"), OK], 0, 0),
    "backoff": ([envelope(503, Retry_After="20"), OK], 2, 2),
    "connect": ([OK], 2, 0),
    "headers": ([EVER, OK], 2, 2),
    "body": ([(OK[:-5], EVER), OK], 2, 2),
}


@pytest.mark.parametrize("stage", STAGES)
async def test_a_cancelled_call_leaves_nothing_behind(stage: str) -> None:
    answers, during, after = STAGES[stage]
    qps = 0.05 if stage == "pace" else 10
    async with scripted(*answers) as server:
        scheme = "https:" if stage == "connect" else "http:"  # no handshake is ever answered
        async with server.client(base_url=server.url.replace("http:", scheme), qps=qps) as client:
            if stage == "pace":
                await client.trending.hashtag_detail()
            spent, sent = client.usage.credits_spent, client.usage.requests
            task = asyncio.create_task(client.trending.hashtag_detail())
            await asyncio.sleep(5)
            assert not task.done()
            assert spending(client) == (spent, during)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (spending(client), in_use(client)) == ((spent, after), 0)
            sent += stage in ("pause", "backoff", "headers", "body")
            assert len(server.requests) == client.usage.requests == sent
            if stage != "connect":
                with lasting(*((14, 17) if stage in ("pace", "pause") else (0, 0.9))):
                    await client.trending.hashtag_detail()
                assert spending(client) == (spent + 2, after)


@pytest.mark.parametrize("answer", [OK, envelope(404), (CLOSE,)])
async def test_a_call_can_be_cancelled_at_every_turn_of_the_loop(answer: Any) -> None:
    limiter = asyncio.Semaphore(2)
    policy = RetryPolicy(backoff=0)
    async with scripted(answer, OK) as server:
        turns, done = 0, False
        while not done:
            turns += 1
            server.steps = [answer, OK]
            async with server.client(limiter=limiter, retry=policy) as client:
                seen = len(server.requests)
                task = asyncio.create_task(client.trending.hashtag_detail())
                for _ in range(turns):
                    await asyncio.sleep(0)
                done = task.done()
                task.cancel()
                await outcomes([task])
                spent, at_risk = spending(client)
                assert (limiter._value, in_use(client)) == (2, 0)
                assert len(server.requests) - seen <= client.usage.requests
                assert 0 <= at_risk <= 2 * client.usage.requests
                server.steps = [OK]
                await client.trending.hashtag_detail()
                assert spending(client) == (spent + 2, at_risk)
        assert turns > 5


class SlowToLeave:
    """A limiter that takes a second to be told that a request is over."""

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, *_: object) -> None:
        await asyncio.sleep(1)


@pytest.mark.parametrize(("answer", "spent"), [(OK, 2), (envelope(404), 0)])
async def test_the_books_are_right_before_the_limiter_is_told(answer: bytes, spent: int) -> None:
    async with scripted(answer) as server, server.client(limiter=SlowToLeave()) as client:
        call = asyncio.create_task(client.trending.hashtag_detail())
        await asyncio.sleep(0.5)
        assert not call.done()
        assert (client.usage.requests, spending(client)) == (1, (spent, 0))
        call.cancel()
        await outcomes([call])
        assert (client.usage.requests, spending(client)) == (1, (spent, 0))
