"""Which snapshot, and what of it: changed plans and limits, told before and done."""

from __future__ import annotations

import math
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from keyapi_async import CreditBudgetError, NotFoundError
from keyapi_async.crawl import PlanChangedError, crawl_to, grid
from keyapi_async.crawl.database import writing
from keyapi_async.crawl.jobs import Completion, Options
from keyapi_async.crawl.snapshots import Request, carry_out, decide
from keyapi_async.crawl.store import Store
from keyapi_async.pagination import StopReason
from keyapi_async.queries import Query
from keyapi_async.sandbox import Fault, Sandbox
from keyapi_async.usage import Usage
from tests.crawl.sandboxed_crawl import GB, TWO, US, change, opened, pages_asked, rows, write

LONG_AGO = "UPDATE snapshots SET started_at = started_at - 86400"
STATES = "SELECT snapshot, query, state, stop_reason FROM lists ORDER BY id"


async def stop_after(
    requests: int, file: Path, sandbox: Sandbox, plan: Any = TWO, **options: Any
) -> None:
    """A crawl of lists, one after the other, that runs out of credits."""
    async with sandbox.client(qps=math.inf, max_credits=2 * requests) as poor:
        with pytest.raises(CreditBudgetError):
            await crawl_to(file, poor, plan, concurrency=1, **options)


# -- snapshots ---------------------------------------------------------------------------------


async def test_an_unfinished_snapshot_is_gone_on_with_while_it_is_young(file: Path) -> None:
    async with opened() as (client, sandbox):
        await stop_after(7, file, sandbox)
        summary = await crawl_to(file, client, TWO, fresh_within=3600)
        assert (summary.snapshot, summary.items, len(sandbox.requests)) == (1, 200, 10)
        summary = await crawl_to(file, client, TWO, fresh_within=3600)
        assert (summary.snapshot, len(sandbox.requests)) == (1, 10)


async def test_a_new_day_leaves_the_old_one_as_it_is(file: Path) -> None:
    async with opened() as (client, sandbox):
        await stop_after(7, file, sandbox)
        change(file, LONG_AGO)
        summary = await crawl_to(file, client, TWO, fresh_within=3600)
        assert (summary.snapshot, summary.queries, summary.items) == (2, 2, 200)
        assert len(sandbox.requests) == 17
    assert rows(file, "SELECT snapshot, state, pages FROM lists ORDER BY id") == [
        (1, "done", 5),
        (1, "pending", 2),
        (2, "done", 5),
        (2, "done", 5),
    ]


async def test_a_new_snapshot_has_the_whole_plan(file: Path) -> None:
    plan = TWO + grid("music") + grid("videos")
    async with opened() as (client, sandbox):
        sandbox.fail(Fault.status(404), path="music", page=2)
        summary = await crawl_to(file, client, plan, keep_going=True)
        assert (summary.done, summary.failed, len(sandbox.requests)) == (3, 1, 37)
        change(file, LONG_AGO)
        # Though its lists were finished a moment ago, and only one of them is wanting.
        summary = await crawl_to(file, client, plan, fresh_within=3600, retry_failed=True)
        assert (summary.snapshot, summary.queries, summary.items) == (2, 4, 800)
        assert len(sandbox.requests) == 37 + 40
        summary = await crawl_to(file, client, plan, fresh_within=3600)
        assert (summary.snapshot, len(sandbox.requests)) == (2, 77)
    assert rows(file, "SELECT state FROM lists WHERE snapshot = 1 AND query = 3") == [("failed",)]


