"""Sharing: processes with one pace against nginx, what a slot costs, how far one machine goes."""

from __future__ import annotations

import asyncio
import json
import math
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from attrs import frozen

from benchmarks.measure import median
from benchmarks.nginx import Nginx, nginx
from benchmarks.redis_server import redis_server
from benchmarks.report import Table
from benchmarks.server import serving
from keyapi_async import CreditBudget, CreditBudgetError, KeyAPIClient, RateLimitError
from keyapi_async.guard import Guard
from keyapi_async.pacing import Limit, OwnPace
from keyapi_async.sandbox import Sandbox
from keyapi_async.sharing import SharedPace, open_store

LATENCY = (0.05, 0.15)
CALLERS = 16
SETTLE = 2.0
"""Seconds that processes are given to start."""


# -- processes against nginx -----------------------------------------------------------------------


@frozen(kw_only=True)
class Cell:
    """Processes that share one limit.

    Attributes:
        kind: What they share: `file` or `redis`.
        processes: How many they are.
        rate: Requests per second that nginx allows, with a burst of 5.
        seconds: How long they send.
        event: What happens in the middle: `kill` of a process, `restart` of Redis.
        credits: Their joint budget; 0 for none.
    """

    kind: str
    processes: int = 2
    rate: int = 20
    seconds: float = 60.0
    event: str = ""
    credits: int = 0

    @property
    def name(self) -> str:
        """How the table calls it."""
        events = {"kill": ", one killed", "restart": ", restarted", "": ""}
        return f"{self.kind}{events[self.event]}: {self.processes} processes at {self.rate}/s"


@frozen(kw_only=True)
class Outcome:
    """What came of it, counted at nginx.

    Attributes:
        share: Of what the limit allowed from the first request on.
        refused: Answers of 429.
        served: Answers of 200.
        least: What the process that got least got, of its fair share; of those that lived.
        errors: How often calls failed, by the kind of error.
    """

    share: float
    refused: int
    served: int
    least: float
    errors: dict[str, int]


async def measure(cell: Cell) -> Outcome:
    """Run processes against one nginx for some seconds."""
    with ExitStack() as stack:
        sandbox = stack.enter_context(Sandbox(latency=LATENCY, seed=cell.rate))
        front = stack.enter_context(nginx(sandbox.url, rate=cell.rate, burst=5))
        redis = stack.enter_context(redis_server()) if cell.kind == "redis" else None
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        share = redis.url if redis else f"file:{Path(folder) / 'pace.share'}"
        begins = time.time() + SETTLE
        job = {"url": front.url, "key": sandbox.api_key, "share": share, "qps": cell.rate}
        job |= {"begins": begins, "seconds": cell.seconds, "credits_": cell.credits}
        async with _processes(cell.processes, "load", **job) as processes:
            await asyncio.sleep(begins - time.time() + cell.seconds / 2)
            if cell.event == "kill":
                processes.pop().kill()
            if redis and cell.event == "restart":
                redis.stop()
                await asyncio.sleep(1)
                redis.start()
            found = [json.loads(await _output(process)) for process in processes]
        return _outcome(cell, front, found)


def _outcome(cell: Cell, front: Nginx, found: list[dict[str, int]]) -> Outcome:
    answers = front.answers()
    first = min(moment for moment, _ in answers)
    counted = sum(status == 200 and at < first + cell.seconds for at, status in answers)
    errors = sum((Counter(one) for one in found), Counter[str]())
    sent = [one["answered"] for one in found]
    del errors["answered"]
    return Outcome(
        share=counted / cell.seconds / cell.rate,
        refused=front.refused(),
        served=sum(status == 200 for _, status in answers),
        least=min(sent) / (sum(sent) / len(sent)),
        errors=dict(errors),
    )


@asynccontextmanager
async def _processes(
    number: int, name: str, **job: object
) -> AsyncIterator[list[asyncio.subprocess.Process]]:
    command = [sys.executable, "-m", "benchmarks.sharing", json.dumps((name, job))]
    started = [
        await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        for _ in range(number)
    ]
    try:
        yield [*started]
    finally:
        for process in started:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def _output(process: asyncio.subprocess.Process) -> bytes:
    return (await process.communicate())[0]


async def load(
    *, url: str, key: str, share: str, qps: float, begins: float, seconds: float, credits_: int
) -> dict[str, int]:
    """One process: keep calls in flight for some seconds; how many were answered, or failed."""
    await asyncio.sleep(begins - time.time())
    stop = time.monotonic() + seconds
    found = Counter[str](answered=0)
    budget = CreditBudget(credits_, per=3600) if credits_ else None

    async def work(client: KeyAPIClient) -> None:
        while time.monotonic() < stop:
            try:
                await client.trending.hashtag_detail()
            except (CreditBudgetError, RateLimitError) as error:
                found[type(error).__name__] += 1
                await asyncio.sleep(0.5)
            else:
                found["answered"] += 1

    async with KeyAPIClient(key, base_url=url, qps=qps, share=share, max_credits=budget) as client:
        await asyncio.gather(*(work(client) for _ in range(CALLERS)))
    return found


