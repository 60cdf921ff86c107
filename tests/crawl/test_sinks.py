"""Where items go: to whoever iterates, at their speed, or into a file, a moment's at a time."""

from __future__ import annotations

import asyncio
import gc
import math
from contextlib import aclosing
from pathlib import Path

import pytest

from keyapi_async import ParameterError, StopReason
from keyapi_async.crawl import StoreError, crawl, crawl_to, grid
from keyapi_async.crawl.database import writing
from keyapi_async.crawl.jobs import Completion
from keyapi_async.crawl.sinks import FileSink
from keyapi_async.models import Hashtag
from keyapi_async.sandbox import Fault
from keyapi_async.usage import Usage
from tests.crawl.sandboxed_crawl import begin, opened, rows

PLAN = grid("hashtags", region=["US", "GB"], period=[7, 30]) + grid("videos") + grid("music")


# -- streams -----------------------------------------------------------------------------------


async def test_a_slow_reader_holds_the_crawl_back() -> None:
    async with (
        opened() as (client, sandbox),
        aclosing(crawl(client, grid("videos"), concurrency=1)) as records,
    ):
        await anext(records)
        await asyncio.sleep(60)
        assert len(sandbox.requests) <= 2


async def test_leaving_a_stream_stops_it_at_once() -> None:
    async with opened({"latency": 1.0}) as (client, sandbox):
        async with aclosing(crawl(client, PLAN, concurrency=3)) as records:
            await anext(records)
        assert len(sandbox.requests) <= 6


async def test_a_cancelled_stream_leaves_nothing_behind() -> None:
    async with opened({"latency": 1.0}) as (client, _):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                async for _ in crawl(client, PLAN):
                    pass


async def test_a_stream_left_in_an_outage_ends_at_once() -> None:
    async with opened() as (client, sandbox):
        sandbox.fail(Fault.reset(), times=None, path="videos")
        sandbox.fail(Fault.reset(), times=None, path="music")
        loop = asyncio.get_running_loop()
        start = loop.time()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                async for _ in crawl(client, grid("videos") + grid("music")):
                    pass
        assert loop.time() - start < 31


async def test_a_stream_says_what_is_no_query() -> None:
    async with opened() as (client, sandbox):
        with pytest.raises(ParameterError, match=r"query 1 of the plan must be .*'hashtags'"):
            async for _ in crawl(client, ["hashtags"]):  # type: ignore[list-item]
                pass
        assert not sandbox.requests


@pytest.mark.slow
async def test_a_stream_keeps_nothing() -> None:
    async with opened() as (client, _):
        plan = grid("hashtags", region=[f"r{number}" for number in range(50)])
        gc.collect()
        before, alive = count_hashtags(), []
        count = 0
        async for record in crawl(client, plan, concurrency=4):
            assert record.item.hashtag_id
            count += 1
            if count % 500 == 0:
                gc.collect()
                alive.append(count_hashtags() - before)
        assert count == 5_000
        assert max(alive) <= 5 * 20 * 2  # what four workers and the reader have in hand


def count_hashtags() -> int:
    return sum(isinstance(each, Hashtag) for each in gc.get_objects())


# -- files -------------------------------------------------------------------------------------


async def test_what_waits_is_stored_before_the_sink_closes(file: Path) -> None:
    with writing(file, create=True) as db:
        sink = FileSink(begin(db), Usage())
        first, second = await sink.take(), await sink.take()
        assert first is not None
        assert second is not None
        reason = StopReason.EXHAUSTED
        putting = sink.put(Completion(job=first, reason=reason))
        await asyncio.sleep(0)
        await sink.close()
        assert await putting == 0
    assert rows(file, "SELECT query, state, stop_reason FROM lists") == [
        (1, "done", "exhausted"),
        (2, "pending", None),
    ]


async def test_what_is_spent_without_an_answer_is_stored(file: Path) -> None:
    usage = Usage()
    with writing(file, create=True) as db:
        sink = FileSink(begin(db), usage)
        usage.requests, usage.credits_at_risk = 3, 6
        await asyncio.sleep(0.2)
        assert rows(file, "SELECT requests, credits_at_risk FROM runs") == [(3, 6)]
        await sink.close()


async def test_a_commit_that_fails_is_told_to_who_waits_for_it(file: Path) -> None:
    with writing(file, create=True) as db:
        sink = FileSink(begin(db), Usage())
        job = await sink.take()
        assert job is not None
        with db.transaction() as connection:
            connection.execute("ALTER TABLE lists RENAME TO lost")
        with pytest.raises(StoreError, match="no such table"):
            await sink.put(Completion(job=job, reason=StopReason.EXHAUSTED))
        await sink.close()


@pytest.mark.parametrize("is_broken", [False, True])
async def test_what_came_is_stored_though_its_worker_was_cancelled(
    file: Path, *, is_broken: bool
) -> None:
    with writing(file, create=True) as db:
        sink = FileSink(begin(db), Usage())
        jobs = [job for _ in range(2) if (job := await sink.take()) is not None]
        if is_broken:
            with db.transaction() as connection:
                connection.execute("ALTER TABLE lists RENAME TO lost")
        done = [Completion(job=job, reason=StopReason.EXHAUSTED) for job in jobs]
        cancelled, other = map(sink.put, done)
        cancelled.cancel()
        await sink.close()
        if is_broken:
            with pytest.raises(StoreError, match="no such table"):
                await other
            return
        assert await other == 0
    assert rows(file, "SELECT state FROM lists") == [("done",), ("done",)]


@pytest.mark.parametrize(
    ("regions", "qps", "latency", "seconds"),
    [(["US"], math.inf, 0.02, 1.0), (["US", "GB", "DE", "FR"], 40, 0.1, 3.2)],
)
async def test_few_lists_run_at_the_speed_of_their_answers(
    file: Path, regions: list[str], qps: float, latency: float, seconds: float
) -> None:
    async with opened({"latency": latency}, qps=qps) as (client, _):
        clock = asyncio.get_running_loop().time
        start = clock()
        await crawl_to(file, client, grid("videos", region=regions))
        assert clock() - start < seconds  # not a moment to gather for each page on top
    assert rows(file, "SELECT count(*) FROM items") == [(500 * len(regions),)]
