"""A server that is down, and lists that can't be had: told apart, and neither costs the other."""

from __future__ import annotations

import asyncio
import math
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from keyapi_async import KeyAPIClient, KeyAPIError, ServerError, ShareError
from keyapi_async.crawl import Crawl, CrawlFile, OutageError, Progress, crawl, crawl_to, grid
from keyapi_async.crawl.outage import Outage
from keyapi_async.sandbox import Fault, Sandbox
from tests.crawl.sandboxed_crawl import FAIL_FAST, no_task_left, opened, rows

LISTS = grid("hashtags", region=["US", "GB", "DE", "FR"])
DOWN = {
    "refused": None,
    "503": Fault.status(503),
    "500": Fault.status(500),
    "html": Fault.html(502),
    "reset": Fault.reset(),
    "disconnect": Fault.disconnect(),
    "stall": Fault.stall(),
}


class Switch:
    """A server that can be closed, and opened again at the same address."""

    def __init__(self, **settings: Any) -> None:
        self.settings = settings
        self.served: list[Sandbox] = []
        self._port = 0
        self._stack = AsyncExitStack()

    async def open(self, **settings: Any) -> Sandbox:
        sandbox = Sandbox(**{**self.settings, "port": self._port, **settings})
        await self._stack.enter_async_context(sandbox)
        self._port = int(sandbox.url.rpartition(":")[2])
        self.served.append(sandbox)
        return sandbox

    async def close(self) -> None:
        await self._stack.aclose()

    async def close_for(self, seconds: float) -> None:
        await self.close()
        await asyncio.sleep(seconds)
        await self.open()

    @property
    def bill(self) -> int:
        return sum(sandbox.credits_spent for sandbox in self.served)

    @property
    def requests(self) -> int:
        return sum(len(sandbox.requests) for sandbox in self.served)


@asynccontextmanager
async def switched(**settings: Any) -> AsyncIterator[tuple[KeyAPIClient, Switch]]:
    switch = Switch(**settings)
    sandbox = await switch.open()
    async with sandbox.client(qps=math.inf, retry=FAIL_FAST, timeout=5) as client:
        yield client, switch
    await switch.close()
    await no_task_left()


async def go_down(switch: Switch, fault: Fault | None, seconds: float) -> None:
    if fault is None:
        await switch.close_for(seconds)
        return
    sandbox = switch.served[-1]
    sandbox.fail(fault, times=None)
    await asyncio.sleep(seconds)
    sandbox.heal()


@pytest.mark.parametrize("kind", DOWN)
@pytest.mark.parametrize("concurrency", [1, pytest.param(8, marks=pytest.mark.slow)])
async def test_a_crawl_waits_for_a_server_that_is_down(
    kind: str, concurrency: int, file: Path
) -> None:
    async with switched(latency=0.5) as (client, switch):
        crawling = Crawl(client, LISTS, file, keep_going=True, concurrency=concurrency)
        running = asyncio.create_task(crawling.run())
        await asyncio.sleep(1.2)
        down = asyncio.create_task(go_down(switch, DOWN[kind], 20))
        await asyncio.sleep(18)
        status = crawling.status()
        assert status.outage is not None
        assert status.next_probe > asyncio.get_running_loop().time() - 5  # a probe may be out
        assert (status.failed, status.pending > 0) == (0, True)
        await down
        summary = await running
        assert crawling.status().outage is None
        assert (summary.done, summary.failed, summary.items) == (4, 0, 400)
        # One request for each list under way, then one for each probe: after 1, 3, 7, 15 ... s.
        wasted = switch.requests - 20
        assert 0 <= wasted <= concurrency + 8
        assert summary.credits_spent <= switch.bill <= summary.credits_spent + 2 * wasted
    assert rows(file, "SELECT count(*) FROM items GROUP BY list, item_id HAVING count(*) > 1") == []


