"""The cache: what is kept and for how long, one request for equal calls, and who is harmed."""

from __future__ import annotations

import asyncio
import math
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field

from keyapi_async import (
    CreditBudgetError,
    DeadlineError,
    Hashtag,
    HashtagDetailQuery,
    HashtagsQuery,
    KeyAPIClient,
    ParameterError,
    ResponseCache,
    RetryPolicy,
    ServerError,
)
from keyapi_async.sandbox import Fault, Sandbox
from tests.core.audited_sandbox import opened
from tests.core.calls import CALLS, failing, lasting, outcomes, spending
from tests.core.scripted_server import KEY, envelope, scripted


@define(slots=False)
class Shelf:
    """A cache of one's own."""

    kept: dict[str, tuple[bytes, float]] = field(factory=dict)
    gets: int = 0

    async def get(self, key: str) -> bytes | None:
        self.gets += 1
        return self.kept.get(key, (None,))[0]

    async def set(self, key: str, body: bytes, ttl: float) -> None:
        self.kept[key] = body, ttl


class Broken:
    """A cache that is down."""

    async def get(self, key: str) -> bytes | None:
        raise ConnectionError(key)

    async def set(self, key: str, body: bytes, ttl: float) -> None:
        raise TimeoutError(key)


@pytest.fixture(params=["memory", "file", "own"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    path = {"memory": None, "file": tmp_path / "cache.sqlite"}
    return Shelf() if request.param == "own" else ResponseCache(60, path=path[request.param])


# What is kept


@pytest.mark.parametrize("name", CALLS)
async def test_a_hit_is_the_same_and_costs_nothing(name: str, cache: Any) -> None:
    call = CALLS[name]
    async with opened(qps=0.1, cache=cache) as (client, sandbox):
        first = await call(client)
        with lasting(0):
            again = await call(client)
        assert again == first
        assert (again.raw, again.request_id) == (first.raw, first.request_id)
        assert (first.from_cache, again.from_cache) == (False, True)
        assert again.retrieved_at == first.retrieved_at
        assert abs(again.retrieved_at.timestamp() - time.time()) < 60
        assert (len(sandbox.requests), client.usage.requests) == (1, 1)
        assert (client.usage.cache_hits, spending(client)) == (1, (2, 0))


async def test_errors_are_not_kept(cache: Any) -> None:
    async with opened(qps=math.inf, cache=cache, retry=RetryPolicy(maybe_billed=0)) as (c, sandbox):
        sandbox.fail(Fault.status(500), Fault.data(None))
        await failing(c.trending.hashtags())
        await failing(c.trending.hashtags())
        assert not (await c.trending.hashtags()).from_cache
        assert len(sandbox.requests) == 3


async def test_another_key_another_address_another_query_is_another_answer() -> None:
    shelf = Shelf()
    async with Sandbox() as one, Sandbox() as two, Sandbox(api_key="other") as third:
        for sandbox in (one, two, third):
            async with sandbox.client(cache=shelf) as client:
                for region in ("US", "GB"):
                    assert not (await client.trending.hashtags(region=region)).from_cache
    assert len(shelf.kept) == 6
    assert all(key.isascii() and key.isprintable() for key in shelf.kept)
    assert not any("other" in key or one.api_key in key for key in shelf.kept)
    assert {ttl for _, ttl in shelf.kept.values()} == {300.0}


def test_the_key_of_a_query_is_canonical() -> None:
    assert HashtagsQuery(region="US", period="30").cache_key == (
        "/v1/tiktok/trending/hashtags?industry_id=nothing&limit=20&new_to_top_100=False&page=1"
        "&period=30&region=US"
    )
    assert HashtagsQuery(page="2").cache_key == HashtagsQuery(page=2).cache_key
    odd = "x&period=7&region=y"
    one = HashtagDetailQuery(hashtag_name=odd, region="z")
    other = HashtagDetailQuery(hashtag_name="x", region="y&period=7&region=z")
    assert one.cache_key != other.cache_key


async def test_an_answer_that_echoes_the_key_is_not_kept() -> None:
    shelf = Shelf()
    async with (
        scripted(envelope(message=f"hello {KEY}")) as server,
        server.client(cache=shelf) as client,
    ):
        await client.trending.hashtag_detail()
        assert not (await client.trending.hashtag_detail()).from_cache
    assert (shelf.kept, len(server.requests)) == ({}, 2)


async def test_without_a_cache_every_call_is_sent() -> None:
    async with opened(qps=math.inf, cache=Shelf()) as (client, sandbox):
        plain = client.with_options(cache=None)
        await asyncio.gather(*(plain.trending.hashtags() for _ in range(5)))
        assert (len(sandbox.requests), client.usage.cache_hits) == (5, 0)


async def test_a_pager_reads_it_too(cache: Any) -> None:
    async with opened(qps=math.inf, cache=cache) as (client, sandbox):
        first = await client.trending.iter_hashtags(prefetch=2).collect()
        again = await client.trending.iter_hashtags(prefetch=2).collect()
        assert first == again
        assert len(sandbox.requests) == 5
        page = await client.trending.hashtags()
        assert page.items[0].raw["hashtag_id"] == page.items[0].hashtag_id
        assert isinstance(page.items[0], Hashtag)


# A cache that is down, or holds what it should not


@pytest.mark.parametrize("broken", [Broken(), "rubbish"])
async def test_a_broken_cache_is_none(broken: Any, caplog: pytest.LogCaptureFixture) -> None:
    shelf = broken
    if broken == "rubbish":
        shelf = Shelf()
        shelf.get = lambda _: asyncio.sleep(0, b"rubbish")  # type: ignore[method-assign]
    async with opened(cache=shelf) as (client, sandbox):
        assert (await client.trending.hashtags()).items
        assert not (await client.trending.hashtags()).from_cache
        assert (len(sandbox.requests), client.usage.cache_hits) == (2, 0)
    told = {record.getMessage() for record in caplog.records if record.levelname == "ERROR"}
    verbs = ["find", "keep"] if broken != "rubbish" else ["find"]
    assert told == {f"the cache could not {verb} a response; the call goes on" for verb in verbs}


def test_what_is_no_cache_is_refused() -> None:
    with pytest.raises(ValueError, match="cache must have the coroutines get and set, not be 5"):
        KeyAPIClient("key", cache=5)  # type: ignore[arg-type]


async def test_not_everything_is_kept_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keyapi_async.cached_calls.MAX_DECODED", 2)
    async with opened(qps=math.inf, cache=ResponseCache(60)) as (client, sandbox):
        for _ in range(2):
            for page in range(1, 5):
                assert (await client.trending.hashtags(page=page)).number == page
        assert (len(sandbox.requests), client.usage.cache_hits) == (4, 4)
        assert len(client._session.options.cache._decoded) == 2
        one, two = [await client.trending.hashtags() for _ in range(2)]
        assert one.items[0] is two.items[0]  # a hit need not be decoded again
        assert one.items[3].raw == two.items[3].raw == two.raw["list"][3]


async def test_what_was_set_meanwhile_by_another_process_is_found() -> None:
    class Late(Shelf):
        async def get(self, key: str) -> bytes | None:
            found = await super().get(key)
            return None if self.gets == 3 else found

    late = Late()
    async with opened(cache=late) as (client, sandbox):
        await client.trending.hashtags()
        assert (await client.trending.hashtags()).from_cache
        assert len(sandbox.requests) == 1


# Equal calls under way


async def test_equal_calls_are_one_request(cache: Any) -> None:
    async with opened({"latency": 1}, cache=cache) as (client, sandbox):
        with lasting(1):
            pages = await asyncio.gather(*(client.trending.hashtags() for _ in range(50)))
        assert all(page == pages[0] for page in pages)
        assert sum(page.from_cache for page in pages) == client.usage.cache_hits == 49
        assert (len(sandbox.requests), spending(client)) == (1, (2, 0))


async def test_an_error_is_shared_and_each_has_its_own(cache: Any) -> None:
    retry = RetryPolicy(maybe_billed=0)
    async with opened({"latency": 1}, cache=cache, retry=retry) as (client, sandbox):
        sandbox.fail(Fault.status(500))
        errors = await outcomes([client.trending.hashtags() for _ in range(5)])
        assert {type(error) for error in errors} == {ServerError}
        assert len({id(error) for error in errors}) == 5
        assert {error.attempts for error in errors} == {1}
        assert [error.__context__ for error in errors] == [None] * 5
        assert (len(sandbox.requests), spending(client)) == (1, (0, 2))
        assert not (await client.trending.hashtags()).from_cache


@pytest.mark.parametrize("leaving", [[0], [1, 2], [0, 1], [0, 2]])
async def test_who_is_cancelled_harms_nobody(leaving: list[int], cache: Any) -> None:
    async with opened({"latency": 2}, cache=cache) as (client, sandbox):
        calls = [asyncio.create_task(client.trending.hashtags()) for _ in range(3)]
        await asyncio.sleep(1)
        for number in leaving:
            calls[number].cancel()
        found = await asyncio.gather(*calls, return_exceptions=True)
        for number, one in enumerate(found):
            assert isinstance(one, asyncio.CancelledError) is (number in leaving)
        assert (len(sandbox.requests), spending(client)) == (1, (2, 0))


async def test_the_last_one_to_be_cancelled_ends_the_request(cache: Any) -> None:
    async with opened({"latency": 2}, cache=cache) as (client, sandbox):
        calls = [asyncio.create_task(client.trending.hashtags()) for _ in range(3)]
        await asyncio.sleep(1)
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)
        assert all(call.cancelled() for call in calls)
        assert (client.usage.in_flight, spending(client)) == (0, (0, 2))
        page = await client.trending.hashtags()  # a request of its own
        assert (page.from_cache, len(sandbox.requests)) == (False, 2)


async def test_a_newcomer_while_the_last_is_being_cancelled_is_not_harmed() -> None:
    async with opened({"latency": 2}, cache=Shelf()) as (client, sandbox):
        first = asyncio.create_task(client.trending.hashtags())
        await asyncio.sleep(1)
        first.cancel()
        second = asyncio.create_task(client.trending.hashtags())
        assert not (await second).from_cache
        assert (first.cancelled(), len(sandbox.requests)) == (True, 2)


async def test_anothers_deadline_or_budget_is_not_ones_own() -> None:
    async with opened({"latency": 2}, qps=math.inf, cache=Shelf()) as (client, sandbox):
        quick = client.with_options(deadline=3.0)
        sandbox.fail(Fault.status(503, retry_after="10"))
        first = asyncio.create_task(quick.trending.hashtags())
        await asyncio.sleep(1.5)
        joined = [asyncio.create_task(quick.trending.hashtags()) for _ in range(3)]
        assert type(await failing(first)) is DeadlineError  # at once: ten seconds are too long
        assert all(page.items for page in await asyncio.gather(*joined))
        assert (len(sandbox.requests), quick.usage.cache_hits) == (2, 2)


async def test_a_fault_of_the_data_is_shared_whole() -> None:
    async with opened({"latency": 1}, cache=Shelf()) as (client, sandbox):
        sandbox.fail(Fault.data(None))
        errors = await outcomes([client.trending.hashtags() for _ in range(3)])
        assert {(error.status, error.request_id is None) for error in errors} == {(200, False)}
        assert len({error.body for error in errors}) == 1
        assert b'"data": null' in errors[2].body.replace(b":null", b": null")


async def test_anothers_empty_budget_is_not_ones_own() -> None:
    async with opened({"latency": 1}, qps=math.inf, cache=Shelf()) as (client, sandbox):
        poor = client.with_options(max_credits=2)
        sandbox.fail(Fault.status(503))
        found = await outcomes([poor.trending.hashtags(), client.trending.hashtags()])
        assert type(found[0]) is CreditBudgetError
        assert found[1].items
        assert len(sandbox.requests) == 2


async def test_only_who_sends_in_the_same_way_joins() -> None:
    async with opened({"latency": 3}, qps=math.inf, cache=Shelf()) as (client, sandbox):
        hasty = client.with_options(timeout=1, retry=RetryPolicy(maybe_billed=0))
        found = await outcomes([hasty.trending.hashtags(), client.trending.hashtags()])
        assert type(found[0]).__name__ == "RequestTimeoutError"
        assert found[1].items
        assert len(sandbox.requests) == 2


async def test_a_deadline_knows_what_the_request_it_ended_may_have_cost() -> None:
    async with opened({"latency": 9}, cache=Shelf()) as (client, _):
        with lasting(2):
            error = await failing(client.with_options(deadline=2).trending.hashtags())
        assert (type(error), error.attempts, error.maybe_billed) == (DeadlineError, 1, True)
        assert spending(client) == (0, 2)


# ResponseCache


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ttl": 0}, "ttl must be a number of seconds above 0, not 0"),
        ({"ttl": math.nan}, "ttl must be a number of seconds above 0, not nan"),
        ({"ttl": 1, "max_entries": 0}, "max_entries must be a whole number of at least 1, not 0"),
        ({"ttl": 1, "max_entries": 1.5}, "max_entries must be a whole number of at least 1"),
    ],
)
def test_a_value_that_cannot_be_right(options: Any, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        ResponseCache(**options)


@pytest.mark.parametrize("kept_in", ["memory", "file"])
async def test_what_is_too_old_or_too_many_goes(
    kept_in: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "time", lambda: now)
    path = tmp_path / "cache.sqlite" if kept_in == "file" else None
    cache = ResponseCache(60, path=path, max_entries=2)
    await cache.set("a", b"1", 60)
    now += 59
    assert (await cache.get("a"), await cache.get("b")) == (b"1", None)
    await cache.set("b", b"2", 60)
    now += 1
    assert (await cache.get("a"), await cache.get("b")) == (None, b"2")
    for key in "cde":
        now += 1
        await cache.set(key, key.encode(), 60)
    assert [await cache.get(key) for key in "abcde"] == [None, None, None, b"d", b"e"]
    await cache.set("d", b"new", 60)
    assert await cache.get("d") == b"new"
    await cache.close()


async def test_a_file_survives_and_is_closed_with_the_client(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    async with Sandbox() as sandbox:
        for number in range(2):
            cache = ResponseCache(3600, path=path)
            async with sandbox.client(cache=None) as client:
                page = await client.with_options(cache=cache).trending.hashtags()
            assert page.from_cache is bool(number)
            assert cache._db is None
        assert len(sandbox.requests) == 1
    text = path.read_bytes()
    assert sandbox.api_key.encode() not in text


async def test_a_file_that_is_no_database_is_said_and_costs_no_call(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "cache.sqlite"
    path.write_bytes(b"not a database at all, and long enough to be looked at" * 20)
    with pytest.raises(sqlite3.DatabaseError):
        await ResponseCache(60, path=path).get("key")
    async with opened(cache=ResponseCache(60, path=path)) as (client, _):
        assert (await client.trending.hashtags()).items
    assert "the cache could not find a response" in caplog.text
