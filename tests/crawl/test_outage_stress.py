"""Random faults, stops and cancellations: a crawl always ends, and its books are right."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keyapi_async import KeyAPIError, ServerError, TransportError
from keyapi_async.crawl import Crawl, CrawlFile, OutageError, Progress, grid
from keyapi_async.crawl.outage import Outage
from keyapi_async.sandbox import Fault
from tests.conftest import DrivenClockLoop
from tests.crawl.sandboxed_crawl import FAIL_FAST, opened, rows

REGIONS = ["US", "GB", "DE", "FR", "BR", "JP"]
DOWN = [Fault.status(503), Fault.status(500), Fault.html(502), Fault.reset(), Fault.disconnect()]


async def _break(sandbox: Any, rng: random.Random) -> None:
    """Let the server go down and come back, over and over; some lists never work."""
    while True:
        await asyncio.sleep(rng.expovariate(1 / 5))
        sandbox.fail(rng.choice(DOWN), times=None)
        await asyncio.sleep(rng.choice([0.05, 0.5, 5, 40]))
        sandbox.heal()
        sandbox.fail(Fault.status(500), times=None, path="music")


@pytest.mark.parametrize(
    "seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 12))]
)
async def test_a_crawl_survives_whatever_the_server_does(seed: int, file: Path) -> None:
    rng = random.Random(seed)
    broken = rng.choice([0, 1, 3])
    dead = grid("music", region=REGIONS[:broken]) if broken else ()
    plan = [*grid("hashtags", region=REGIONS), *grid("videos", region=["US", "GB"]), *dead]
    rng.shuffle(plan)
    concurrency = rng.choice([1, 2, 3, 8, 64])
    options = {"latency": (0.05, 0.5), "bill_faults": rng.random() < 0.5, "seed": seed}
    async with opened(options, timeout=5) as (client, sandbox):
        sandbox.fail(Fault.status(500), times=None, path="music")
        breaking = asyncio.create_task(_break(sandbox, rng))
        loop = asyncio.get_running_loop()
        for _ in range(4):
            crawling = Crawl(client, plan, file, keep_going=True, concurrency=concurrency)
            running = asyncio.create_task(crawling.run())
            way = rng.choice([crawling.stop, running.cancel, None])
            timer = loop.call_later(rng.expovariate(1 / 10), way) if way else None
            async with asyncio.timeout(3000):
                with suppress(asyncio.CancelledError, OutageError):
                    await running
            if timer is not None:
                timer.cancel()
            _check_books(file, sandbox)
        breaking.cancel()
        sandbox.heal()
        async with asyncio.timeout(3000):
            summary = await Crawl(client, plan, file, retry_failed=True).run()
        assert (summary.complete, summary.failed, summary.pending) == (True, 0, 0)
        lists = {query: sandbox.items(query.name, region=query.region) for query in plan}  # type: ignore[attr-defined]
        assert summary.items == sum(map(len, lists.values()))
        _check_books(file, sandbox)
    assert rows(file, "SELECT count(*) FROM items GROUP BY list, item_id HAVING count(*) > 1") == []


def _check_books(file: Path, sandbox: Any) -> None:
    with suppress(KeyAPIError):  # cancelled before there was anything
        summary = CrawlFile(file).status()
        spent, risk = summary.credits_spent, summary.credits_at_risk
        assert spent <= sandbox.credits_spent <= spent + risk


@pytest.mark.parametrize("seed", range(4))
async def test_after_one_outage_nothing_is_missing(seed: int, file: Path) -> None:
    rng = random.Random(seed)
    plan = grid("hashtags", region=REGIONS)
    async with opened({"latency": (0.05, 0.5)}, retry=FAIL_FAST, timeout=5) as (client, sandbox):
        loop = asyncio.get_running_loop()
        begin, end = rng.uniform(0, 1), rng.uniform(5, 20)  # while all lists are under way
        loop.call_later(begin, lambda: sandbox.fail(rng.choice(DOWN), times=None))
        loop.call_later(begin + end, sandbox.heal)
        concurrency = rng.choice([1, 2, 8])
        summary = await Crawl(client, plan, file, keep_going=True, concurrency=concurrency).run()
        assert (summary.complete, summary.items) == (True, 600)
        wasted = len(sandbox.requests) - 30
        assert wasted <= concurrency + 1 + math.log2(end + 1) + 1
        assert summary.credits_at_risk <= 2 * wasted


# -- a model -----------------------------------------------------------------------------------


class Model:
    """Workers with lists of steps: how long until an answer, and whether it is a failure."""

    def __init__(self, scripts: list[list[tuple[int, bool]]], limit: float) -> None:
        self.scripts = scripts
        self.idle = 0
        self.ends: list[str] = []
        self.outage = Outage(limit, Progress(), lambda: len(scripts) - self.idle)

    async def work(self, script: list[tuple[int, bool]], error: KeyAPIError) -> None:
        failed_at: float | None = None
        now = asyncio.get_running_loop().time
        end = "done"
        for delay, fails in [*script, (1, False)]:  # in the end there is an answer
            began = now()
            await asyncio.sleep(delay / 10)
            if not fails:
                self.outage.end(began)
                failed_at = None
                continue
            at = now()
            try:
                if await self.outage.wait(error, failed_at):
                    failed_at = at
                    continue
                end = "failed"
            except OutageError:
                self.outage.give_up()
                end = "outage"
            break
        self.ends.append(end)
        self.idle += 1
        self.outage.settle()

    async def run(self, error: KeyAPIError) -> None:
        async with asyncio.timeout(100_000), asyncio.TaskGroup() as group:
            for script in self.scripts:
                group.create_task(self.work(script, error))


steps = st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=8)


def drive(work: Callable[[], Awaitable[None]]) -> None:
    loop = DrivenClockLoop()
    try:
        loop.run_until_complete(work())
    finally:
        loop.close()


@settings(max_examples=60, deadline=None)
@given(st.lists(steps, min_size=1, max_size=5), st.sampled_from([0.0, 5.0, 600.0]), st.booleans())
def test_nobody_waits_for_ever(
    scripts: list[list[tuple[int, bool]]], limit: float, was_sent: bool
) -> None:
    error: KeyAPIError = ServerError("down", status=503) if was_sent else TransportError("refused")
    model = Model(scripts, limit)
    drive(lambda: model.run(error))
    assert len(model.ends) == len(scripts)
    if not any(fails for script in scripts for _, fails in script):
        assert set(model.ends) == {"done"}
    if sum(any(fails for _, fails in script) for script in scripts) == 1 and was_sent:
        assert "outage" not in model.ends  # a list that fails alone
    if not was_sent:
        assert limit == 0 or "failed" not in model.ends or "outage" in model.ends
