"""What a run writes: all of an answer or nothing, in order, and where to go on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import pytest

from keyapi_async import NotFoundError, ParameterError, ServerError, StopReason
from keyapi_async.crawl import CrawlFile, StoreError, grid
from keyapi_async.crawl.database import Database, reading, writing
from keyapi_async.crawl.jobs import Batch, Completion, Failure, Job, Options
from keyapi_async.crawl.store import Store, find_day, find_zone, options_json, read_snapshots
from keyapi_async.models import Hashtag
from keyapi_async.queries import HashtagsQuery, MusicQuery, VideosQuery
from keyapi_async.raw import Source, attach
from keyapi_async.sandbox import Fault
from keyapi_async.usage import Usage
from tests.crawl.sandboxed_crawl import (
    TWO,
    WallClock,
    begin,
    change,
    content,
    crawl_at,
    hashtag,
    make_batch,
    opened,
    rows,
    write,
)


@pytest.mark.parametrize(
    "text",
    [
        '{"value":1.0,"other":1,"id":7123456789012345678,"big":123456789012345678901234567890}',
        '{"half":"\\ud83d","whole":"🎉","null":null,"e":1e22,"none":{}}',
        "{ }",
    ],
)
def test_an_item_is_kept_as_received(text: str, file: Path) -> None:
    item = Hashtag(hashtag_id="1", hashtag_name="a")
    attach(item, Source(b'{"data":{"list":[%b]}}' % text.encode(), "list"), 0)
    with writing(file, create=True) as db:
        store = begin(db)
        job = store.jobs(0, 1)[0]
        batch = Batch(job=job, page=1, items=(item,), retrieved_at=1.0)
        write(store, [batch], Usage())
    ((stored,),) = rows(file, "SELECT json FROM items")
    assert repr(json.loads(stored)) == repr(json.loads(text))
    assert stored == text or "\\ud83d" in text  # half a character is written anew


def test_a_page_and_its_items_are_all_or_nothing(
    kept: tuple[Store, Job, Database], file: Path
) -> None:
    store, job, _ = kept
    before = content(file)
    broken = make_batch(job, 2)
    broken = attrs.evolve(broken, items=(*broken.items[:19], broken.items[0]))
    with pytest.raises(StoreError, match="UNIQUE constraint"):
        write(store, [make_batch(job, 3), broken], Usage())
    assert content(file) == before


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 250])
def test_a_page_of_any_length_is_kept_in_order(count: int, file: Path) -> None:
    with writing(file, create=True) as db:
        store = begin(db)
        job = store.jobs(0, 1)[0]
        write(store, [make_batch(job, 1, count)], Usage())
        stored = db.rows("SELECT position, item_id, json FROM items ORDER BY id")
    assert [(place, item_id) for place, item_id, _ in stored] == [
        (place, str(100 + place)) for place in range(1, count + 1)
    ]
    assert [json.loads(item) for _, _, item in stored] == [
        hashtag(100 + place, 1).raw for place in range(1, count + 1)
    ]


def test_a_job_goes_on_where_the_store_ends(kept: tuple[Store, Job, Database]) -> None:
    store, _, _ = kept
    first, second = store.jobs(0, 10)
    assert (first.pages, first.items) == (1, 20)
    assert first.start is not None
    assert (first.start.page, first.start.offset, len(first.start.seen)) == (2, 0, 20)
    assert first.start.seen[:2] == ("101", "102")
    assert second.start is None
    assert [job.id for job in store.jobs(first.id, 1)] == [second.id]


def test_a_failure_says_whether_it_is_final(kept: tuple[Store, Job, Database], file: Path) -> None:
    store, job, _ = kept
    for error, is_final in [(ServerError("down", status=500), False), (NotFoundError("no"), True)]:
        write(store, [Failure(job=job, page=2, error=error, is_final=is_final)], Usage())
    write(store, [Failure(job=job, page=2, error=error, is_final=True)], Usage())
    assert rows(file, "SELECT page, credits, status FROM pages WHERE id > 1") == [
        (2, 0, "ServerError"),
        (2, 0, "NotFoundError"),
        (2, 0, "NotFoundError"),
    ]
    assert rows(file, "SELECT state, error, finished_at > 0 FROM lists WHERE id = 1") == [
        ("failed", "NotFoundError: no", 1)
    ]


def test_a_snapshot_is_finished_when_its_last_list_is(
    kept: tuple[Store, Job, Database], file: Path
) -> None:
    store, *_ = kept
    first, second = store.jobs(0, 9)
    write(store, [Completion(job=first, reason=StopReason.EXHAUSTED)], Usage())
    assert CrawlFile(file).status().finished_at is None
    write(store, [Completion(job=second, reason=StopReason.EXHAUSTED)], Usage())
    summary = CrawlFile(file).status()
    assert summary.finished_at is not None
    assert summary.complete
    assert summary.credits_at_risk == 4  # killed before it could say that it had ended
    store.end(Usage())
    assert CrawlFile(file).status().credits_at_risk == 0


async def test_duplicates_are_dropped_counted_and_remembered(file: Path) -> None:
    async with opened() as (client, sandbox):
        sandbox.fail(Fault.shift(3), page=2)
        sandbox.fail(Fault.shift(5), page=3)
        clock = WallClock()
        clock.set("2026-02-01 06:00")
        async with sandbox.client(max_credits=4) as poor:
            with pytest.raises(Exception, match="max_credits=4"):
                await crawl_at(clock, file, poor, grid("hashtags"))
        summary, _ = await crawl_at(clock, file, client, grid("hashtags"))
    assert (summary.duplicates, summary.items) == (5, 95)
    positions = rows(file, "SELECT min(position), max(position) FROM items GROUP BY page")
    assert positions == [(1, 20), (4, 20), (3, 20), (1, 20), (1, 20)]


async def test_an_empty_page_leaves_a_list_incomplete_after_a_kill_too(file: Path) -> None:
    async with opened() as (client, sandbox):
        clock = WallClock()
        clock.set("2026-02-01 06:00")
        sandbox.fail(Fault.empty(), page=2, times=None)
        summary, _ = await crawl_at(clock, file, client, TWO[:1])
        assert (summary.done, summary.complete) == (1, False)
        # Killed when the page was stored, and its end was not: the next page is asked for.
        change(file, "UPDATE lists SET state = 'pending', stop_reason = NULL")
        sandbox.fail(Fault.empty(), page=3)
        summary, _ = await crawl_at(clock, file, client)
        assert (summary.done, summary.complete, len(sandbox.requests)) == (1, False, 3)
    assert rows(file, "SELECT stop_reason FROM lists") == [("empty_page",)]


def test_a_large_plan_is_taken_in_small_bites(file: Path) -> None:
    plan = grid("videos", region=[f"r{number}" for number in range(500)])
    with writing(file, create=True) as db:
        assert len(begin(db, plan).jobs(0, 64)) == 64


def test_queries_go_into_the_store_and_back(file: Path) -> None:
    plan = (
        *grid("music", search_keyword="señor 🎉", commercial_music=True),
        *grid("videos", limit=5, page=2, order_by="like"),
        *grid("hashtag_detail", period=1095, hashtag_name='"quoted"'),
        HashtagsQuery(industry_id=22000000000),
        MusicQuery(),
        VideosQuery(),
    )
    with writing(file, create=True) as db:
        assert tuple(job.query for job in begin(db, plan).jobs(0, 9)) == plan


def test_options_go_into_the_store_and_back(file: Path) -> None:
    options = {"max_items": 5, "max_pages": 2, "details": 3}
    with writing(file, create=True) as db:
        begin(db, **options)
        (snapshot,) = read_snapshots(db)
        assert (snapshot.options, snapshot.zone) == (Options(**options), None)
        assert options_json(Options(details="new"), "UTC") == (
            '{"max_items": null, "max_pages": null, "details": "new", "daily": "UTC"}'
        )


def test_a_day_has_a_zone() -> None:
    assert find_zone("local") is None
    assert str(find_zone("Asia/Tokyo")) == "Asia/Tokyo"
    assert find_day(0, "Asia/Tokyo").isoformat() == "1970-01-01"
    assert find_day(54_000, "Asia/Tokyo").isoformat() == "1970-01-02"
    for name in ("Mars/Olympus", "Europe", "", "../etc", 5):
        with pytest.raises(ParameterError, match="daily must be True"):
            find_zone(name)  # type: ignore[arg-type]


async def test_details_once_found_are_found_again(file: Path) -> None:
    plan: Any = grid("hashtags") + grid("music")
    async with opened() as (client, sandbox):
        clock = WallClock()
        clock.set("2026-02-01 06:00")
        summary, _ = await crawl_at(clock, file, client, plan, details="all", concurrency=3)
        assert (summary.queries, summary.done) == (2 + 200, 202)
        assert len(sandbox.requests) == 10 + 200
        found = rows(file, "SELECT planned, count(*) FROM queries GROUP BY planned")
        assert found == [(0, 200), (1, 2)]
    with reading(file) as db:
        assert len(read_snapshots(db)) == 1
