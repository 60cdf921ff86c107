"""Shards: parts of a plan that don't depend on the rest of it, and together are the whole."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyapi_async import ParameterError
from keyapi_async.crawl import (
    CrawlFile,
    CrawlOptions,
    PlanChangedError,
    Selection,
    Shard,
    crawl,
    crawl_to,
    expect,
    export_files,
    grid,
    query_text,
    take_shard,
)
from keyapi_async.queries import HashtagDetailQuery, ListQuery, Query
from tests.crawl.sandboxed_crawl import TWO, US, opened, rows

QUERIES = (
    grid("hashtags", region=["US", "GB", "DE"], period=[7, 30], new_to_top_100=[False, True])
    + grid("hashtag_detail", hashtag_name=["a", "b"], region=["US", "GB"])
    + grid("videos", region=["US", "GB", "DE"], order_by=["vv", "like"])
    + grid("music", region=["US", "GB", "DE"], commercial_music=[False, True])
    + grid("music_detail", clip_id=[1, 2], region=["US", "GB"])
)
PLANS = st.lists(st.sampled_from(QUERIES), unique=True)
DETAILS = st.sampled_from([None, "all", "new", 3])


def parts(plan: list[Query[Any]], count: int, details: Any) -> list[tuple[Query[Any], ...]]:
    return [take_shard(plan, (number, count), details=details) for number in range(1, count + 1)]


@given(PLANS, st.integers(1, 9), DETAILS)
def test_parts_are_disjoint_in_order_and_together_the_plan(
    plan: list[Query[Any]], count: int, details: Any
) -> None:
    made = parts(plan, count, details)
    assert sorted((query for part in made for query in part), key=plan.index) == plan
    assert all(list(part) == [query for query in plan if query in part] for part in made)


@given(PLANS, PLANS, st.integers(1, 9), DETAILS)
def test_what_is_added_to_a_plan_moves_nothing_else(
    plan: list[Query[Any]], more: list[Query[Any]], count: int, details: Any
) -> None:
    for before, after in zip(
        parts(plan, count, details), parts(more + plan, count, details), strict=True
    ):
        assert set(before) == {query for query in after if query in plan}


@given(PLANS, st.integers(1, 9))
def test_what_may_share_a_detail_is_in_one_part(plan: list[Query[Any]], count: int) -> None:
    homes = defaultdict[Any, set[int]](set)
    for number, part in enumerate(parts(plan, count, "all")):
        for query in part:
            detail = query.detail_query if isinstance(query, ListQuery) else type(query)
            if detail is not None:
                mine: Any = query
                homes[detail, mine.region, mine.period].add(number)
    assert all(len(found) == 1 for found in homes.values())


def test_parts_are_about_even() -> None:
    plan = grid("music", search_keyword=[f"word {number}" for number in range(4000)])
    sizes = [len(part) for part in parts([*plan], 4, None)]
    assert sum(sizes) == 4000
    assert all(900 < size < 1100 for size in sizes)
    # Their sounds may be the same: each detail would be paid in several parts.
    assert sorted(len(part) for part in parts([*plan], 4, "all")) == [0, 0, 0, 4000]


def test_a_part_is_the_same_in_every_process_and_version() -> None:
    listed = [query_text(query) for query in take_shard(QUERIES, (2, 8))]
    assert listed == [
        "hashtags region=US new_to_top_100=true",
        "hashtag_detail region=GB hashtag_name=a",
        "hashtag_detail region=US hashtag_name=b",
        "videos",
    ]
    by_detail = [query_text(query) for query in take_shard(QUERIES, (1, 6), details=1)]
    assert by_detail == [
        "hashtags region=US",
        "hashtags region=US new_to_top_100=true",
        "hashtags region=GB",
        "hashtags region=GB new_to_top_100=true",
        "hashtag_detail region=US hashtag_name=a",
        "hashtag_detail region=GB hashtag_name=a",
        "hashtag_detail region=US hashtag_name=b",
        "hashtag_detail region=GB hashtag_name=b",
        "videos region=GB order_by=like",
    ]


@pytest.mark.parametrize(
    "shard", [(0, 8), (9, 8), (1, 0), (1.0, 2), (1,), (1, 2, 3), "x", "2/8", 3, (True, 2)]
)
def test_what_is_no_shard_is_refused(shard: Any, file: Path) -> None:
    problem = "shard must be two whole numbers: which part, from 1, and of how many, such as"
    for refuse in (
        lambda: take_shard(TWO, shard),
        lambda: expect(TWO, shard=shard),
        lambda: expect(TWO, file, shard=shard),
    ):
        with pytest.raises(ParameterError, match=problem):
            refuse()


def test_a_shard_of_a_plan_that_is_empty_or_in_the_file_is_refused(file: Path) -> None:
    with pytest.raises(ParameterError, match="plan must be of at least one query"):
        expect((), shard=(1, 2))
    with pytest.raises(ParameterError, match=r"shard must be None, without a plan: .* not \(1, 2"):
        expect(None, file, shard=(1, 2))


async def stored(client: Any, folder: Path, count: int, **options: Any) -> list[Any]:
    """What the parts of a crawl hold together, in order."""
    found: list[Any] = []
    for number in range(1, count + 1):
        shard: Shard | None = (number, count) if count > 1 else None
        path = folder / f"{number}of{count}.sqlite"
        told = expect(PLAN, path, shard=shard, **options)
        sent = client.usage.requests
        summary = await crawl_to(path, client, PLAN, shard=shard, **options)
        assert summary.complete
        assert client.usage.requests - sent <= told.pages + told.details
        found += rows(
            path,
            "SELECT q.endpoint, q.params, l.state, p.page, i.position, i.item_id, i.json "
            "FROM lists l JOIN queries q ON q.id = l.query JOIN items i ON i.list = l.id "
            "JOIN pages p ON p.id = i.page",
        )
    return sorted(found)


PLAN = (
    grid("hashtags", region=["US", "GB"], industry_id=[None, 22000000000])
    + grid("videos", region=["US", "GB"])
    + grid("music", commercial_music=[False, True])
    + (HashtagDetailQuery(hashtag_name="ufc324", region="US"),)
)


@pytest.mark.parametrize("details", [None, "all", "new", 5])
async def test_the_parts_are_one_crawl_at_the_same_cost(details: Any, tmp_path: Path) -> None:
    totals = {"hashtags": 30, "videos": 40, "music": 20}
    async with opened({"totals": totals}) as (client, sandbox):
        whole = await stored(client, tmp_path, 1, details=details)
        spent = sandbox.credits_spent
        assert await stored(client, tmp_path, 3, details=details) == whole
        assert sandbox.credits_spent == 2 * spent
        streamed = 0
        for number in (1, 2, 3):
            if details != "new":
                async for _ in crawl(client, PLAN, details=details, shard=(number, 3)):
                    streamed += 1
        assert streamed == (0 if details == "new" else len(whole))


async def test_a_part_without_a_list_is_a_good_end(file: Path) -> None:
    plan = TWO[:1]
    (empty,) = [(n, 2) for n in (1, 2) if not take_shard(plan, (n, 2))]
    async with opened() as (client, sandbox):
        assert [record async for record in crawl(client, plan, shard=empty)] == []
        runs: list[tuple[Any, CrawlOptions]] = [
            (plan, {"shard": empty}),
            (plan, {"shard": empty, "fresh_within": 0}),
            (None, {}),
        ]
        for asked, options in runs:
            assert expect(asked, file, **options).credits == 0
            summary = await crawl_to(file, client, asked, **options)
            assert (summary.complete, summary.queries, summary.runs) == (True, 0, 0)
            assert summary.finished_at == summary.started_at
        assert summary.snapshot == 2
        assert sandbox.requests == []
    assert list(CrawlFile(file).records()) == []
    for name in ("out.csv", "out.parquet", "out.duckdb", "out.jsonl", "lake/"):
        written = export_files([file], f"{file.parent}/{name}", Selection(endpoints="hashtags"))
        assert sum(one.items for one in written) == 0
    assert not list(file.parent.glob("out.*.*"))


async def test_another_part_is_another_plan(file: Path) -> None:
    mine, other = ((1, 2), (2, 2)) if US in take_shard(TWO, (1, 2)) else ((2, 2), (1, 2))
    async with opened() as (client, _):
        await crawl_to(file, client, TWO, shard=mine, max_pages=1)
        with pytest.raises(PlanChangedError, match="no longer there: hashtags region=US"):
            await crawl_to(file, client, TWO, shard=other, max_pages=1)
        assert (await crawl_to(file, client)).runs == 1  # the plan is in the file
