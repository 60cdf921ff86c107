"""A dry run tells what the crawl then does, and changes nothing."""

from __future__ import annotations

import asyncio
import math
import re
from pathlib import Path
from typing import Any

import pytest

from keyapi_async import CreditBudgetError, NotFoundError
from keyapi_async.crawl import StoreError, crawl_to, expect, grid
from keyapi_async.sandbox import Fault
from tests.crawl.sandboxed_crawl import TWO, US, change, folder, opened, rows

REQUESTS: dict[str, dict[str, Any]] = {
    "the same": {"plan": TWO, "max_pages": 2},
    "resume": {"plan": None},
    "another plan": {"plan": grid("music") + TWO[:1], "max_pages": 2},
    "new plan": {"plan": grid("music") + TWO[:1], "max_pages": 3, "extend": True},
    "fewer": {"plan": TWO[:1], "max_pages": 2, "extend": True},
    "details": {"plan": TWO, "max_pages": 2, "details": "all", "extend": True},
    "top details": {"plan": TWO, "max_pages": 2, "details": 7, "extend": True},
    "new day": {"plan": None, "fresh_within": 0},
    "failed": {"plan": None, "retry_failed": True},
    "young": {"plan": None, "retry_failed": True, "fresh_within": 3600},
    "daily": {"plan": TWO, "max_pages": 2, "daily": "UTC"},
}


@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.parametrize("held", ["nothing", "some", "all"])
async def test_a_dry_run_tells_what_the_crawl_sends(name: str, held: str, file: Path) -> None:
    request = {**REQUESTS[name]}
    plan = request.pop("plan")
    async with opened() as (client, sandbox):
        if held == "some":
            sandbox.fail(Fault.status(404), page=2)
            with pytest.raises(NotFoundError):
                await crawl_to(file, client, TWO, max_pages=2, concurrency=1)
        elif held == "all":
            await crawl_to(file, client, TWO, max_pages=2)
        before = folder(file.parent)
        sent = len(sandbox.requests)
        told, refused = None, ""
        try:
            told = expect(plan, file, **request)
        except StoreError as error:
            refused = str(error)
        assert folder(file.parent) == before
        if told is None:
            with pytest.raises(StoreError, match=re.escape(refused)):
                await crawl_to(file, client, plan, **request)
            assert len(sandbox.requests) == sent
            return
        summary = await crawl_to(file, client, plan, **request)
        assert len(sandbox.requests) - sent == told.pages + told.details
        assert told.credits == 2 * (told.pages + told.details)
        assert told.failed == summary.failed


async def test_a_dry_run_needs_no_lock_and_knows_what_a_running_crawl_did(file: Path) -> None:
    async with opened({"latency": 1.0}) as (client, sandbox):
        running = asyncio.create_task(crawl_to(file, client, grid("videos")))
        await asyncio.sleep(3.5)
        assert expect(None, file).pages == 25 - 3
        assert len(sandbox.requests) == 4
        await running
        assert expect(grid("videos"), file).pages == 0


def test_a_dry_run_meets_what_the_crawl_would_meet(file: Path) -> None:
    with pytest.raises(StoreError, match="check that its folder exists"):
        expect(TWO, file.parent / "no" / "a.sqlite")
    with pytest.raises(StoreError, match="is a folder"):
        expect(TWO, file.parent)
    with pytest.raises(StoreError, match="there is no such file"):
        expect(None, file)
    with pytest.raises(StoreError, match="the file: holds no crawl yet; start one with a plan"):
        expect(None)
    file.touch()
    assert expect(TWO, file).pages == 10
    assert [path.name for path in file.parent.iterdir()] == [file.name]


async def test_a_dry_run_counts_details_that_are_pending(file: Path) -> None:
    async with opened() as (_, sandbox), sandbox.client(qps=math.inf, max_credits=4) as poor:
        with pytest.raises(CreditBudgetError):
            await crawl_to(file, poor, grid("music"), details="all", concurrency=1)
        ((stored,),) = rows(file, "SELECT count(*) FROM pages")
    told = expect(None, file)
    # The rest of the list, the details of its two pages, and those to be found on the rest.
    assert stored == 2
    assert (told.queries, told.details, told.pages) == ({"music": 1, "music_detail": 40}, 60, 43)


@pytest.mark.parametrize(("first", "then", "sent"), [(30, 35, 1), (30, 90, 4), (40, 90, 3)])
async def test_a_dry_run_counts_a_page_that_was_cut(
    first: int, then: int, sent: int, file: Path
) -> None:
    async with opened() as (client, sandbox):
        await crawl_to(file, client, (US,), max_items=first)
        before = len(sandbox.requests)
        told = expect((US,), file, max_items=then, extend=True)
        summary = await crawl_to(file, client, (US,), max_items=then, extend=True)
        assert (told.pages, len(sandbox.requests) - before, summary.items) == (sent, sent, then)


async def test_a_dry_run_goes_by_the_length_the_server_told(file: Path) -> None:
    async with opened({"totals": {"hashtags": 300}}) as (client, sandbox):
        async with sandbox.client(qps=math.inf, max_credits=12) as poor:
            with pytest.raises(CreditBudgetError):
                await crawl_to(file, poor, (US,))
        assert expect(None, file).pages == 15 - 6
        await crawl_to(file, client)
        change(file, "UPDATE snapshots SET started_at = started_at - 86400")
        assert expect(None, file, fresh_within=60).pages == 15


def test_an_option_that_does_not_exist_is_named() -> None:
    misspelt: Any = {"max_item": 3, "zzz": 1}
    with pytest.raises(TypeError, match=r"^a crawl has no option 'max_item'$"):
        expect(grid("hashtags"), **misspelt)
