"""Crawls over real sockets: every item once, exact limits, fairness, failures, resumption."""

from __future__ import annotations

import asyncio
import math
import sqlite3
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from crawls import change, opened, pages_asked, rows
from keyapi_async.crawl.engine import concurrency_for
from keyapi_async.crawl.summary import summarize

from keyapi_async import (
    AuthenticationError,
    CreditBudgetError,
    InsufficientCreditsError,
    KeyAPIClient,
    PermissionDeniedError,
    RateLimitError,
    RetryPolicy,
    ServerError,
)
from keyapi_async.crawl import (
    CrawlError,
    PlanChangedError,
    Progress,
    Record,
    StoreError,
    Summary,
    crawl,
    crawl_to,
    grid,
)
from keyapi_async.crawl import store as store_module
from keyapi_async.sandbox import Fault

PLAN = grid("hashtags", region=["US", "GB"], period=[7, 30]) + grid("videos") + grid("music")
ITEMS = 4 * 100 + 500 + 100
REQUESTS = 4 * 5 + 25 + 5


async def drain(records: AsyncGenerator[Record, None], into: list[Record]) -> None:
    """What comes before an error counts, too."""
    async for record in records:
        into.append(record)


async def collect(client: KeyAPIClient, plan: Any = PLAN, **options: Any) -> list[Record]:
    return [record async for record in crawl(client, plan, **options)]


# -- streaming ---------------------------------------------------------------------------------


async def test_a_stream_has_every_item_of_every_list_once() -> None:
    async with opened() as (client, sandbox):
        records = await collect(client)
        expected = [
            (endpoint, query, item)
            for endpoint, query in [
                *[
                    ("hashtags", {"region": r, "period": p})
                    for r in ("US", "GB")
                    for p in ["7", "30"]
                ],
                ("videos", {}),
                ("music", {}),
            ]
            for item in sandbox.items(endpoint, **query)
        ]
        assert len(records) == ITEMS
        assert sorted(map(str, [record.raw for record in records])) == sorted(
            str(item) for _, _, item in expected
        )
        assert len(sandbox.requests) == REQUESTS
        assert sandbox.credits_spent == client.usage.credits_spent == 2 * REQUESTS


async def test_a_record_tells_where_it_is_from() -> None:
    async with opened() as (client, sandbox):
        records = await collect(client, grid("hashtags", region="US"), max_pages=2)
        last = records[-1]
        assert (last.endpoint, last.page, last.position) == ("hashtags", 2, 20)
        assert last.query == grid("hashtags", region="US")[0]
        assert last.raw == sandbox.items("hashtags", region="US")[39]
        assert last.item.hashtag_id == last.raw["hashtag_id"]
        assert last.request_id
        assert last.retrieved_at > 1.7e9


@pytest.mark.parametrize(
    ("limits", "items", "requests"),
    [
        ({"max_items": 0}, 0, 0),
        ({"max_pages": 0}, 0, 0),
        ({"max_items": 1}, 6, 6),
        ({"max_items": 20}, 120, 6),
        ({"max_items": 21}, 126, 12),
        ({"max_pages": 2}, 240, 12),
        ({"max_items": 30, "max_pages": 1}, 120, 6),
    ],
)
async def test_limits_hold_per_list_exactly(
    limits: dict[str, int], items: int, requests: int
) -> None:
    async with opened() as (client, sandbox):
        records = await collect(client, **limits)
        assert (len(records), len(sandbox.requests)) == (items, requests)


@pytest.mark.parametrize("name", ["max_items", "max_pages", "concurrency"])
async def test_limits_that_cannot_be_right_are_refused(name: str) -> None:
    async with opened() as (client, sandbox):
        with pytest.raises(ValueError, match=name):
            await collect(client, **{name: -1})
        assert not sandbox.requests


async def test_details_come_once_per_region_and_period() -> None:
    plan = grid("hashtags", region=["US", "GB"], limit=[20, 10]) + grid("music") + grid("videos")
    async with opened() as (client, sandbox):
        records = await collect(client, plan, with_details=True, max_items=20)
        counts = Counter(record.endpoint for record in records)
        sounds = 20
        assert counts == {
            "hashtags": 80,
            "hashtag_detail": 40,  # the lists of one region, in two page sizes, have the same
            "music": 20,
            "music_detail": sounds,
            "videos": 20,
        }
        detail = next(record for record in records if record.endpoint == "hashtag_detail")
        assert detail.raw["hashtag_name"] == detail.query.hashtag_name  # type: ignore[attr-defined]
        assert (detail.page, detail.position) == (1, 1)
        assert detail.request_id
        asked = Counter((request.path, request.query) for request in sandbox.requests)
        assert set(asked.values()) == {1}