async def test_what_changes_on_a_new_day_changes_the_new_snapshot(file: Path) -> None:
    async with opened() as (client, sandbox):
        await stop_after(3, file, sandbox, max_pages=2)
        change(file, LONG_AGO)
        old = rows(file, "SELECT options FROM snapshots"), rows(file, STATES)
        plan = (US, *grid("music"))
        summary = await crawl_to(file, client, plan, max_pages=1, extend=True, fresh_within=60)
        # Even what was done a moment ago was done with other options.
        assert (summary.snapshot, summary.queries, summary.pages) == (2, 2, 2)
        assert len(sandbox.requests) == 5
        assert rows(file, "SELECT options FROM snapshots WHERE id = 1") == old[0]
        assert rows(file, STATES)[:2] == old[1]
        summary = await crawl_to(file, client, plan, max_pages=1, fresh_within=60)
        assert (summary.snapshot, len(sandbox.requests)) == (2, 5)


# -- a changed plan ----------------------------------------------------------------------------


async def test_a_changed_plan_is_named_and_refused(file: Path) -> None:
    async with opened() as (client, sandbox):
        await crawl_to(
            file, client, grid("hashtags", region=["A", "B", "C", "D", "E"]), max_pages=1
        )
        before = len(sandbox.requests)
        with pytest.raises(PlanChangedError) as caught:
            await crawl_to(file, client, grid("music"), max_items=3)
        assert len(sandbox.requests) == before
        told = str(caught.value)
        assert "new: music; " in told
        assert "no longer there: hashtags region=A, hashtags region=B, hashtags region=C" in told
        assert "and 2 more; max_items was None, is 3; max_pages was 1, is None" in told
        assert str(file) in told
        assert "extend (--extend) takes the new plan, another file keeps them apart" in told


async def test_extend_adds_to_the_plan_and_opens_what_a_limit_ended(file: Path) -> None:
    async with opened() as (client, sandbox):
        await crawl_to(file, client, grid("hashtags"), max_pages=2)
        assert len(sandbox.requests) == 2
        plan = grid("hashtags") + grid("videos")
        summary = await crawl_to(file, client, plan, extend=True)
        assert (summary.snapshot, summary.done, summary.items) == (1, 2, 600)
        assert len(sandbox.requests) == 5 + 25
        summary = await crawl_to(file, client, plan, details="all", extend=True)
        assert (summary.done, summary.items) == (102, 700)
        assert len(sandbox.requests) == 5 + 25 + 100


async def test_a_raised_limit_leaves_no_hole(file: Path) -> None:
    async with opened() as (client, sandbox):
        await crawl_to(file, client, grid("hashtags"), max_items=25)
        summary = await crawl_to(file, client, grid("hashtags"), extend=True)
        assert (summary.items, summary.duplicates) == (100, 0)
        # The page that was cut is asked for again: what was cut off was not kept.
        assert pages_asked(sandbox) == [1, 2, 2, 3, 4, 5]
        expected = [item["hashtag_id"] for item in sandbox.items("hashtags")]
    found = rows(file, "SELECT item_id FROM items ORDER BY id")
    assert [item for (item,) in found] == expected
    assert rows(file, "SELECT sum(credits) FROM pages") == [(12,)]


async def test_what_is_dropped_is_fetched_no_more(file: Path) -> None:
    plan = (US, *grid("music"))
    async with opened() as (client, sandbox):
        await stop_after(7, file, sandbox)  # the first list, and two pages of the second
        with pytest.raises(PlanChangedError, match="new: music; no longer there: hashtags regi"):
            await crawl_to(file, client, plan)
        summary = await crawl_to(file, client, plan, extend=True)
        assert (summary.done, summary.pending, summary.items) == (3, 0, 100 + 40 + 100)
        assert len(sandbox.requests) == 12
        assert rows(file, STATES)[1] == (1, 2, "done", "dropped")
        await crawl_to(file, client, plan)  # it is the file's plan now
        await crawl_to(file, client)
        assert len(sandbox.requests) == 12
        change(file, LONG_AGO)
        summary = await crawl_to(file, client, fresh_within=3600)
        assert (summary.snapshot, summary.queries, len(sandbox.requests)) == (2, 2, 22)


