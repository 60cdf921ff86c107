"""`Crawl`: run, stop, status, and what a dry run says."""

from __future__ import annotations

import asyncio
import math
import signal
from pathlib import Path
from typing import Any

import pytest

from keyapi_async import CreditBudgetError, ParameterError
from keyapi_async.crawl import Crawl, Progress, StoreError, Summary, crawl_to, grid
from keyapi_async.crawl.database import writing
from tests.crawl.sandboxed_crawl import TWO, US, change, opened, rows

PLAN = grid("hashtags", region=["US", "GB"], period=[7, 30]) + grid("videos") + grid("music")
ITEMS = 4 * 100 + 500 + 100
REQUESTS = 4 * 5 + 25 + 5


async def test_a_store_holds_every_item_as_received(file: Path) -> None:
    async with opened() as (client, sandbox):
        summary = await crawl_to(file, client, PLAN)
        expected = [item["item_id"] for item in sandbox.items("videos")]
    assert isinstance(summary, Summary)
    assert (summary.queries, summary.done, summary.pending, summary.failed) == (6, 6, 0, 0)
    assert (summary.items, summary.pages, summary.duplicates) == (ITEMS, REQUESTS, 0)
    assert (summary.requests, summary.credits_spent) == (REQUESTS, 2 * REQUESTS)
    assert (summary.credits_at_risk, summary.runs, summary.snapshot) == (0, 1, 1)
    assert summary.finished_at is not None
    found = rows(
        file,
        "SELECT i.item_id FROM items i JOIN lists l ON l.id = i.list JOIN queries q "
        "ON q.id = l.query WHERE q.endpoint = 'videos' ORDER BY i.id",
    )
    assert [item for (item,) in found] == expected
    assert rows(file, "SELECT DISTINCT credits, status FROM pages") == [(2, "ok")]
    assert rows(file, "SELECT DISTINCT state, stop_reason FROM lists") == [("done", "exhausted")]


async def test_a_finished_crawl_does_nothing(file: Path) -> None:
    async with opened() as (client, sandbox):
        first = await crawl_to(file, client, PLAN)
        assert await crawl_to(file, client, PLAN) == first
        assert await crawl_to(file, client) == first
        assert await crawl_to(file, client, PLAN, fresh_within=3600) == first
        assert len(sandbox.requests) == REQUESTS


@pytest.mark.parametrize(("details", "budget"), [(None, 34), ("all", 302)])
async def test_what_stopped_goes_on_and_pays_for_nothing_twice(
    details: str | None, budget: int, file: Path
) -> None:
    requests = REQUESTS + (400 + 100 if details else 0)
    async with opened() as (_client, sandbox):
        legs = 0
        while True:
            legs += 1
            async with sandbox.client(qps=math.inf, max_credits=budget) as poor:
                try:
                    summary = await crawl_to(file, poor, PLAN, details=details)
                except CreditBudgetError:
                    assert sandbox.credits_spent == budget * legs
                    continue
                break
        assert summary.credits_spent == sandbox.credits_spent == 2 * requests
        assert summary.runs == legs == -(-2 * requests // budget)
        assert summary.items == ITEMS + (requests - REQUESTS)
    assert rows(file, "SELECT count(*) FROM runs WHERE ended_at IS NULL") == [(0,)]
    assert rows(file, "SELECT count(*) FROM items GROUP BY list, item_id HAVING count(*) > 1") == []


async def test_a_list_stored_in_full_but_not_closed_costs_nothing_more(file: Path) -> None:
    async with opened() as (client, sandbox):
        plan = grid("hashtags") + grid("videos")
        done = await crawl_to(file, client, plan, details="all", max_items=25)
        # As a kill between two transactions leaves it.
        change(file, "UPDATE lists SET state = 'pending'")
        before = len(sandbox.requests)
        again = await crawl_to(file, client)
        assert len(sandbox.requests) == before
        assert (again.done, again.items) == (done.done, done.items)


async def test_two_crawls_on_one_file(file: Path) -> None:
    async with opened({"latency": 0.1}) as (client, sandbox):
        first = asyncio.create_task(crawl_to(file, client, grid("videos")))
        while not sandbox.requests:
            await asyncio.sleep(0.01)
        with pytest.raises(StoreError, match="another crawl is running on it"):
            await crawl_to(file, client, grid("videos"))
        assert (await first).items == 500


async def test_a_cancelled_crawl_keeps_what_has_come(file: Path) -> None:
    async with opened({"latency": 0.1}) as (client, sandbox):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await crawl_to(file, client, grid("videos"))
        stored = rows(file, "SELECT count(*) FROM pages")[0][0]
        assert 1 <= stored <= len(sandbox.requests) <= stored + 1
        summary = await crawl_to(file, client)
        assert summary.items == 500
        assert sandbox.credits_spent <= 2 * 26


async def test_counts_of_a_client_used_before_are_not_mixed_in(file: Path) -> None:
    async with opened() as (client, _):
        await client.trending.hashtags()
        summary = await crawl_to(file, client, grid("hashtags"))
        assert (summary.requests, summary.credits_spent) == (5, 10)


async def test_there_must_be_a_plan_to_begin_with(file: Path) -> None:
    async with opened() as (client, _):
        with pytest.raises(StoreError, match="there is no such file; start a crawl with"):
            await crawl_to(file, client)
        assert list(file.parent.iterdir()) == []
        with writing(file, create=True):
            pass
        with pytest.raises(StoreError, match="holds no crawl yet; start one with a plan"):
            await crawl_to(file, client)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"plan": ()}, "plan must be of at least one query: there is nothing to crawl"),
        ({"plan": (US, "music")}, "query 2 of the plan must be a query, .* not 'music'"),
        ({"concurrency": 0}, "concurrency must be a whole number of at least 1, not 0"),
        ({"max_items": -1}, "max_items must be"),
        ({"details": "some"}, "details must be 'all', 'new', or how many"),
        ({"wait_outage": -1}, "wait_outage must be a number of seconds, not -1"),
        ({"wait_outage": math.nan}, "wait_outage must be a number of seconds, not nan"),
        ({"fresh_within": "1h"}, "fresh_within must be a number of seconds, not '1h'"),
        ({"daily": "Mars/Olympus"}, "daily must be True .* not 'Mars/Olympus'"),
        ({"daily": 5}, "daily must be True .* not 5"),
    ],
)
async def test_what_cannot_be_right_is_refused_at_once(
    options: dict[str, Any], problem: str, file: Path
) -> None:
    async with opened() as (client, sandbox):
        plan = options.pop("plan", TWO)
        with pytest.raises(ParameterError, match=problem):
            Crawl(client, plan, file, **options)
        assert not file.exists()
        assert not sandbox.requests


