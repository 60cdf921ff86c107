"""Prefetch: pages fetched ahead waste nothing, and an error ahead waits for its page."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from keyapi_async import (
    CreditBudgetError,
    InvalidResponseError,
)
from keyapi_async.sandbox import Fault, Sandbox
from tests.core.listings import pages_asked


async def arrived(sandbox, count):
    while len([r for r in sandbox.requests if r.status]) < count:
        await asyncio.sleep(0.01)


async def test_nothing_is_prefetched_before_page_1_has_come(sandbox, client):
    pager = client.trending.iter_videos(prefetch=8)
    seen_ahead = []

    async def watch():
        while not any(request.status for request in sandbox.requests):
            seen_ahead.append(len(sandbox.requests))
            await asyncio.sleep(0)

    watcher = asyncio.create_task(watch())
    async with aclosing(aiter(pager)) as items:
        await anext(items)
        await watcher
        assert max(seen_ahead) <= 1
        await arrived(sandbox, 9)
        await asyncio.sleep(60)  # and no more than the depth while the consumer is slow
        assert sorted(pages_asked(sandbox)) == list(range(1, 10))


async def test_pages_that_arrived_survive_a_break_and_are_used(sandbox, client):
    pager = client.trending.iter_videos(prefetch=5)
    async with aclosing(aiter(pager)) as items:
        await anext(items)
        await arrived(sandbox, 6)
    assert len([item async for item in pager]) == 499
    assert sorted(pages_asked(sandbox)) == list(range(1, 26))  # none was paid for twice
    assert client.usage.credits_at_risk == 0


async def test_an_error_ahead_surfaces_when_its_page_is_reached(sandbox, client):
    sandbox.fail(Fault.half_json(), page=4)
    pager = client.trending.iter_hashtags(prefetch=4)
    found = []
    async with aclosing(aiter(pager)) as items:
        found.append(await anext(items))
        await arrived(sandbox, 5)
        with pytest.raises(InvalidResponseError):
            while True:
                found.append(await anext(items))
    assert len(found) == 60
    assert len([item async for item in pager]) == 40
    assert sorted(pages_asked(sandbox)) == [1, 2, 3, 4, 4, 5]


async def test_the_budget_surfaces_when_its_page_is_reached(sandbox):
    async with sandbox.client(qps=1000, max_credits=6) as client:
        found = []
        with pytest.raises(CreditBudgetError):
            async for item in client.trending.iter_hashtags(prefetch=4):
                found.append(item)
        assert len(found) == 60
        assert sandbox.credits_spent == client.usage.credits_spent == 6


async def test_a_total_that_is_too_small_only_slows_it_down(sandbox, client):
    sandbox.fail(Fault.wrong_total(1), times=None)
    assert len(await client.trending.iter_hashtags(prefetch=4).collect()) == 100
    assert len(sandbox.requests) == 5


async def test_a_total_that_is_too_large_wastes_at_most_the_depth(sandbox, client):
    sandbox.fail(Fault.wrong_total(10_000), times=None)
    pager = client.trending.iter_hashtags(prefetch=4)
    assert len(await pager.collect()) == 100
    assert 5 <= len(sandbox.requests) <= 9


async def test_closing_cancels_what_is_under_way_and_counts_it_at_risk(sandbox):
    async with Sandbox(latency=1.0) as slow, slow.client(qps=1000) as client:
        pager = client.trending.iter_hashtags(prefetch=3)
        async with aclosing(aiter(pager)) as items:
            await anext(items)
            while len(slow.requests) < 4:
                await asyncio.sleep(0.01)
        assert (client.usage.credits_spent, client.usage.credits_at_risk) == (2, 6)
        assert len([item async for item in pager]) == 99


async def test_cancelling_the_consumer_cancels_the_page_it_waits_for(sandbox):
    async with Sandbox(latency=1.0) as slow, slow.client(qps=1000) as client:
        pager = client.trending.iter_hashtags(prefetch=3)
        items = aiter(pager)
        await anext(items)
        found = 1
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                while True:
                    await anext(items)
                    found += 1
        assert found == 20
        assert found + len([item async for item in pager]) == 100
