"""Pagers: every item once, exact limits, going on after errors, prefetch that wastes nothing."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from keyapi_async import (
    InvalidResponseError,
    PaginationError,
    ServerError,
    StopReason,
)
from keyapi_async.sandbox import Fault, Sandbox
from tests.core.listings import ids, pages_asked

LISTS = [
    ("hashtags", "hashtag_id", 100, 5),
    ("videos", "item_id", 500, 25),
    ("music", "clip_id", 99, 5),
]


def pager_of(client, name, **kwargs):
    return getattr(client.trending, f"iter_{name}")(**kwargs)


@pytest.mark.parametrize("prefetch", [0, 1, 3, 50])
@pytest.mark.parametrize(("name", "key", "total", "pages"), LISTS)
async def test_every_item_once_and_no_request_more_than_pages(
    sandbox, client, name, key, total, pages, prefetch
):
    pager = pager_of(client, name, prefetch=prefetch)
    assert not sandbox.requests  # nothing is sent until it is iterated
    found = [getattr(item, key) async for item in pager]
    assert found == ids(sandbox, name, key)
    assert len(found) == total
    assert sorted(pages_asked(sandbox)) == list(range(1, pages + 1))
    assert client.usage.credits_spent == sandbox.credits_spent == 2 * pages
    assert (pager.total, pager.stop_reason) == (total, StopReason.EXHAUSTED)
    assert [item async for item in pager] == []  # an exhausted pager yields nothing more
    assert len(sandbox.requests) == pages


@pytest.mark.parametrize("prefetch", [0, 4])
@pytest.mark.parametrize(
    ("limit", "requests"), [(0, 0), (1, 1), (19, 1), (20, 1), (21, 2), (99, 5), (100, 5), (500, 5)]
)
async def test_max_items_is_exact(sandbox, client, limit, requests, prefetch):
    pager = client.trending.iter_hashtags(max_items=limit, prefetch=prefetch)
    found = [item.hashtag_id async for item in pager]
    assert found == ids(sandbox)[:limit]
    assert len(sandbox.requests) == requests
    assert pager.stop_reason == ("max_items" if limit < 100 else "exhausted")


@pytest.mark.parametrize("prefetch", [0, 4])
@pytest.mark.parametrize("limit", [0, 1, 3, 5, 9])
async def test_max_pages_is_exact(sandbox, client, limit, prefetch):
    pager = client.trending.iter_hashtags(max_pages=limit, prefetch=prefetch)
    assert len(await pager.collect()) == min(20 * limit, 100)
    assert len(sandbox.requests) == min(limit, 5)
    assert pager.stop_reason == ("max_pages" if limit < 5 else "exhausted")


async def test_start_page_and_page_size(sandbox, client):
    pager = client.trending.iter_hashtags(start_page=4, page_size=10)
    assert [item.hashtag_id async for item in pager] == ids(sandbox)[30:]
    assert pages_asked(sandbox) == [4, 5, 6, 7, 8, 9, 10]


async def test_pages_are_cut_at_max_items_and_keep_raw(sandbox, client):
    pages = [page async for page in client.trending.iter_hashtags(max_items=30).pages()]
    assert [len(page.items) for page in pages] == [20, 10]
    assert [len(page.raw["list"]) for page in pages] == [20, 20]
    assert [page.number for page in pages] == [1, 2]


async def test_items_and_pages_of_one_pager_share_its_place(sandbox, client):
    pager = client.trending.iter_hashtags()
    async for _ in pager:
        break
    rest = [page async for page in pager.pages()]
    assert [len(page.items) for page in rest] == [19, 20, 20, 20, 20]
    assert len(sandbox.requests) == 5


async def test_a_last_empty_page_ends_it(sandbox, client):
    sandbox.fail(Fault.empty(), page=3)
    pager = client.trending.iter_hashtags()
    assert len(await pager.collect()) == 40
    assert pager.stop_reason == StopReason.EMPTY_PAGE
    assert pages_asked(sandbox) == [1, 2, 3]


async def test_an_empty_list_is_exhausted_and_its_page_is_told(sandbox, client):
    pager = client.trending.iter_hashtags(industry_id=99)
    assert [len(page.items) async for page in pager.pages()] == [0]
    assert (pager.stop_reason, pager.total) == (StopReason.EXHAUSTED, 0)


@pytest.mark.parametrize("prefetch", [0, 3])
async def test_after_an_error_it_goes_on_where_it_stopped(sandbox, client, prefetch):
    sandbox.fail(Fault.half_json(), page=3)
    pager = client.trending.iter_hashtags(prefetch=prefetch)
    found = []
    with pytest.raises(InvalidResponseError):
        async for item in pager:
            found.append(item.hashtag_id)
    assert len(found) == 40
    assert pager.stop_reason is None
    async for item in pager:
        found.append(item.hashtag_id)
    assert found == ids(sandbox)
    assert pages_asked(sandbox).count(3) == 2
    if not prefetch:
        assert pages_asked(sandbox) == [1, 2, 3, 3, 4, 5]


async def test_collect_keeps_what_came_before_an_error(sandbox, client):
    sandbox.fail(Fault.half_json(), page=3)
    pager = client.trending.iter_hashtags()
    with pytest.raises(InvalidResponseError):
        await pager.collect()
    assert [item.hashtag_id for item in await pager.collect()] == ids(sandbox)
    assert len(sandbox.requests) == 6


async def test_dedupe_drops_what_shifted_onto_a_later_page(sandbox, client):
    sandbox.fail(Fault.shift(2), page=3)
    everything = ids(sandbox)
    pager = client.trending.iter_hashtags()
    found = [item.hashtag_id async for item in pager]
    # page 3 began two ranks earlier: its last two real items were hidden, none came twice
    assert found == everything[:58] + everything[60:]
    assert len(sandbox.requests) == 5


async def test_without_dedupe_a_shifted_item_comes_twice(sandbox, client):
    sandbox.fail(Fault.shift(2), page=3)
    found = [item.hashtag_id async for item in client.trending.iter_hashtags(dedupe=False)]
    assert len(found) == 100
    assert len(set(found)) == 98


async def test_a_single_repeated_page_is_dropped(sandbox, client):
    sandbox.fail(Fault.repeat_page(), page=3)
    assert len(await client.trending.iter_hashtags().collect()) == 80


@pytest.mark.parametrize("dedupe", [True, False])
async def test_a_list_that_never_ends_is_stopped_after_two_stale_pages(sandbox, client, dedupe):
    sandbox.fail(Fault.endless(), times=None)
    pager = client.trending.iter_hashtags(dedupe=dedupe)
    with pytest.raises(PaginationError, match="pages up to 7") as caught:
        await pager.collect()
    assert pages_asked(sandbox) == [1, 2, 3, 4, 5, 6, 7]
    assert caught.value.endpoint == "/v1/tiktok/trending/hashtags"
    assert caught.value.params["page"] == "7"


@pytest.mark.parametrize("prefetch", [0, 3])
async def test_a_server_that_ignores_page_wastes_at_most_one_and_prefetch(
    sandbox, client, prefetch
):
    sandbox.fail(Fault.wrong_page(), times=None)
    pager = client.trending.iter_hashtags(prefetch=prefetch)
    found = []
    with pytest.raises(PaginationError, match="asked for page 2, got page 1"):
        async for item in pager:
            found.append(item)
    assert len(found) == 20
    assert len(sandbox.requests) <= 2 + prefetch
    sandbox.heal()
    assert len([item async for item in pager]) == 80  # it goes on when the server has mended


# -- one iterator at a time ----------------------------------------------------------------------


async def test_two_iterators_at_once_are_refused(client):
    pager = client.trending.iter_hashtags()
    async with aclosing(aiter(pager)) as first, aclosing(pager.pages()) as second:
        await anext(first)
        with pytest.raises(RuntimeError, match="already"):
            await anext(second)
        await anext(first)  # the first isn't disturbed


@pytest.mark.parametrize("prefetch", [0, 3])
async def test_after_a_break_it_goes_on_at_once(sandbox, client, prefetch):
    pager = client.trending.iter_hashtags(prefetch=prefetch)
    found = []
    async for item in pager:
        found.append(item.hashtag_id)
        if len(found) == 20:
            break
    async for item in pager:
        found.append(item.hashtag_id)
    assert found == ids(sandbox)
    assert sorted(pages_asked(sandbox)) == [1, 2, 3, 4, 5]


async def test_a_break_leaves_nothing_behind(sandbox, client):
    before = asyncio.all_tasks()
    pager = client.trending.iter_hashtags(prefetch=4)
    async with aclosing(aiter(pager)) as items:
        await anext(items)
        assert len(asyncio.all_tasks() - before) > 0
    assert {task for task in asyncio.all_tasks() - before if "Pager" in repr(task)} == set()
    assert len([item async for item in pager]) == 99


@pytest.mark.parametrize("turns", range(8))
async def test_going_on_while_a_break_is_being_tidied_up_loses_nothing(turns):
    async with Sandbox(latency=0.05) as slow, slow.client(qps=1000) as client:
        pager = client.trending.iter_videos(prefetch=4)
        found = []
        async for item in pager:
            found.append(item.item_id)
            if len(found) == 20:
                break
        for _ in range(turns):  # the generator's clean-up runs meanwhile
            await asyncio.sleep(0)
        async for item in pager:
            found.append(item.item_id)
        assert found == [item["item_id"] for item in slow.items("videos")]


# -- prefetch --------------------------------------------------------------------------------------


async def test_a_server_error_is_retried_within_the_page(sandbox, client):
    sandbox.fail(Fault.status(503), times=4, page=2)
    pager = client.trending.iter_hashtags()
    with pytest.raises(ServerError) as caught:
        await pager.collect()
    assert caught.value.attempts == 4
    assert len(await pager.collect()) == 100
    assert pages_asked(sandbox) == [1, 2, 2, 2, 2, 2, 3, 4, 5]


async def test_what_dedupe_dropped_is_counted(sandbox, client):
    sandbox.fail(Fault.shift(2), page=3)
    sandbox.fail(Fault.repeat_page(), page=5)
    pager = client.trending.iter_hashtags()
    assert pager.duplicates == 0
    found = await pager.collect()
    assert (len(found), pager.total, pager.duplicates) == (78, 100, 22)
    assert len(found) + pager.duplicates == pager.total


async def test_without_dedupe_nothing_counts_as_dropped(sandbox, client):
    sandbox.fail(Fault.shift(2), page=3)
    pager = client.trending.iter_hashtags(dedupe=False)
    await pager.collect()
    assert pager.duplicates == 0


@pytest.mark.parametrize("shifted", [0, 2])
async def test_what_was_yielded_before_a_checkpoint_is_no_duplicate(sandbox, client, shifted):
    first = client.trending.iter_hashtags(max_items=25)
    await first.collect()
    if shifted:
        sandbox.fail(Fault.shift(shifted), page=3)
    rest = client.trending.iter_hashtags(start=first.checkpoint())
    assert len(await rest.collect()) == 75 - shifted
    assert rest.duplicates == shifted


async def test_the_position_is_that_of_the_checkpoint(sandbox, client):
    pager = client.trending.iter_hashtags(start_page=2)
    assert pager.position() == (2, 0)
    positions = []
    async with aclosing(aiter(pager)) as items:
        async for _ in items:
            checkpoint = pager.checkpoint()
            assert pager.position() == (checkpoint.page, checkpoint.offset)
            positions.append(pager.position())
    assert positions[:2] == [(2, 1), (2, 2)]
    assert positions[18:22] == [(2, 19), (3, 0), (3, 1), (3, 2)]
    assert positions[-2:] == [(5, 19), (None, 0)]
    assert pager.position() == (None, 0)