async def test_a_plan_that_names_a_list_twice_fetches_it_once() -> None:
    async with opened() as (client, _sandbox):
        assert len(await collect(client, grid("hashtags") + grid("hashtags"))) == 100
        assert await collect(client, ()) == []


async def test_lists_advance_in_turn() -> None:
    async with opened({"latency": 0.01}, qps=100) as (client, sandbox):
        await collect(client, grid("hashtags", region=["US", "GB", "DE"]), concurrency=3)
        assert pages_asked(sandbox) == [page for page in range(1, 6) for _ in range(3)]


async def test_no_more_lists_than_workers_are_begun() -> None:
    async with opened({"latency": 0.01}) as (client, sandbox):
        await collect(client, grid("hashtags", region=["US", "GB", "DE", "FR"]), concurrency=2)
        first = {request.params["region"] for request in sandbox.requests[:10]}
        assert first == {"US", "GB"}


@pytest.mark.parametrize(
    ("pace", "expected"), [(10, 20), (1, 8), (200, 400), (1e300, 10_000), (math.inf, 64)]
)
def test_concurrency_follows_the_pace(pace: float, expected: int) -> None:
    assert concurrency_for(pace) == expected


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
                await collect(client)


async def test_a_failed_list_ends_the_stream_after_what_was_under_way() -> None:
    async with opened() as (client, sandbox):
        sandbox.fail(Fault.status(500), page=3, path="videos")
        records: list[Record] = []
        with pytest.raises(ServerError) as caught:
            await drain(crawl(client, PLAN, concurrency=2), records)
        assert caught.value.params["page"] == "3"
        billed = sandbox.credits_spent // 2
        assert len(sandbox.requests) == billed + 1 < REQUESTS
        assert len({(r.query, r.page) for r in records}) == billed  # nothing paid for is lost


async def test_keep_going_names_what_failed_at_the_end() -> None:
    async with opened() as (client, sandbox):
        sandbox.fail(Fault.status(500), page=3, path="videos")
        sandbox.fail(Fault.data(None), path="music")
        records: list[Record] = []
        with pytest.raises(CrawlError, match="2 of 6 queries failed, the first with") as caught:
            await drain(crawl(client, PLAN, keep_going=True), records)
        assert len(records) == 400 + 40
        assert {type(failed.query).__name__ for failed in caught.value.failures} == {
            "VideosQuery",
            "MusicQuery",
        }


HOPELESS = [
    ({"faults": [Fault.status(401)], "fault_rate": 1.0}, {}, AuthenticationError, 0),
    ({"credits": 10}, {}, InsufficientCreditsError, 5),
    ({}, {"max_credits": 14}, CreditBudgetError, 7),
    (
        {"qps": 0.001},
        {"retry": RetryPolicy(rate_limit_deadline=5)},
        RateLimitError,
        1,
    ),
]


@pytest.mark.parametrize(("settings", "options", "error", "paid"), HOPELESS)
async def test_what_every_list_would_meet_ends_the_crawl(
    settings: dict[str, Any], options: dict[str, Any], error: Any, paid: int, tmp_path: Path
) -> None:
    file = tmp_path / "a.sqlite"
    async with opened(settings, **options) as (client, sandbox):
        with pytest.raises(error):
            await crawl_to(file, client, PLAN, keep_going=True, concurrency=4)
        assert sandbox.credits_spent == 2 * paid
        assert rows(file, "SELECT count(*) FROM pages") == [(paid,)]
        assert rows(file, "SELECT count(*) FROM lists WHERE state = 'failed'") == [(0,)]


# -- storing -----------------------------------------------------------------------------------


async def test_a_store_holds_every_item_as_received(tmp_path: Path) -> None:
    file = tmp_path / "a.sqlite"
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


async def test_a_finished_crawl_does_nothing(tmp_path: Path) -> None:
    file = tmp_path / "a.sqlite"
    async with opened() as (client, sandbox):
        first = await crawl_to(file, client, PLAN)
        assert await crawl_to(file, client, PLAN) == first
        assert await crawl_to(file, client) == first
        assert await crawl_to(file, client, PLAN, fresh_within=3600) == first
        assert len(sandbox.requests) == REQUESTS


