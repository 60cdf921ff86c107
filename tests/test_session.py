"""The session over real sockets: retries, pauses, credits, events."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from helpers import (
    CALLS,
    EVER,
    TRENDING,
    Events,
    envelope,
    failing,
    in_use,
    lasting,
    opened,
    outcomes,
    scripted,
    spending,
)

from keyapi_async import (
    APIError,
    AuthenticationError,
    BadRequestError,
    CreditBudgetError,
    InsufficientCreditsError,
    InvalidResponseError,
    KeyAPIError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    RequestTimeoutError,
    RetryPolicy,
    ServerError,
    TransportError,
)
from keyapi_async.sandbox import Fault

UNPACED = math.inf

# Retry by class: what each fault ends with, how many attempts it gets, and whether it may cost

FAULTS: dict[str, tuple[Fault, type[KeyAPIError], int, bool]] = {
    "400": (Fault.status(400), BadRequestError, 1, False),
    "401": (Fault.status(401), AuthenticationError, 1, False),
    "402": (Fault.status(402), InsufficientCreditsError, 1, False),
    "403": (Fault.status(403), PermissionDeniedError, 1, False),
    "404": (Fault.status(404), NotFoundError, 1, False),
    "html 404": (Fault.html(404), NotFoundError, 1, False),
    "401 in a 200": (Fault.status(401, http=200), AuthenticationError, 1, False),
    "unknown code": (Fault.status(1234, http=200), APIError, 1, True),
    "500": (Fault.status(500), ServerError, 2, True),
    "501": (Fault.status(501), ServerError, 2, True),
    "500 in a 200": (Fault.status(500, http=200), ServerError, 2, True),
    "502": (Fault.status(502), ServerError, 4, True),
    "html 502": (Fault.html(502), ServerError, 4, True),
    "503": (Fault.status(503), ServerError, 4, True),
    "503 in a 200": (Fault.status(503, http=200), ServerError, 4, True),
    "504": (Fault.status(504), ServerError, 4, True),
    "reset": (Fault.reset(), TransportError, 2, True),
    "disconnect": (Fault.disconnect(), TransportError, 2, True),
    "stall": (Fault.stall(EVER), RequestTimeoutError, 2, True),
    "drip": (Fault.drip(EVER), RequestTimeoutError, 2, True),
    "truncated": (Fault.truncated(), InvalidResponseError, 1, True),
    "half json": (Fault.half_json(), InvalidResponseError, 1, True),
    "html 200": (Fault.html(200), InvalidResponseError, 1, True),
    "bomb": (Fault.bomb(17_000_000), InvalidResponseError, 1, True),
}


@pytest.mark.parametrize("bill_faults", [False, True], ids=["free", "billed"])
@pytest.mark.parametrize("fault", FAULTS)
async def test_each_fault_has_its_error_attempts_and_credits(fault: str, bill_faults: bool) -> None:
    kind, error_class, attempts, may_cost = FAULTS[fault]
    async with opened({"bill_faults": bill_faults}, qps=UNPACED, timeout=5) as (client, sandbox):
        sandbox.fail(kind, times=None)
        for name, call in CALLS.items():
            error = await failing(call(client), error_class)
            assert (error.endpoint, error.attempts) == (TRENDING + name, attempts)
            assert error.params == sandbox.requests[-1].params
            assert error.maybe_billed is may_cost
            assert in_use(client) == 0
        await asyncio.sleep(0.1)  # the sandbox learns that the client has gone
        sent = attempts * len(CALLS)
        at_risk = 2 * sent if may_cost else 0
        assert len(sandbox.requests) == client.usage.requests == sent
        assert client.usage.retries == sent - len(CALLS)
        assert (spending(client), sandbox.credits_spent) == ((0, at_risk), at_risk * bill_faults)
        sandbox.heal()
        for call in CALLS.values():
            await call(client)
        assert spending(client) == (2 * len(CALLS), at_risk)


async def test_a_redirect_is_one_attempt_at_risk() -> None:
    async with opened() as (client, sandbox):
        sandbox.fail(Fault.redirect(sandbox.url))
        error = await failing(client.trending.hashtags(), InvalidResponseError)
        assert (error.attempts, len(sandbox.requests), spending(client)) == (1, 1, (0, 2))


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
    async with opened(qps=UNPACED, retry=policy) as (client, sandbox):
        sandbox.fail(fault, times=None)
        error = await failing(client.trending.hashtags())
        assert error.attempts == len(sandbox.requests) == retries + 1
        assert client.usage.retries == retries


async def test_each_class_of_failure_has_its_own_count() -> None:
    faults = [500, 503, 502, 429, 504]
    async with opened(qps=UNPACED) as (client, sandbox):
        sandbox.fail(*(Fault.status(status) for status in faults), Fault.stall(1))
        assert (await client.trending.hashtags()).items
        assert client.usage.retries == len(faults)
        assert spending(client) == (2, 8)
        sandbox.fail(*(Fault.status(status) for status in [*faults, 500]))
        assert (await failing(client.trending.hashtags(), ServerError)).attempts == 6


async def test_backoff_doubles_with_jitter() -> None:
    events = Events()
    async with opened(qps=UNPACED, on_event=events) as (client, sandbox):
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
    async with opened(qps=UNPACED) as (client, sandbox):

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
        sandbox.fail(Fault.status(429, retry_after="5.5"))
        with lasting(0):
            error = await failing(client.trending.hashtags(), RateLimitError)
        assert (error.attempts, error.retry_after) == (1, 5.5)
        with lasting(1):  # the others wait a little, and see for themselves
            await client.trending.hashtags()


async def test_429s_dont_draw_on_the_retry_budget() -> None:
    async with opened(qps=UNPACED) as (client, sandbox):
        sandbox.fail(Fault.status(429), times=30)
        sandbox.fail(Fault.status(503), times=3)
        await client.trending.hashtags()
        assert client.usage.retries == 33


# Credits


@pytest.mark.parametrize("bill_faults", [False, True], ids=["free", "billed"])
@pytest.mark.parametrize("fault", [None, *FAULTS.keys() - {"bomb"}])
async def test_max_credits_is_never_passed(fault: str | None, bill_faults: bool) -> None:
    settings = {"bill_faults": bill_faults, "latency": (0, 0.2)}
    async with opened(settings, max_credits=21, qps=100, timeout=5) as (client, sandbox):
        if fault:
            sandbox.fail(FAULTS[fault][0], times=20)
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


# What is told


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
        assert {event.path for event in events} == {TRENDING + "hashtags"}
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


async def test_an_error_says_what_was_asked_and_how_often() -> None:
    answer = envelope(500, "Internal server error")
    async with scripted(answer) as server, server.client() as client:
        error = await failing(client.trending.hashtag_detail("x"), ServerError)
    assert str(error) == (
        f"500 Internal server error [GET {TRENDING}hashtag/detail, 2 attempts, request id r-1]"
    )
    assert (error.status, error.code, error.request_id) == (500, 500, "r-1")
    assert error.params == {"period": "7", "region": "all_regions", "hashtag_name": "x"}