@pytest.mark.parametrize("kind", ["refused", "503"])
async def test_what_takes_too_long_is_an_error_and_nothing_failed(kind: str, file: Path) -> None:
    async with switched() as (client, switch):
        loop = asyncio.get_running_loop()
        down = asyncio.create_task(go_down(switch, DOWN[kind], 100))
        await asyncio.sleep(0.01)
        start = loop.time()
        with pytest.raises(OutageError, match="the server was down for 60 s, the last time with"):
            await crawl_to(file, client, LISTS, keep_going=True, wait_outage=60)
        assert 60 <= loop.time() - start < 61
        summary = CrawlFile(file).status()
        assert (summary.pending, summary.failed, summary.complete) == (4, 0, False)
        await down
        summary = await crawl_to(file, client, LISTS)
        assert (summary.items, summary.complete, summary.runs) == (400, True, 2)


@pytest.mark.slow
async def test_ten_minutes_are_waited_unless_told_otherwise(file: Path) -> None:
    async with switched() as (client, switch):
        await switch.close()
        start = asyncio.get_running_loop().time()
        with pytest.raises(OutageError, match="down for 600 s"):
            await crawl_to(file, client, LISTS)
        assert 600 <= asyncio.get_running_loop().time() - start < 602


async def test_who_does_not_wait_is_told_at_once(file: Path) -> None:
    async with switched() as (client, switch):
        sandbox = switch.served[0]
        sandbox.fail(Fault.status(503), times=None)
        start = asyncio.get_running_loop().time()
        with pytest.raises(OutageError, match="down for 0 s, the last time with: 503"):
            await crawl_to(file, client, LISTS, keep_going=True, wait_outage=0)
        assert asyncio.get_running_loop().time() - start < 1
        assert 2 <= len(sandbox.requests) <= 4
        assert CrawlFile(file).status().pending == 4
        with pytest.raises(OutageError):
            async for _ in crawl(client, LISTS, keep_going=True, wait_outage=0):
                pass


async def test_the_last_probe_is_sent_when_the_time_is_up(file: Path) -> None:
    async with switched() as (client, switch):
        down = asyncio.create_task(go_down(switch, None, 3.5))
        await asyncio.sleep(0.01)
        # Probes after 1 and 3 seconds; the next would be after 7.
        assert (await crawl_to(file, client, LISTS, wait_outage=4)).items == 400
        await down


@pytest.mark.parametrize("concurrency", [1, 2, 8])
@pytest.mark.parametrize("plan", [grid("music"), grid("music") + LISTS, LISTS + grid("music")])
async def test_a_list_that_fails_alone_is_to_blame(plan: Any, concurrency: int, file: Path) -> None:
    async with opened() as (client, sandbox):
        sandbox.fail(Fault.status(500), times=None, path="music")
        start = asyncio.get_running_loop().time()
        summary = await crawl_to(file, client, plan, keep_going=True, concurrency=concurrency)
        assert (summary.done, summary.failed, summary.pending) == (len(plan) - 1, 1, 0)
        assert asyncio.get_running_loop().time() - start < 10
        assert len(sandbox.requests) == 5 * (len(plan) - 1) + 1
        with pytest.raises(ServerError):
            await crawl_to(file, client, retry_failed=True)


@pytest.mark.parametrize("concurrency", [1, 2, 3, 8])
async def test_lists_that_fail_among_others_are_to_blame(concurrency: int, file: Path) -> None:
    async with opened({"latency": 0.1}) as (client, sandbox):
        sandbox.fail(Fault.status(500), times=None, path="music")
        plan = grid("music", region=["US", "GB", "DE"]) + LISTS
        summary = await crawl_to(file, client, plan, keep_going=True, concurrency=concurrency)
        assert (summary.done, summary.failed, summary.pending) == (4, 3, 0)
        # Each is tried again when others were answered; that much is the price of a doubt.
        assert len(sandbox.requests) <= 20 + 3 * 2 + 2
        ((spent, risk),) = rows(file, "SELECT credits_spent, credits_at_risk FROM runs")
        assert (spent, risk) == (40, 2 * (len(sandbox.requests) - 20))


