"""The session over real sockets: retries, pauses, credits, events."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from keyapi_async import (
    InvalidResponseError,
    RateLimitError,
    RetryPolicy,
    ServerError,
)
from keyapi_async.sandbox import Fault
from tests.core.audited_sandbox import opened
from tests.core.calls import TRENDING, Events, failing, lasting, outcomes, spending
from tests.core.scripted_server import OK, envelope, scripted


@pytest.mark.parametrize("data", [None, {}, {"list": []}])
async def test_a_success_without_its_data_is_paid_for_and_names_the_answer(data: object) -> None:
    async with opened() as (client, sandbox):
        sandbox.fail(Fault.data(data))
        error = await failing(client.trending.hashtags(), InvalidResponseError)
        assert (error.attempts, error.status, error.maybe_billed) == (1, 200, True)
        assert error.request_id == "00000000-0000-4000-8000-000000000000"
        assert (spending(client), sandbox.credits_spent) == ((2, 0), 2)


@pytest.mark.parametrize("retries", [0, 1, 3, 5])
@pytest.mark.parametrize(
    ("number", "fault"),
    [("unavailable", Fault.status(503)), ("maybe_billed", Fault.reset())],
)
async def test_numbers_of_the_policy_are_retries(number: str, fault: Fault, retries: int) -> None:
    policy = RetryPolicy(**{number: retries})
    async with opened(qps=math.inf, retry=policy) as (client, sandbox):
        sandbox.fail(fault, times=None)
        error = await failing(client.trending.hashtags())
        assert error.attempts == len(sandbox.requests) == retries + 1
        assert client.usage.retries == retries


async def test_each_class_of_failure_has_its_own_count() -> None:
    faults = [500, 503, 502, 429, 504]
    async with opened(qps=math.inf) as (client, sandbox):
        sandbox.fail(*(Fault.status(status) for status in faults), Fault.stall(1))
        assert (await client.trending.hashtags()).items
        assert client.usage.retries == len(faults)
        assert spending(client) == (2, 8)
        sandbox.fail(*(Fault.status(status) for status in [*faults, 500]))
        assert (await failing(client.trending.hashtags(), ServerError)).attempts == 6


async def test_backoff_doubles_with_jitter() -> None:
    events = Events()
    async with opened(qps=math.inf, on_event=events) as (client, sandbox):
        sandbox.fail(Fault.status(503), times=None)
        await failing(client.trending.hashtags())
        waits = [event.wait for event in events if event.kind == "retry"]
        times = [request.time for request in sandbox.requests]
        for full, wait, sent, again in zip((0.5, 1, 2), waits, times, times[1:], strict=False):
            assert full / 2 <= wait <= full
            assert wait - 0.01 <= again - sent <= wait + 0.3


@pytest.mark.parametrize("status", [503, 500])
@pytest.mark.parametrize(("asked", "attempts"), [("20", 2), ("31", 1)])
async def test_retry_after_of_a_server_error_counts_too(
    status: int, asked: str, attempts: int
) -> None:
    async with opened() as (client, sandbox):
        sandbox.fail(Fault.status(status, retry_after=asked))
        with lasting(20 * (attempts - 1)):
            [outcome] = await outcomes([client.trending.hashtags()])
        assert isinstance(outcome, ServerError) is (attempts == 1)
        assert len(sandbox.requests) == attempts


async def test_a_retry_budget_keeps_an_outage_from_multiplying_traffic() -> None:
    async with opened(qps=math.inf) as (client, sandbox):

        async def attempts(calls: int) -> list[int]:
            return [(await failing(client.trending.hashtags())).attempts for _ in range(calls)]

        sandbox.fail(Fault.status(503), times=None)
        assert await attempts(10) == [4, 4, 4, 4, 4, 4, 3, 1, 1, 1]  # 100 tokens, 5 per retry
        sandbox.heal()
        for _ in range(10):
            await client.trending.hashtags()
        sandbox.fail(Fault.status(503), times=None)
        assert await attempts(2) == [3, 1]  # 10 back


# 429


def http_date(seconds: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("asked", "pause"),
    [
        (None, 1),
        ("3", 3),
        ("0", 0),
        ("0.25", 0.25),
        ("30", 30),
        (10, 9),  # a date, which has whole seconds
        (-10, 0),
        *((absurd, 1) for absurd in ("-5", "nan", "1e999", "soon", "9" * 100, "")),
    ],
)
async def test_one_429_pauses_every_task_as_long_as_asked(
    asked: str | int | None, pause: float
) -> None:
    async with opened(qps=50) as (client, sandbox):
        asked = http_date(asked) if isinstance(asked, int) else asked
        sandbox.fail(Fault.status(429, retry_after=asked))
        pages = await asyncio.gather(*(client.trending.hashtags() for _ in range(20)))
        assert len(pages) == 20
        first, second = (request.time for request in sandbox.requests[:2])
        assert pause - 0.1 <= second - first <= pause + 1.1
        assert len(sandbox.requests) == client.usage.requests == 21
        assert (client.usage.rate_limited, client.usage.retries) == (1, 1)
        assert spending(client) == (40, 0)


@pytest.mark.parametrize("wrap", [dict, lambda: {"http": 200}], ids=["429", "429 in a 200"])
@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize(("asked", "deadline", "attempts"), [(None, 10.5, 11), ("4", 10.5, 3)])
async def test_a_refused_call_is_tried_until_the_deadline(
    asked: str | None, deadline: float, attempts: int, adaptive: bool, wrap: Callable[[], Any]
) -> None:
    policy = RetryPolicy(rate_limit_deadline=deadline)
    async with opened(retry=policy, adaptive=adaptive) as (client, sandbox):
        sandbox.fail(Fault.status(429, retry_after=asked, **wrap()), times=None)
        with lasting((attempts - 1) * float(asked or 1)):
            error = await failing(client.trending.hashtags(), RateLimitError)
        assert error.attempts == len(sandbox.requests) == client.usage.rate_limited == attempts
        assert (error.maybe_billed, spending(client)) == (False, (0, 0))


async def test_a_deadline_of_0_means_no_second_try() -> None:
    async with opened(retry=RetryPolicy(rate_limit_deadline=0)) as (client, sandbox):
        sandbox.fail(Fault.status(429))
        assert (await failing(client.trending.hashtags(), RateLimitError)).attempts == 1


async def test_a_longer_retry_after_than_max_wait_raises_at_once() -> None:
    async with opened(retry=RetryPolicy(max_wait=5)) as (client, sandbox):
        sandbox.fail(Fault.status(429, retry_after="7"))
        with lasting(0):
            error = await failing(client.trending.hashtags(), RateLimitError)
        assert (error.attempts, error.retry_after) == (1, 7)
        await asyncio.sleep(0.5)  # it is for everybody, and nothing is sent until it has passed
        error = await failing(client.trending.hashtags(), RateLimitError)
        assert (error.attempts, error.retry_after) == (0, pytest.approx(6.5, abs=0.1))
        await client.with_options(retry=RetryPolicy(max_wait=7)).trending.hashtags()
        first, second = (request.time for request in sandbox.requests)
        assert 6.9 <= second - first <= 7.2


async def test_a_long_retry_after_is_for_everybody() -> None:
    async with opened(qps=10, retry=RetryPolicy(max_wait=30)) as (client, sandbox):
        sandbox.fail(Fault.status(429, retry_after="60"))
        with lasting(0):
            errors = await outcomes([client.trending.hashtags() for _ in range(30)])
        assert {type(error) for error in errors} == {RateLimitError}
        assert len({id(error) for error in errors}) == 30
        assert all(59.9 < error.retry_after < 60.001 for error in errors)
        assert [error.attempts for error in errors] == [1] + [0] * 29
        await asyncio.sleep(59)
        assert (len(sandbox.requests), client.usage.rate_limited) == (1, 1)
        with lasting(0.9, 1.1):
            await client.trending.hashtags()


async def test_a_date_counts_against_the_date_of_the_answer() -> None:
    at = {"Date": "Tue, 14 Nov 2023 22:13:20 GMT", "Retry_After": "Tue, 14 Nov 2023 22:13:27 GMT"}
    async with scripted(envelope(429, **at), OK) as server, server.client() as client:
        with lasting(7):
            await client.trending.hashtag_detail()


async def test_429s_dont_draw_on_the_retry_budget() -> None:
    async with opened(qps=math.inf) as (client, sandbox):
        sandbox.fail(Fault.status(429), times=30)
        sandbox.fail(Fault.status(503), times=3)
        await client.trending.hashtags()
        assert client.usage.retries == 33


# Credits


# What is told


async def test_an_error_says_what_was_asked_and_how_often() -> None:
    answer = envelope(500, "Internal server error")
    async with scripted(answer) as server, server.client() as client:
        error = await failing(client.trending.hashtag_detail("x"), ServerError)
    assert str(error) == (
        f"500 Internal server error [GET {TRENDING}hashtag/detail"
        "?period=7&region=all_regions&hashtag_name=x, 2 attempts, request id r-1]"
    )
    assert (error.status, error.code, error.request_id) == (500, 500, "r-1")
    assert error.params == {"period": "7", "region": "all_regions", "hashtag_name": "x"}
