"""Workers over real sockets: every item once, exact limits, fairness, failures."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from keyapi_async import (
    AuthenticationError,
    CreditBudgetError,
    InsufficientCreditsError,
    KeyAPIClient,
    KeyAPIError,
    ParameterError,
    PermissionDeniedError,
    RateLimitError,
    RetryPolicy,
    ServerError,
)
from keyapi_async.crawl import Crawl, CrawlError, Record, crawl, crawl_to, grid
from keyapi_async.crawl.workers import choose_concurrency
from keyapi_async.queries import HashtagDetailQuery
from keyapi_async.sandbox import Fault
from tests.crawl.sandboxed_crawl import TWO, opened, pages_asked, rows

PLAN = grid("hashtags", region=["US", "GB"], period=[7, 30]) + grid("videos") + grid("music")
ITEMS = 4 * 100 + 500 + 100
REQUESTS = 4 * 5 + 25 + 5


async def drain(records: AsyncGenerator[Record[Any], None], into: list[Record[Any]]) -> None:
    """What comes before an error counts, too."""
    async for record in records:
        into.append(record)


async def collect(client: KeyAPIClient, plan: Any = PLAN, **options: Any) -> list[Record[Any]]:
    return [record async for record in crawl(client, plan, **options)]


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
        assert sorted(map(str, [record.item.raw for record in records])) == sorted(
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
        assert last.item.raw == sandbox.items("hashtags", region="US")[39]
        assert last.item.hashtag_id == last.item.raw["hashtag_id"]
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
        records = await collect(client, plan, details="all", max_items=20)
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
        assert detail.item.raw["hashtag_name"] == detail.query.hashtag_name  # type: ignore[attr-defined]
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
    assert choose_concurrency(pace) == expected


async def test_idle_workers_are_given_the_details_found(file: Path) -> None:
    async with opened({"latency": 1.0}) as (client, _sandbox):
        clock = asyncio.get_running_loop().time
        start = clock()
        records = await collect(client, grid("hashtags"), details="all", concurrency=101)
        assert len(records) == 200
        assert clock() - start < 8  # five pages one after the other, the details beside them


async def test_a_failed_list_ends_the_stream_after_what_was_under_way() -> None:
    async with opened() as (client, sandbox):
        sandbox.fail(Fault.status(500), page=3, path="videos")
        records: list[Record[Any]] = []
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
        records: list[Record[Any]] = []
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
    settings: dict[str, Any], options: dict[str, Any], error: Any, paid: int, file: Path
) -> None:
    async with opened(settings, **options) as (client, sandbox):
        with pytest.raises(error):
            await crawl_to(file, client, PLAN, keep_going=True, concurrency=4)
        assert sandbox.credits_spent == 2 * paid
        assert rows(file, "SELECT count(*) FROM pages") == [(paid,)]
        assert rows(file, "SELECT count(*) FROM lists WHERE state = 'failed'") == [(0,)]


async def test_keep_going_notes_failures_and_does_the_rest(file: Path) -> None:
    async with opened({"forbidden": ["music"], "retired": ["hashtag_detail"]}) as (client, sandbox):
        plan = grid("music", region=["US", "GB"]) + grid("hashtags")
        crawling = Crawl(client, plan, file, keep_going=True, details="all", max_items=5)
        summary = await crawling.run()
        progress = crawling.status()
        assert (summary.done, summary.failed) == (1, 2 + 5)
        assert (progress.queries, progress.done, progress.failed) == (8, 1, 7)
        assert progress.pages_expected == progress.pages == 1
        assert len(sandbox.requests) == 2 + 1 + 5
        with pytest.raises(PermissionDeniedError):
            await crawl_to(file, client, plan, details="all", max_items=5, retry_failed=True)


async def test_progress_learns_how_long_lists_are(file: Path) -> None:
    async with opened({"totals": {"hashtags": 60, "videos": 45}}) as (client, sandbox):
        plan = grid("hashtags") + grid("videos", region=["US", "GB"])
        async with sandbox.client(qps=math.inf, max_credits=6) as poor:
            crawling = Crawl(poor, plan, file, concurrency=1)
            with pytest.raises(CreditBudgetError):
                await crawling.run()
            progress = crawling.status()
            assert (progress.pages, progress.pages_expected) == (3, 3 + 25 + 25)
            assert (progress.is_new, progress.snapshot, progress.pages_before) == (True, 1, 0)
        crawling = Crawl(client, None, file)
        await crawling.run()
        progress = crawling.status()
        assert (progress.pages, progress.pages_expected, progress.items) == (6, 6, 90)
        assert (progress.is_new, progress.snapshot, progress.pages_before) == (False, 1, 3)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.status(500), "ServerError"),
        (Fault.html(503), "ServerError"),
        (Fault.reset(), "TransportError"),
        (Fault.stall(), "RequestTimeoutError"),
    ],
)
async def test_what_may_pass_is_simply_gone_on_with(fault: Fault, error: str, file: Path) -> None:
    async with opened(timeout=5) as (client, sandbox):
        sandbox.fail(fault, page=3, times=2)
        for pages in ([1, 2, 3], [1, 2, 3, 3]):
            crawling = Crawl(client, grid("hashtags"), file)
            with pytest.raises(KeyAPIError) as caught:
                await crawling.run()
            assert type(caught.value).__name__ == error
            assert pages_asked(sandbox) == pages
            assert crawling.status().failed == 0
            assert rows(file, "SELECT state, substr(error, 1, instr(error, ':')) FROM lists") == [
                ("pending", f"{error}:")
            ]
        summary = await crawl_to(file, client)
        assert (summary.done, summary.failed, summary.items, summary.pages) == (1, 0, 100, 5)
        assert pages_asked(sandbox) == [1, 2, 3, 3, 3, 4, 5]
    assert rows(file, "SELECT error FROM lists") == [(None,)]
    assert rows(file, "SELECT page, credits, status FROM pages WHERE status <> 'ok'") == [
        (3, 0, error),
        (3, 0, error),
    ]


@pytest.mark.parametrize(
    "fault", [Fault.status(400), Fault.status(404), Fault.half_json(), Fault.data(None)]
)
async def test_what_stays_wrong_waits_for_retry_failed(fault: Fault, file: Path) -> None:
    async with opened() as (client, sandbox):
        sandbox.fail(fault, page=3)
        with pytest.raises(KeyAPIError):
            await crawl_to(file, client, grid("hashtags"))
        summary = await crawl_to(file, client, grid("hashtags"))
        assert (summary.done, summary.failed, summary.pending) == (0, 1, 0)
        assert summary.finished_at is not None
        assert pages_asked(sandbox) == [1, 2, 3]
        summary = await crawl_to(file, client, retry_failed=True)
        assert (summary.done, summary.failed, summary.items) == (1, 0, 100)
        assert pages_asked(sandbox) == [1, 2, 3, 3, 4, 5]
    assert rows(file, "SELECT page FROM pages WHERE status <> 'ok'") == [(3,)]
    assert rows(file, "SELECT error FROM lists") == [(None,)]


async def test_with_keep_going_every_failure_is_settled(file: Path) -> None:
    async with opened() as (client, sandbox):
        sandbox.fail(Fault.status(500), page=3)
        summary = await crawl_to(file, client, TWO, keep_going=True)
        assert (summary.done, summary.failed, summary.items) == (1, 1, 140)
        assert "ServerError: 500" in summary.failures[0].error
        assert (await crawl_to(file, client, TWO)).failed == 1
        assert len(sandbox.requests) == 8


async def test_each_query_is_counted_and_fetched_once(file: Path) -> None:
    async with opened() as (client, sandbox):
        tag = (await client.trending.hashtags(region="US")).items[3]
        detail = HashtagDetailQuery(hashtag_name=tag.hashtag_name, region="US")
        before = sandbox.credits_spent
        # The list comes upon the detail before its turn has come.
        plan = (TWO[0], TWO[0], detail, detail)
        records = await collect(client, plan, details="all", max_items=20, concurrency=1)
        assert len(records) == 20 + 20
        assert sandbox.credits_spent - before == 2 * (1 + 20)
        crawling = Crawl(client, plan, file, details="all", max_items=20, concurrency=1)
        await crawling.run()
        assert sandbox.credits_spent - before == 4 * (1 + 20)
        progress = crawling.status()
        assert (progress.queries, progress.done) == (21, 21)
        assert progress.pages == progress.pages_expected == 21


@pytest.mark.parametrize(("details", "wanted"), [(3, 6), (100, 200), ("all", 200)])
async def test_details_of_the_top_of_each_list(details: str | int, wanted: int, file: Path) -> None:
    async with opened() as (client, sandbox):
        summary = await crawl_to(file, client, TWO, details=details)
        assert (summary.queries, len(sandbox.requests)) == (2 + wanted, 10 + wanted)
        records = await collect(client, TWO, details=details)
        assert Counter(record.endpoint for record in records)["hashtag_detail"] == wanted


async def test_only_a_file_knows_which_details_are_new() -> None:
    async with opened() as (client, sandbox):
        with pytest.raises(ParameterError, match="details must be 'all' or a number"):
            await collect(client, TWO, details="new")
        assert not sandbox.requests