async def test_a_failed_list_that_is_dropped_is_not_retried(file: Path) -> None:
    async with opened() as (client, sandbox):
        sandbox.fail(Fault.status(404), page=2)
        with pytest.raises(NotFoundError):
            await crawl_to(file, client, TWO, concurrency=1)
        summary = await crawl_to(file, client, (GB,), extend=True, retry_failed=True)
        assert (summary.done, summary.failed, summary.items) == (2, 0, 120)
        assert rows(file, "SELECT error LIKE 'NotFoundError%' FROM lists") == [(1,), (None,)]
        assert len(sandbox.requests) == 7


async def test_details_end_and_go_on_with_the_wish_for_them(file: Path) -> None:
    plan = grid("hashtags")
    async with opened() as (client, sandbox):
        async with sandbox.client(qps=math.inf, max_credits=2 * 8) as poor:
            with pytest.raises(CreditBudgetError):
                await crawl_to(file, poor, plan, details="all", max_pages=2, concurrency=1)
        # The two pages of the list, and six of forty details.
        summary = await crawl_to(file, client, plan, max_pages=2, extend=True)
        assert (summary.done, summary.items, len(sandbox.requests)) == (41, 46, 8)
        summary = await crawl_to(file, client, plan, max_pages=2, details="all", extend=True)
        assert (summary.done, summary.items, len(sandbox.requests)) == (41, 80, 42)
        assert rows(file, "SELECT stop_reason, count(*) FROM lists GROUP BY 1 ORDER BY 1") == [
            ("exhausted", 40),
            ("max_pages", 1),
        ]


async def test_a_planned_detail_that_is_dropped_stays_so_unless_it_is_found(file: Path) -> None:
    async with opened() as (client, sandbox):
        name = sandbox.items("hashtags", region="US")[0]["hashtag_name"]
        first, other = grid("hashtag_detail", region="US", hashtag_name=[name, "unheard of"])
        await stop_after(0, file, sandbox, (first, other), details="all", max_items=20)
        await crawl_to(file, client, (US,), details="all", max_items=20, extend=True)
        assert len(sandbox.requests) == 1 + 19
        # Found on the way, the one is known for a detail from now on.
        assert rows(file, "SELECT planned FROM queries WHERE id <= 2") == [(0,), (-1,)]


def test_a_limit_that_ended_a_dropped_list_does_not_open_it_again(file: Path) -> None:
    def begun(plan: Any, **options: Any) -> list[Query[Any]]:
        request = Request(plan=plan, options=Options(**options), extend=True)
        decision = decide(db, request, 1e9)
        store = Store(db, carry_out(db, decision), decision.options, Usage(), in_hand=1)
        jobs = store.jobs(0, 9)
        write(store, [Completion(job=job, reason=StopReason.MAX_ITEMS) for job in jobs], Usage())
        return [job.query for job in jobs]

    with writing(file, create=True) as db:
        assert begun(TWO, max_items=1) == [US, GB]
        assert begun((GB,), max_items=1) == []
        assert begun((GB,), max_items=2) == [GB]
        assert begun(TWO, max_items=2) == []  # what it has is what is wanted
        assert begun(TWO, max_items=3) == [US, GB]


async def test_details_are_added_list_by_list(file: Path) -> None:
    async with opened() as (client, _):
        await crawl_to(file, client, grid("hashtags", region=[f"r{n}" for n in range(8)]))
    # Fifty thousand letters each, forty million in all.
    longer = "json_insert(json, '$.more', hex(zeroblob(25000)))"
    change(file, f"UPDATE items SET json = {longer}")
    request = Request(options=Options(details="all"), extend=True)
    with writing(file, create=False) as db:
        tracemalloc.start()
        try:
            carry_out(db, decide(db, request, time.time()))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert rows(file, "SELECT count(*) FROM lists WHERE state = 'pending'") == [(800,)]
    assert rows(file, "SELECT sum(length(json)) > 40000000 FROM items") == [(1,)]
    assert peak < 10_000_000