KINDS = ("file", "redis")
MATRIX = [
    [Cell(kind=kind, processes=number, rate=rate) for kind in KINDS for rate in rates]
    for rates in ((10, 20), (50,))
    for number in (2, 4)
]
EVENTS = [
    Cell(kind="file", event="kill"),
    Cell(kind="redis", event="kill"),
    Cell(kind="redis", event="restart"),
]


async def _matrix() -> Table:
    """Cells share no server, so some run side by side, but for the fastest."""
    rows = []
    for group in (*MATRIX, EVENTS):
        for cell, outcome in zip(group, await asyncio.gather(*map(measure, group)), strict=True):
            share = math.floor(outcome.share * 1000) / 10
            failed = sum(outcome.errors.values())
            rows.append((cell.name, share, outcome.refused, 100 * outcome.least, failed))
    return Table(
        "sharing",
        "Processes that share one pace, against nginx with burst=5, for 60 s",
        ("shared by", "% of the limit", "answers of 429", "least, % of fair", "failed calls"),
        tuple(rows),
    )


# -- the price of a slot ---------------------------------------------------------------------------

PLENTY = 1e6
"""A rate that nobody waits for."""


async def _prices() -> Table:
    with redis_server() as redis, tempfile.TemporaryDirectory() as folder:
        places = {
            "own pace (aiolimiter)": "",
            "file": f"file:{folder}/price.share",
            "redis": redis.url,
            "file, with a joint budget": f"file:{folder}/budget.share",
            "redis, with a joint budget": redis.url,
        }
        rounds: dict[str, list[float]] = {name: [] for name in places}
        for _ in range(5):
            for name, share in places.items():
                rounds[name].append(await _price(share, budget="budget" in name))
    trips = {"o": "0", "f": "1 transaction", "r": "1 round trip"}
    return Table(
        "slot",
        "The price of a slot",
        ("", "us of the client's CPU", "of others"),
        tuple((name, median(times), trips[name[0]]) for name, times in rounds.items()),
    )


async def _price(share: str, *, budget: bool, slots: int = 2000) -> float:
    limit = _limit(share, f"price-{budget}", CreditBudget(10**9, per=10) if budget else None)
    await limit.acquire()
    start = time.process_time()
    for _ in range(slots):
        await limit.release(await limit.acquire(), free=False)
    taken = (time.process_time() - start) / slots
    await limit.close()
    return taken * 1e6


def _limit(share: str, name: str, budget: CreditBudget | None = None) -> Limit:
    guard = Guard(ceiling=PLENTY, pace=PLENTY)
    if not share:
        return OwnPace(guard, 0.03)
    store = open_store(share, name)
    return SharedPace(store, guard, margin=0.03, adaptive=True, budget=budget)


# -- how far one machine goes ----------------------------------------------------------------------


async def reserve(*, share: str, begins: float, seconds: float) -> int:
    """One process: reserve slots as fast as it can; how many."""
    limit = _limit(share, "reserve")
    await asyncio.sleep(begins - time.time())
    stop, slots = time.monotonic() + seconds, 0
    while time.monotonic() < stop:
        await limit.acquire()
        slots += 1
    await limit.close()
    return slots


async def _capacity() -> Table:
    rows = [(f"calls of one client, {name}", *(await _calls(share))) for name, share in _PLACES]
    with redis_server() as redis, tempfile.TemporaryDirectory() as folder:
        for kind in KINDS:
            for number in (1, 2, 4):
                share = redis.url if kind == "redis" else f"file:{folder}/{number}.share"
                job = {"share": share, "begins": time.time() + SETTLE, "seconds": 4.0}
                async with _processes(number, "reserve", **job) as processes:
                    slots = [int(await _output(process)) for process in processes]
                least = f"{100 * min(slots) * number / sum(slots):.0f} % of fair"
                what = f"slots of one {kind}, reserved by {number} processes"
                rows.append((what, sum(slots) / 4.0, least))
    return Table(
        "capacity",
        "How far one machine goes",
        ("", "a second", ""),
        tuple(rows),
        notes=("The server is a process of its own that doesn't limit; small bodies.",),
    )


_PLACES = [("no pace", ""), ("file", "file"), ("redis", "redis")]


async def _calls(kind: str, seconds: float = 5.0) -> tuple[float, str]:
    with serving() as server, redis_server() as redis, tempfile.TemporaryDirectory() as folder:
        share = {"": None, "file": f"file:{folder}/x", "redis": redis.url}[kind]
        qps = PLENTY if share else math.inf
        async with KeyAPIClient("a-key", base_url=server.url, qps=qps, share=share) as client:
            stop, before = time.monotonic() + seconds, time.process_time()

            async def work() -> None:
                while time.monotonic() < stop:
                    await client.trending.hashtag_detail()

            await asyncio.gather(*(work() for _ in range(8)))
            cpu = time.process_time() - before
            number = client.usage.requests
    return number / cpu, f"by CPU; {number / seconds:.0f} by the clock"


async def run() -> list[Table]:
    """Measure the processes against nginx, the price of a slot, and how many there can be."""
    return [await _matrix(), await _prices(), await _capacity()]


async def _perform(name: str, job: dict[str, Any]) -> None:
    found = await (load(**job) if name == "load" else reserve(**job))
    print(json.dumps(found))


if __name__ == "__main__":
    asyncio.run(_perform(*json.loads(sys.argv[1])))