async def test_lists_take_turns_to_probe(file: Path) -> None:
    async with opened({"latency": 0.1}) as (client, sandbox):
        # One of the two can't be had; the other's probe must come all the same.
        sandbox.fail(Fault.status(503), times=2)
        sandbox.fail(Fault.status(503), times=None, path="music")
        plan = grid("music") + grid("hashtags")
        start = asyncio.get_running_loop().time()
        summary = await crawl_to(file, client, plan, keep_going=True)
        assert (summary.done, summary.failed) == (1, 1)
        assert asyncio.get_running_loop().time() - start < 10


async def test_an_answer_that_is_no_list_ends_an_outage(file: Path) -> None:
    async with opened({"latency": 0.1}) as (client, sandbox):
        sandbox.fail(Fault.status(503), times=2)
        sandbox.fail(Fault.status(404), times=1)
        summary = await crawl_to(file, client, LISTS[:2], keep_going=True)
        assert (summary.done, summary.failed) == (1, 1)


@pytest.mark.parametrize("way", ["stop", "cancel", "stop twice"])
async def test_a_crawl_that_waits_can_be_stopped(way: str, file: Path) -> None:
    async with switched() as (client, switch):
        await switch.close()
        crawling = Crawl(client, LISTS, file, keep_going=True)
        running = asyncio.create_task(crawling.run())
        await asyncio.sleep(30)
        start = asyncio.get_running_loop().time()
        if way == "cancel":
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
        else:
            crawling.stop()
            crawling.stop()
            assert (await running).pending == 4
        assert asyncio.get_running_loop().time() - start < 1
        await switch.open()
        assert (await crawling.run()).items == 400


async def test_without_keep_going_a_failure_alone_ends_the_crawl(file: Path) -> None:
    async with opened() as (client, sandbox):
        sandbox.fail(Fault.status(500), times=None, path="music")
        with pytest.raises(KeyAPIError, match="500"):
            await crawl_to(file, client, grid("music") + LISTS)
        assert rows(file, "SELECT state FROM lists WHERE error NOT NULL") == [("pending",)]


async def test_who_is_cancelled_while_it_waits_is_in_nobodys_way() -> None:
    outage = Outage(600, Progress(), lambda: 3)
    error = ServerError("down", status=503)
    first, second = (asyncio.create_task(outage.wait(error, None)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()  # as `asyncio.run` does with all tasks at its end
    outage.end(asyncio.get_running_loop().time())
    assert await second is True
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_share_that_can_never_be_used_ends_the_crawl_at_once(
    file: Path, tmp_path: Path
) -> None:
    share = tmp_path / "notes"
    share.write_text("no database, but longer than a hundred characters" * 3)
    async with Sandbox() as sandbox, sandbox.client(share=f"file:{share}") as client:
        with pytest.raises(ShareError, match="not a database") as caught:
            await crawl_to(file, client, LISTS, keep_going=True)
        assert type(caught.value) is ShareError
        assert CrawlFile(file).status().pending == 4
        assert sandbox.requests == []


@pytest.mark.slow
async def test_a_share_that_is_out_of_reach_is_waited_for(file: Path, tmp_path: Path) -> None:
    share = tmp_path / "share"
    async with (
        Sandbox() as sandbox,
        sandbox.client(share=f"file:{share}", retry=FAIL_FAST) as client,
    ):
        await client.trending.hashtag_detail()
        with closing(sqlite3.connect(share, isolation_level=None)) as db:
            db.execute("BEGIN EXCLUSIVE")
            with pytest.raises(OutageError, match=r"^what is shared was down for 2 s, .* locked"):
                await crawl_to(file, client, LISTS, keep_going=True, wait_outage=2)
        assert (await crawl_to(file, client, LISTS)).complete
        assert sandbox.credits_spent == 2 * 21