@pytest.mark.parametrize(("with_details", "budget"), [(False, 34), (True, 302)])
async def test_what_stopped_goes_on_and_pays_for_nothing_twice(
    with_details: bool, budget: int, tmp_path: Path
) -> None:
    file = tmp_path / "a.sqlite"
    requests = REQUESTS + (400 + 100 if with_details else 0)
    async with opened() as (_client, sandbox):
        legs = 0
        while True:
            legs += 1
            async with sandbox.client(qps=math.inf, max_credits=budget) as poor:
                try:
                    summary = await crawl_to(file, poor, PLAN, with_details=with_details)
                except CreditBudgetError:
                    assert sandbox.credits_spent == budget * legs
                    continue
                break
        assert summary.credits_spent == sandbox.credits_spent == 2 * requests
        assert summary.runs == legs == -(-2 * requests // budget)
        assert summary.items == ITEMS + (requests - REQUESTS)
    assert rows(file, "SELECT count(*) FROM runs WHERE ended_at IS NULL") == [(0,)]
    assert rows(file, "SELECT count(*) FROM items GROUP BY list, item_id HAVING count(*) > 1") == []


async def test_a_list_stored_in_full_but_not_closed_costs_nothing_more(tmp_path: Path) -> None:
    file = tmp_path / "a.sqlite"
    async with opened() as (client, sandbox):
        plan = grid("hashtags") + grid("videos")
        done = await crawl_to(file, client, plan, with_details=True, max_items=25)
        # As a kill between two transactions leaves it.
        change(file, "UPDATE lists SET state = 'pending'")
        before = len(sandbox.requests)
        again = await crawl_to(file, client)
        assert len(sandbox.requests) == before
        assert (again.done, again.items) == (done.done, done.items)


async def test_duplicates_are_dropped_counted_and_remembered(tmp_path: Path) -> None:
    file = tmp_path / "a.sqlite"
    async with opened() as (client, sandbox):
        sandbox.fail(Fault.shift(3), page=2)
        sandbox.fail(Fault.shift(5), page=3)
        async with sandbox.client(max_credits=4) as poor:
            with pytest.raises(CreditBudgetError):
                await crawl_to(file, poor, grid("hashtags"))
        summary = await crawl_to(file, client, grid("hashtags"))
    assert (summary.duplicates, summary.items) == (5, 95)
    positions = rows(file, "SELECT min(position), max(position) FROM items GROUP BY page")
    assert positions == [(1, 20), (4, 20), (3, 20), (1, 20), (1, 20)]


async def test_details_are_stored_and_found_again(tmp_path: Path) -> None:
    file = tmp_path / "a.sqlite"
    plan = grid("hashtags") + grid("music")
    async with opened() as (client, sandbox):
        summary = await crawl_to(file, client, plan, with_details=True, concurrency=3)
        assert (summary.queries, summary.done) == (2 + 200, 202)
        assert len(sandbox.requests) == 10 + 200
        found = rows(file, "SELECT planned, count(*) FROM queries GROUP BY planned")
        assert found == [(0, 200), (1, 2)]


async def test_keep_going_notes_failures_and_does_the_rest(tmp_path: Path) -> None:
    file = tmp_path / "a.sqlite"
    async with opened({"forbidden": ["music"], "retired": ["hashtag_detail"]}) as (client, _):
        plan = grid("music", region=["US", "GB"]) + grid("hashtags")
        progress = Progress()
        summary = await crawl_to(
            file,
            client,
            plan,
            keep_going=True,
            with_details=True,
            max_items=5,
            progress=progress,
        )
        assert (summary.done, summary.failed) == (1, 2 + 5)
        assert (progress.queries, progress.done, progress.failed) == (8, 1, 7)
        assert progress.pages_expected == progress.pages == 1
        with pytest.raises(PermissionDeniedError):
            await crawl_to(file, client, plan, with_details=True, max_items=5, retry_failed=True)


async def test_progress_learns_how_long_lists_are(tmp_path: Path) -> None:
    file = tmp_path / "a.sqlite"
    settings = {"totals": {"hashtags": 60, "videos": 45}}
    async with opened(settings) as (client, sandbox):
        async with sandbox.client(max_credits=6) as poor:
            progress = Progress()
            with pytest.raises(CreditBudgetError):
                await crawl_to(
                    file,
                    poor,
                    grid("hashtags") + grid("videos", region=["US", "GB"]),
                    progress=progress,
                    concurrency=1,
                )
            assert (progress.pages, progress.pages_expected) == (3, 3 + 25 + 25)
        progress = Progress()
        await crawl_to(file, client, progress=progress)
        assert (progress.pages, progress.pages_expected, progress.items) == (6, 6, 90)


async def test_a_changed_plan_is_named_and_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.sqlite"
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


async def test_extend_adds_to_the_plan_and_opens_what_a_limit_ended(tmp_path: Path) -> None:
    file = tmp_path / "a.sqlite"
    async with opened() as (client, sandbox):
        await crawl_to(file, client, grid("hashtags"), max_pages=2)
        assert len(sandbox.requests) == 2
        plan = grid("hashtags") + grid("videos")
        summary = await crawl_to(file, client, plan, extend=True)
        assert (summary.snapshot, summary.done, summary.items) == (1, 2, 600)
        assert len(sandbox.requests) == 5 + 25
        summary = await crawl_to(file, client, plan, with_details=True, extend=True)
        assert (summary.done, summary.items) == (102, 700)
        assert len(sandbox.requests) == 5 + 25 + 100


async def test_a_raised_limit_leaves_no_hole(tmp_path: Path) -> None:
    file = tmp_path / "a.sqlite"
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


async def test_two_crawls_on_one_file(tmp_path: Path) -> None:
    file = tmp_path / "a.sqlite"
    async with opened({"latency": 0.1}) as (client, sandbox):
        first = asyncio.create_task(crawl_to(file, client, grid("videos")))
        while not sandbox.requests:
            await asyncio.sleep(0.01)
        with pytest.raises(StoreError, match="another crawl is running on it"):
            await crawl_to(file, client, grid("videos"))
        assert (await first).items == 500


async def test_a_cancelled_crawl_keeps_what_has_come(tmp_path: Path) -> None:
    file = tmp_path / "a.sqlite"
    async with opened({"latency": 0.1}) as (client, sandbox):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await crawl_to(file, client, grid("videos"))
        stored = rows(file, "SELECT count(*) FROM pages")[0][0]
        assert 1 <= stored <= len(sandbox.requests) <= stored + 1
        summary = await crawl_to(file, client)
        assert summary.items == 500
        assert sandbox.credits_spent <= 2 * 26


async def test_counts_of_a_client_used_before_are_not_mixed_in(tmp_path: Path) -> None:
    async with opened() as (client, _):
        await client.trending.hashtags()
        summary = await crawl_to(tmp_path / "a.sqlite", client, grid("hashtags"))
        assert (summary.requests, summary.credits_spent) == (5, 10)


async def test_there_must_be_a_plan_to_begin_with(tmp_path: Path) -> None:
    async with opened() as (client, _):
        with pytest.raises(StoreError, match="there is no such file"):
            await crawl_to(tmp_path / "a.sqlite", client)
        assert list(tmp_path.iterdir()) == []
        with store_module.opened(tmp_path / "a.sqlite", create=True):
            pass
        with pytest.raises(StoreError, match="holds no crawl yet; start one with a plan"):
            await crawl_to(tmp_path / "a.sqlite", client)


async def test_a_full_disk_ends_the_crawl_and_harms_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.sqlite"
    connect = store_module.connect
    disk = [20]

    def small(path: Path, *, create: bool = False) -> sqlite3.Connection:
        connection = connect(path, create=create)
        connection.execute(f"PRAGMA max_page_count = {disk[0]}")
        return connection

    monkeypatch.setattr(store_module, "connect", small)
    async with opened() as (client, sandbox):
        plan = grid("hashtags", region=["US", "GB"])
        with pytest.raises(StoreError, match=r"a.sqlite: the disk is full; what was stored before"):
            await crawl_to(file, client, plan)
        ((stored,),) = rows(file, "SELECT count(*) FROM pages")
        # What had been paid for when the disk was full: one page of each list at most.
        assert 0 < stored < sandbox.credits_spent // 2 <= stored + 2
        disk[0] = 10_000
        assert (await crawl_to(file, client, plan)).items == 200
        assert sandbox.credits_spent // 2 <= 10 + 2
    assert rows(file, "PRAGMA integrity_check") == [("ok",)]


async def test_a_file_without_a_crawl_has_no_summary(tmp_path: Path) -> None:
    with (
        store_module.opened(tmp_path / "a.sqlite", create=True) as store,
        pytest.raises(StoreError, match="holds no crawl yet"),
    ):
        summarize(store)


async def test_idle_workers_are_given_the_details_found(tmp_path: Path) -> None:
    async with opened({"latency": 1.0}) as (client, _sandbox):
        clock = asyncio.get_running_loop().time
        start = clock()
        records = await collect(client, grid("hashtags"), with_details=True, concurrency=101)
        assert len(records) == 200
        assert clock() - start < 8  # five pages one after the other, the details beside them
