"""What a client and those made by `with_options` share: options, deadlines, priority, closing."""

from __future__ import annotations

import asyncio
import math
import threading
from typing import Any

import aiohttp
import pytest

from keyapi_async import (
    ClientClosedError,
    DeadlineError,
    KeyAPIClient,
    ParameterError,
    RateLimitError,
    RequestTimeoutError,
    ResponseCache,
    RetryPolicy,
    ServerError,
)
from keyapi_async.sandbox import Fault, Sandbox
from tests.core.audited_sandbox import opened
from tests.core.calls import Events, failing, lasting, outcomes, spending
from tests.core.leaks import no_task_left
from tests.core.scripted_server import EVER, KEY, OK, envelope, scripted

# with_options


async def test_what_is_not_given_stays() -> None:
    cache = ResponseCache(60)
    one = KeyAPIClient(KEY, timeout=7, cache=cache, allow_unknown=True, qps=3)
    two = one.with_options(deadline=5, priority=2).with_options(retry=RetryPolicy(unsent=0))
    options = two._session.options
    assert (options.timeout, options.deadline, options.priority) == (7, 5, 2)
    assert options.retry == RetryPolicy(unsent=0)
    assert options.cache is one._session.options.cache
    assert repr(two) == "<KeyAPIClient https://api.keyapi.ai qps=3>"
    assert two.with_options(cache=None)._session.options.cache is None
    assert two.with_options(cache=cache, timeout=9)._session.options.timeout == 9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"timeout": 0}, "timeout must be a number of seconds above 0, not 0"),
        ({"deadline": 0}, "deadline must be a number of seconds above 0, not 0"),
        ({"deadline": math.nan}, "deadline must be a number of seconds above 0, not nan"),
        ({"priority": "high"}, "priority must be a number, not 'high'"),
        ({"priority": math.inf}, "priority must be a number, not inf"),
        ({"retry": 3}, "retry must be a RetryPolicy, not 3"),
        ({"max_credits": -1}, "max_credits must be a whole number"),
        ({"cache": 5}, "cache must have the coroutines get and set, not be 5"),
    ],
)
def test_an_option_that_cannot_be_right(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        KeyAPIClient(KEY).with_options(**options)


async def test_its_usage_counts_its_own_calls_which_are_in_the_parents_too() -> None:
    async with opened(qps=50) as (client, sandbox):
        quick, slow = client.with_options(timeout=5), client.with_options(timeout=50)
        await quick.trending.hashtags()
        sandbox.fail(Fault.status(503))
        await slow.trending.hashtags()
        await client.trending.hashtags()
        made = [(c.usage.requests, c.usage.retries) for c in (quick, slow, client)]
        assert made == [(1, 0), (2, 1), (4, 1)]
        assert [spending(c) for c in (quick, slow, client)] == [(2, 0), (2, 2), (6, 2)]


async def test_a_change_of_pace_is_told_once_and_known_to_all() -> None:
    events = Events()
    async with opened(qps=50, on_event=events) as (client, sandbox):
        others = [client.with_options(priority=n) for n in range(3)]
        for page in (1, 2):
            sandbox.fail(Fault.status(429), page=page)
            await others[0].trending.hashtags(page=page)
        for other in others:
            await other.trending.hashtags()
        assert events.kinds.split().count("pace") == 1
        assert {c.usage.pace for c in (client, *others)} == {events[-1].pace}
        assert events[-1].pace < 50


async def test_an_attempt_tells_how_long_it_queued() -> None:
    events = Events()
    async with opened({"latency": 1}, qps=0.5, on_event=events) as (client, _):
        calls = [asyncio.create_task(client.trending.hashtags()) for _ in range(3)]
        await asyncio.sleep(0.5)
        assert (client.usage.waiting, client.usage.in_flight) == (2, 1)
        await asyncio.gather(*calls)
        assert [round(event.queued or 0) for event in events] == [0, 2, 4]
        assert [round(event.elapsed or 0) for event in events] == [1, 1, 1]
        assert (client.usage.waiting, client.usage.in_flight) == (0, 0)


async def test_an_urgent_call_takes_the_next_slot() -> None:
    async with opened(qps=10) as (client, _):
        streams = [
            asyncio.create_task(client.trending.iter_videos(region=f"R{n}", prefetch=4).collect())
            for n in range(20)
        ]
        await asyncio.sleep(3)
        assert client.usage.waiting >= 20
        with lasting(0, 0.22):
            await client.with_options(priority=1).trending.hashtags()
        for stream in streams:
            stream.cancel()
        await asyncio.wait(streams)


# deadlines


async def test_a_deadline_over_503s_knows_what_happened() -> None:
    async with opened(qps=math.inf) as (client, sandbox):
        sandbox.fail(Fault.status(503), times=None)
        with lasting(0, 0.7):
            error = await failing(client.with_options(deadline=0.7).trending.hashtags())
        assert isinstance(error, DeadlineError)
        assert isinstance(error, TimeoutError)
        assert error.attempts == len(sandbox.requests) == 2
        assert (type(error.last_error), error.maybe_billed) == (ServerError, True)
        assert 0.5 <= error.retry_after <= 1  # the backoff that was too long
        assert "the last attempt: 503 Service Unavailable" in str(error)


async def test_a_deadline_in_the_middle_of_an_attempt() -> None:
    async with opened({"latency": 9}) as (client, _):
        with lasting(2):
            error = await failing(client.with_options(deadline=2).trending.hashtags())
        assert type(error) is DeadlineError
        assert (error.attempts, error.maybe_billed, error.last_error) == (1, True, None)
        assert error.retry_after is None
        assert str(error).startswith("no answer within the deadline of 2 s [GET /v1/")
        assert spending(client) == (0, 2)


async def test_a_deadline_in_a_retry_tells_when_the_server_wants_to_be_asked_again() -> None:
    answers = envelope(503, Retry_After="1"), (EVER, OK)
    async with scripted(*answers) as server, server.client() as client:
        error = await failing(client.with_options(deadline=3).trending.hashtag_detail())
        assert (type(error), error.attempts, error.retry_after) == (DeadlineError, 2, 1)


async def test_a_queue_that_is_too_long_is_known_at_once() -> None:
    async with opened(qps=1) as (client, _):
        calls = [asyncio.create_task(client.trending.hashtags()) for _ in range(10)]
        await asyncio.sleep(0.5)
        quick = client.with_options(deadline=5)
        with lasting(0):
            error = await failing(quick.trending.hashtags())
        assert (type(error), error.attempts, error.maybe_billed) == (DeadlineError, 0, False)
        assert error.retry_after == 8
        with lasting(0, 1):
            await quick.with_options(priority=1).trending.hashtags()
        await asyncio.gather(*calls)


async def test_a_pause_that_is_too_long_ends_those_who_wait_at_once() -> None:
    async with opened(qps=1) as (client, sandbox):
        sandbox.fail(Fault.status(429, retry_after="20"))
        first = asyncio.create_task(client.trending.hashtags())
        await asyncio.sleep(0)
        with lasting(0):
            quick = client.with_options(deadline=5)
            errors = await outcomes([quick.trending.hashtags() for _ in range(3)])
        assert {type(error) for error in errors} == {DeadlineError}
        assert {round(error.retry_after) for error in errors} == {20}
        await first
        assert len(sandbox.requests) == 2


async def test_each_call_has_the_patience_of_its_own_policy() -> None:
    async with opened(qps=5, retry=RetryPolicy(max_wait=5)) as (client, sandbox):
        patient = client.with_options(retry=RetryPolicy(max_wait=60))
        sandbox.fail(Fault.status(429, retry_after="20"))
        with lasting(20):
            found = await outcomes([c.trending.hashtags() for c in (client, patient, client)])
        assert [type(one).__name__ for one in found] == ["RateLimitError", "Page", "RateLimitError"]
        assert isinstance(found[0], RateLimitError)
        assert len(sandbox.requests) == 2


async def test_a_pager_has_its_deadline_for_each_page() -> None:
    async with opened({"latency": 1}) as (client, _):
        with lasting(5):
            pager = client.with_options(deadline=1.5).trending.iter_hashtags()
            assert len(await pager.collect()) == 100


async def test_a_limiters_own_timeout_is_not_the_deadlines() -> None:
    class Impatient:
        async def __aenter__(self) -> None:
            raise TimeoutError("no slot in an hour")

        async def __aexit__(self, *_: object) -> None:
            raise AssertionError("never entered")

    client = KeyAPIClient(KEY, limiter=Impatient()).with_options(deadline=5)
    with pytest.raises(TimeoutError, match="no slot in an hour"):
        await client.trending.hashtags()


async def test_the_time_for_an_attempt_is_not_the_deadline() -> None:
    async with opened({"latency": 9}) as (client, _):
        quick = client.with_options(timeout=1, deadline=5, retry=RetryPolicy(maybe_billed=0))
        with lasting(1):
            error = await failing(quick.trending.hashtags())
        assert type(error) is RequestTimeoutError


# Closing


async def test_close_with_drain_lets_what_is_under_way_end() -> None:
    async with Sandbox(latency=2) as sandbox:
        client = sandbox.client(qps=1)
        calls = [asyncio.create_task(client.trending.hashtags()) for _ in range(3)]
        await asyncio.sleep(0.5)
        closing = asyncio.create_task(client.close(drain=10))
        await asyncio.sleep(0)
        error = await failing(client.trending.videos(), ClientClosedError)
        assert error.attempts == 0
        with lasting(3, 3.9):  # and no longer than it takes
            await closing
        assert all(page.items for page in await asyncio.gather(*calls))
        assert spending(client) == (6, 0)
    await no_task_left()


async def test_what_doesnt_end_in_time_is_closed_with_the_rest() -> None:
    async with Sandbox(latency=9) as sandbox:
        client = sandbox.client()
        call = asyncio.create_task(client.with_options(priority=3).trending.hashtags())
        await asyncio.sleep(1)
        with lasting(2):
            await asyncio.gather(client.close(drain=2), client.close(drain=5))
        error = await failing(call, ClientClosedError)
        assert (error.attempts, error.maybe_billed) == (1, True)
        with lasting(0):
            await client.close(drain=5)


@pytest.mark.parametrize("drain", [-1, math.nan, "5", None])
async def test_drain_must_be_seconds(drain: Any) -> None:
    with pytest.raises(ParameterError, match="drain must be a number of seconds"):
        await KeyAPIClient(KEY).close(drain=drain)


async def test_closing_the_parent_closes_all_and_closing_a_child_nothing() -> None:
    async with opened() as (client, _):
        async with client.with_options(timeout=5) as quick:
            await quick.trending.hashtags()
        await client.trending.hashtags()
        await quick.trending.hashtags()
        await client.close()
        assert repr(quick).endswith(" closed>")
        await failing(quick.trending.hashtags(), ClientClosedError)


@pytest.mark.real_time
async def test_close_from_another_threads_loop_is_a_clear_error() -> None:
    told: list[str] = []

    def close() -> None:
        try:
            asyncio.run(client.close())
        except ClientClosedError as error:
            told.append(str(error))

    async with scripted(OK) as server, server.client() as client:
        await client.trending.hashtag_detail()
        thread = threading.Thread(target=close)
        thread.start()
        await asyncio.to_thread(thread.join)
        assert told == ["close the client in the event loop that it was used in"]
        await client.trending.hashtag_detail()


def test_a_client_of_a_loop_that_is_gone_can_be_closed() -> None:
    with Sandbox(api_key=KEY) as sandbox:

        async def use() -> KeyAPIClient:
            async with aiohttp.ClientSession() as http:
                client = sandbox.client(session=http)
                await client.trending.hashtags()
                return client

        client = asyncio.run(use())
        asyncio.run(client.close())
        assert repr(client).endswith(" closed>")


# Secrets of what could not be made


def test_no_key_in_the_frames_of_an_error_or_the_repr_of_what_was_not_made() -> None:
    with pytest.raises(ValueError, match="bad base_url") as caught:
        KeyAPIClient("sk-secret", base_url="https://user:hunter2@api.keyapi.ai")
    frame = caught.tb.tb_next
    while frame is not None:
        told = repr(frame.tb_frame.f_locals)
        assert "sk-secret" not in told
        assert "hunter2" not in told
        frame = frame.tb_next
    half_made = KeyAPIClient.__new__(KeyAPIClient)
    assert repr(half_made) == "<KeyAPIClient that could not be made>"


def test_the_name_that_keyapis_own_scripts_use_is_read_after_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KEYAPI_API_BASE_URL", "https://theirs.example")
    assert "theirs.example" in repr(KeyAPIClient(KEY))
    monkeypatch.setenv("KEYAPI_BASE_URL", "https://ours.example")
    assert "ours.example" in repr(KeyAPIClient(KEY))