# -- run, stop, status -------------------------------------------------------------------------


async def test_on_start_is_told_before_anything_is_sent(file: Path) -> None:
    told: list[Progress] = []
    async with opened() as (client, sandbox):

        def tell(progress: Progress) -> None:
            assert not sandbox.requests
            told.append(progress)

        crawling = Crawl(client, TWO, file, on_start=tell)
        assert crawling.status() == Progress()
        await crawling.run()
    (progress,) = told
    assert (progress.queries, progress.pending, progress.pages_expected) == (2, 2, 10)
    assert (progress.snapshot, progress.is_new) == (1, True)
    assert crawling.status() == Progress(
        queries=2,
        done=2,
        pages=10,
        pages_expected=10,
        items=200,
        snapshot=1,
        is_new=True,
    )


async def test_a_crawl_stopped_keeps_what_is_under_way_and_goes_on(file: Path) -> None:
    async with opened({"latency": 1.0}) as (client, sandbox):
        crawling = Crawl(client, grid("videos"), file)
        asyncio.get_running_loop().call_later(3.5, crawling.stop)
        summary = await crawling.run()
        assert (summary.pages, summary.pending, len(sandbox.requests)) == (4, 1, 4)
        assert (summary.complete, summary.finished_at, summary.credits_at_risk) == (False, None, 0)
        again = await crawling.run()
        assert (again.items, again.runs, len(sandbox.requests)) == (500, 2, 25)
        assert (crawling.status().pages, crawling.status().pages_before) == (21, 4)


async def test_stopping_twice_gives_up_what_is_under_way(file: Path) -> None:
    async with opened({"latency": 1.0}) as (client, sandbox):
        crawling = Crawl(client, grid("videos"), file)
        loop = asyncio.get_running_loop()
        loop.call_later(3.5, crawling.stop)
        loop.call_later(3.6, crawling.stop)
        start = loop.time()
        summary = await crawling.run()
        assert loop.time() - start < 3.8
        assert (summary.pages, len(sandbox.requests)) == (3, 4)
        assert (summary.credits_spent, summary.credits_at_risk) == (6, 2)
        assert (await crawling.run()).items == 500


async def test_what_takes_longer_than_the_grace_is_given_up(file: Path) -> None:
    async with opened({"latency": 20.0}) as (client, _):
        crawling = Crawl(client, grid("videos"), file)
        loop = asyncio.get_running_loop()
        loop.call_later(1, crawling.stop, 2.0)
        start = loop.time()
        summary = await crawling.run()
        assert 3 <= loop.time() - start < 3.3
        assert (summary.pages, summary.credits_at_risk) == (0, 2)


async def test_a_crawl_stopped_before_it_runs_sends_nothing_then(file: Path) -> None:
    async with opened() as (client, sandbox):
        crawling = Crawl(client, TWO, file)
        crawling.stop()
        crawling.stop()
        summary = await crawling.run()
        assert (summary.pending, summary.runs, sandbox.requests) == (2, 0, [])
        assert (await crawling.run()).items == 200
        crawling.stop()  # when it is over
        assert len(sandbox.requests) == 10


async def test_on_start_may_stop_it(file: Path) -> None:
    async with opened() as (client, sandbox):
        crawling = Crawl(client, TWO, file, on_start=lambda _: crawling.stop())
        assert (await crawling.run()).pending == 2
        assert not sandbox.requests


async def test_a_signal_stops_it(file: Path) -> None:
    async with opened({"latency": 1.0}) as (client, sandbox):
        crawling = Crawl(client, grid("videos"), file)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, crawling.stop)
        try:
            loop.call_later(2.5, signal.raise_signal, signal.SIGTERM)
            summary = await crawling.run()
        finally:
            loop.remove_signal_handler(signal.SIGTERM)
        assert (summary.pages, summary.pending) == (len(sandbox.requests), 1)


async def test_a_crawl_is_run_by_one_at_a_time(file: Path) -> None:
    async with opened({"latency": 0.1}) as (client, _):
        crawling = Crawl(client, TWO, file)
        first = asyncio.create_task(crawling.run())
        await asyncio.sleep(0.05)
        with pytest.raises(StoreError, match="another crawl is running on it"):
            await crawling.run()
        assert (await first).items == 200
        assert crawling.status().pages == 10


async def test_options_without_a_plan_are_not_forgotten(file: Path) -> None:
    async with opened() as (client, sandbox):
        await crawl_to(file, client, TWO, max_pages=1)
        assert (await crawl_to(file, client)).items == 40
        with pytest.raises(StoreError, match="max_pages was 1, is 2"):
            await crawl_to(file, client, max_pages=2)
        assert (await crawl_to(file, client, max_pages=2, extend=True)).items == 80
        assert len(sandbox.requests) == 4
