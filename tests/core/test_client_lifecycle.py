"""From constructor to close: settings, ownership, loops, sharing, what is logged."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import aiohttp
import pytest
from aiolimiter import AsyncLimiter

from keyapi_async import (
    ClientClosedError,
    RequestEvent,
)
from keyapi_async.sandbox import Sandbox
from tests.core.audited_sandbox import opened
from tests.core.calls import failing, lasting, outcomes, spending
from tests.core.leaks import in_use, no_task_left
from tests.core.scripted_server import EVER, KEY, OK, Step, envelope, scripted

# The constructor


# Opening and closing


async def test_nothing_is_opened_before_the_first_call() -> None:
    async with scripted(OK) as server:
        unused = server.client()
        await unused.close()
        with pytest.raises(ValueError, match="hashtag_name"):
            await server.client().trending.hashtag_detail("")
        assert server.connections == 0
    gc.collect()


async def test_closing_is_idempotent_and_final() -> None:
    async with scripted(OK) as server:
        client = server.client()
        async with client:
            await client.trending.hashtag_detail()
        for _ in range(2):
            await client.close()
        assert repr(client) == f"<KeyAPIClient {server.url} qps=10 closed>"
        error = await failing(client.trending.hashtag_detail(), ClientClosedError)
        assert "make a new one" in str(error)
        assert (len(server.requests), error.attempts, error.maybe_billed) == (1, 0, False)


WAITING: dict[str, tuple[list[Step], int, bool]] = {  # answers; attempts and bill of the call
    "pace": ([OK], 0, False),
    "pause": ([envelope(429, Retry_After="20")], 1, False),
    "backoff": ([envelope(503, Retry_After="20")], 1, True),
    "headers": ([EVER], 1, True),
    "body": ([(OK[:-5], EVER)], 1, True),
    "connect": ([OK], 1, False),
}


@pytest.mark.parametrize("stage", WAITING)
async def test_close_ends_what_is_waiting_or_under_way(stage: str) -> None:
    answers, attempts, maybe_billed = WAITING[stage]
    async with scripted(*answers) as server:
        url = server.url.replace("http:", "https:") if stage == "connect" else server.url
        client = server.client(base_url=url, qps=0.01 if stage == "pace" else 10)
        if stage == "pace":
            await client.trending.hashtag_detail()
        sent = len(server.requests)
        call = asyncio.create_task(client.trending.hashtag_detail())
        await asyncio.sleep(5)
        with lasting(0):
            await client.close()
            error = await failing(call, ClientClosedError)
        assert (error.attempts, error.maybe_billed) == (attempts, maybe_billed)
        assert client.usage.credits_at_risk == 2 * maybe_billed
        assert len(server.requests) == sent + (attempts if stage != "connect" else 0)


async def test_close_fails_a_hundred_calls_and_nothing_hangs() -> None:
    async with Sandbox(api_key=KEY, latency=50) as sandbox:
        client = sandbox.client()
        calls = [asyncio.create_task(client.trending.hashtags()) for _ in range(100)]
        await asyncio.sleep(4.5)
        with lasting(0, 1):
            await client.close()
            errors = await outcomes(calls)
        assert {type(error) for error in errors} == {ClientClosedError}
        sent = sum(error.attempts for error in errors)
        assert sent == client.usage.requests == len(sandbox.requests) > 40
        assert sum(error.maybe_billed for error in errors) == sent
        assert spending(client) == (0, 2 * sent)
    await no_task_left()


async def test_close_ends_the_calls_over_a_borrowed_session_and_leaves_it_open() -> None:
    async with scripted(EVER) as server, aiohttp.ClientSession() as http:
        client = server.client(session=http, qps=1)
        calls = [asyncio.create_task(client.trending.hashtag_detail()) for _ in range(3)]
        await asyncio.sleep(1.5)
        with lasting(0):
            await client.close()
            errors = await outcomes(calls)
        assert {type(error) for error in errors} == {ClientClosedError}
        bills = [(error.attempts, error.maybe_billed) for error in errors]
        assert bills == [(1, True), (1, True), (0, False)]
        assert (len(server.requests), spending(client), in_use(client)) == (2, (0, 4), 0)
        assert not http.closed


async def test_close_in_the_moment_of_a_timeout_is_no_accident() -> None:
    async with scripted(EVER) as server, aiohttp.ClientSession() as http:
        client = server.client(session=http, timeout=5)
        call = asyncio.create_task(client.trending.hashtag_detail())
        await asyncio.sleep(1)
        [limit] = client._session.pool.transport.under_way
        in_time = list[bool]()

        def close() -> None:  # the time is up, but the call hasn't been told yet
            in_time.append(limit.expired() and not call.done())
            with pytest.raises(StopIteration):
                client.close().send(None)

        asyncio.get_running_loop().call_at(limit.when() + 1e-10, close)
        error = await failing(call, ClientClosedError)
        assert in_time == [True]
        assert (error.attempts, error.maybe_billed, spending(client)) == (1, True, (0, 2))


async def test_no_call_is_tried_again_after_close() -> None:
    def close(event: RequestEvent) -> None:  # the 503 has come, its retry has not begun
        with pytest.raises(StopIteration):
            client.close().send(None)

    async with scripted(envelope(503), OK) as server, aiohttp.ClientSession() as http:
        client = server.client(session=http, on_event=close)
        with lasting(0):
            error = await failing(client.trending.hashtag_detail(), ClientClosedError)
        assert (error.attempts, error.maybe_billed) == (1, True)
        assert (len(server.requests), spending(client)) == (1, (0, 2))


async def test_a_borrowed_session_that_is_closed_is_named_as_the_reason() -> None:
    async with scripted(OK) as server:
        async with aiohttp.ClientSession() as http:
            client = server.client(session=http)
        error = await failing(client.trending.hashtag_detail(), ClientClosedError)
        assert "the borrowed aiohttp session is closed" in str(error)
        assert (spending(client), server.requests) == ((0, 0), [])


def test_a_client_belongs_to_the_loop_of_its_first_call() -> None:
    with Sandbox(api_key=KEY) as sandbox:
        client = sandbox.client()

        async def call() -> Any:
            return await client.trending.hashtags()

        with asyncio.Runner() as first, asyncio.Runner() as second:
            assert first.run(call()).items
            with pytest.raises(ClientClosedError, match="another event loop"):
                second.run(call())
            assert first.run(call()).items
            first.run(client.close())


# One client in many tasks, one limit for many clients


async def test_one_client_serves_many_tasks() -> None:
    async with opened({"latency": (0, 0.2)}, qps=1000) as (client, sandbox):
        names = [f"tag{number}" for number in range(100)]
        found = await asyncio.gather(*map(client.trending.hashtag_detail, names))
        assert [detail.hashtag_name for detail in found] == names
        assert (len(sandbox.requests), in_use(client)) == (100, 0)


@pytest.mark.parametrize(
    ("limiter", "low", "high"),
    [
        (lambda: AsyncLimiter(1, 0.5), 9.5, 10),  # two a second
        (lambda: asyncio.Semaphore(2), 10, 10.8),  # two at a time, each for a second
    ],
    ids=["limiter", "semaphore"],
)
async def test_two_clients_share_one_limit(limiter: Any, low: float, high: float) -> None:
    shared = limiter()
    async with Sandbox(api_key=KEY, latency=1 if low == 10 else 0) as sandbox:
        async with sandbox.client(limiter=shared) as one, sandbox.client(limiter=shared) as two:
            with lasting(low, high):
                calls = [client.trending.hashtags() for client in (one, two) for _ in range(10)]
                await asyncio.gather(*calls)
            assert one.usage.requests == two.usage.requests == 10
            assert one.usage.pace is None
        assert sandbox.credits_spent == 40
    await no_task_left()


@pytest.mark.parametrize("pause_of", ["own", "other"])
async def test_a_429_pauses_the_client_but_never_holds_the_shared_slot(pause_of: str) -> None:
    shared = asyncio.Semaphore(1)
    async with scripted(envelope(429, Retry_After="5"), OK) as server:
        async with server.client(limiter=shared) as one, server.client(limiter=shared) as two:
            refused = asyncio.create_task(one.trending.hashtag_detail())
            await asyncio.sleep(1)
            with lasting(*((4, 4.3) if pause_of == "own" else (0, 0.3))):
                await (one if pause_of == "own" else two).trending.hashtag_detail()
            await refused
        assert shared._value == 1
        assert len(server.requests) == 3


async def test_a_turn_that_comes_in_a_pause_is_given_back() -> None:
    shared = asyncio.Semaphore(2)
    late = (1.0, envelope(429, Retry_After="5")), (2.0, OK)
    async with scripted(*late, OK) as server, server.client(limiter=shared) as client:
        # The third call waits for a slot; the 429 frees one and starts a pause.
        calls = [asyncio.create_task(client.trending.hashtag_detail()) for _ in range(3)]
        await asyncio.sleep(3)
        assert shared._value == 2
        await asyncio.gather(*calls)
        first, _, *later = (seen.time for seen in server.requests)
        assert [round(time - first) for time in later] == [6, 6]


async def test_a_limiter_that_gives_up_is_heard() -> None:
    class Impatient:
        async def __aenter__(self) -> None:
            raise TimeoutError("no slot in an hour")

        async def __aexit__(self, *_: object) -> None:
            raise AssertionError("never entered")

    async with scripted(OK) as server, server.client(limiter=Impatient()) as client:
        with pytest.raises(TimeoutError, match="no slot in an hour"):
            await client.trending.hashtag_detail()
        assert (spending(client), server.requests) == ((0, 0), [])


# Logging
