"""The session over real sockets: retries, pauses, credits, verdicts, cancellation, events."""

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
    CLOSE,
    EVER,
    OK,
    TRENDING,
    Events,
    Step,
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

ENDPOINTS = [TRENDING + name for name in CALLS]
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
    "pace": ([OK], 2, 0),
    "pause": ([envelope(429, Retry_After="20"), OK], 2, 0),
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
