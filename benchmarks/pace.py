"""Pace: how much of a limit is used, and how often it is punished.

Against nginx's `limit_req`, a limiter we did not write, and against the sandbox's windows; each
with 100-300 ms of latency, 0-30 ms of jitter before sending and 32 calls in flight.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import subprocess
import sys
import time
from contextlib import ExitStack

import aiohttp
from attrs import frozen

from benchmarks.nginx import nginx
from benchmarks.report import Table
from benchmarks.server import serving
from keyapi_async import KeyAPIClient, RateLimitError
from keyapi_async.sandbox import Sandbox

LATENCY = (0.1, 0.3)
JITTER = 0.03
IN_FLIGHT = 32


@frozen(kw_only=True)
class Limit:
    """A limiter to run against.

    Attributes:
        kind: `nginx`, or a window of the sandbox.
        rate: Requests per second it allows.
        burst: nginx's burst.
        guess: The client's `qps`, as a multiple of `rate`.
        processes: How many processes share the limit, each with its own client.
        seconds: How long the run takes.
        counted: The last seconds of it, which count.
    """

    kind: str
    rate: int
    burst: int = 0
    guess: float = 1.0
    processes: int = 1
    seconds: float = 10.0
    counted: float = 10.0

    @property
    def name(self) -> str:
        """How the table calls it."""
        how = f" burst={self.burst}" if self.kind == "nginx" else ""
        guess = f", started at {self.guess:g}x" if self.guess != 1 else ""
        many = f", {self.processes} processes" if self.processes > 1 else ""
        return f"{self.kind} {self.rate}/s{how}{guess}{many}"


@frozen(kw_only=True)
class Outcome:
    """What came of it, counted at the server."""

    share: float
    refused: int
    reached_caller: int


async def measure(limit: Limit) -> Outcome:
    """Run clients against one limiter for some seconds."""
    sandbox = Sandbox(latency=LATENCY, seed=limit.rate)
    if limit.kind != "nginx":
        sandbox = Sandbox(latency=LATENCY, qps=limit.rate, window=limit.kind)  # type: ignore[arg-type]
    with ExitStack() as stack:
        stack.enter_context(sandbox)
        front = None
        if limit.kind == "nginx":
            front = stack.enter_context(nginx(sandbox.url, rate=limit.rate, burst=limit.burst))
        job = (
            front.url if front else sandbox.url,
            sandbox.api_key,
            limit.rate * limit.guess,
            limit.seconds + 0.5,
        )
        if limit.processes == 1:
            reached = [await load(*job)]
        else:
            reached = await asyncio.gather(*(_in_process(*job) for _ in range(limit.processes)))
        served = [request.time for request in sandbox.requests if request.status == 200]
        end = sandbox.requests[0].time + limit.seconds
        counted = sum(end - limit.counted <= moment < end for moment in served)
        return Outcome(
            share=counted / limit.counted / limit.rate,
            refused=front.refused() if front else sandbox.refused,
            reached_caller=sum(reached),
        )


async def load(url: str, api_key: str, qps: float, seconds: float) -> int:
    """Keep calls in flight for some seconds; how many callers saw a 429."""
    jitter = aiohttp.TraceConfig()

    async def late(*_: object) -> None:
        await asyncio.sleep(random.uniform(0, JITTER))

    jitter.on_request_start.append(late)
    stop = time.monotonic() + seconds
    reached = 0

    async def work(client: KeyAPIClient) -> None:
        nonlocal reached
        while time.monotonic() < stop:
            try:
                await client.trending.hashtags()
            except RateLimitError:
                reached += 1

    async with KeyAPIClient(api_key, base_url=url, qps=qps, trace_configs=[jitter]) as client:
        await asyncio.gather(*(work(client) for _ in range(IN_FLIGHT)))
    return reached


async def _in_process(*job: object) -> int:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.pace", json.dumps(job), stdout=subprocess.PIPE
    )
    output, _ = await process.communicate()
    return int(output)


@frozen
class Fast:
    """A pace of hundreds of requests a second against a server that doesn't limit."""

    qps: float
    seconds: float = 10.0


async def measure_fast(fast: Fast) -> tuple[float, int]:
    """Of the pace, what a server in a process of its own got; the most of any one second."""
    with serving(latency=0.02) as server:
        stop = time.monotonic() + fast.seconds
        async with KeyAPIClient("a-key", base_url=server.url, qps=fast.qps) as client:

            async def work() -> None:
                while time.monotonic() < stop:
                    await client.trending.hashtag_detail()

            await asyncio.gather(*(work() for _ in range(2 * IN_FLIGHT)))
        stats = server.stats()
    return stats.rate / fast.qps, stats.most


FIXED = [
    Limit(kind=kind, rate=rate, burst=burst)
    for rate in (10, 20, 50)
    for kind, burst in (("nginx", 5), ("nginx", rate), ("nginx", 0), ("sliding", 0), ("fixed", 0))
]
GUESSED = [
    Limit(kind="nginx", rate=10, burst=5, guess=5, seconds=30),
    Limit(kind="nginx", rate=50, burst=5, guess=5, seconds=30),
    Limit(kind="nginx", rate=10, burst=5, processes=2, seconds=60, counted=30),
    Limit(kind="nginx", rate=50, burst=5, processes=2, seconds=60, counted=30),
]


FAST = [Fast(100), Fast(200), Fast(500), Fast(1000)]


async def run() -> list[Table]:
    """Measure everything; limits of one rate at the same time."""
    outcomes: dict[Limit, Outcome] = {}
    groups = [[limit for limit in FIXED if limit.rate == rate] for rate in (10, 20, 50)]
    for group in [*groups, GUESSED]:
        found = await asyncio.gather(*map(measure, group))
        outcomes.update(zip(group, found, strict=True))
    fast = []
    for one in FAST:
        share, most = await measure_fast(one)
        fast.append((f"{one.qps:g}/s", math.floor(share * 1000) / 10, most))
    columns = ("pace", "% of the pace", "most in any second")
    title = "Pace at hundreds of requests a second, 64 in flight, 10 s"
    return [
        Table("fast", title, columns, tuple(fast)),
        _table("pace", "Pace at a known limit, 10 s from the first request", FIXED, outcomes),
        _table("guess", "Pace at a limit that was guessed wrong", GUESSED, outcomes),
    ]


def _table(name: str, title: str, limits: list[Limit], outcomes: dict[Limit, Outcome]) -> Table:
    rows = []
    for limit in limits:
        outcome = outcomes[limit]
        counted = f"last {limit.counted:g} of {limit.seconds:g} s"
        share = math.floor(outcome.share * 1000) / 10
        rows.append((limit.name, counted, share, outcome.refused, outcome.reached_caller))
    columns = (
        "limiter",
        "counted",
        "% of the limit",
        "answers of 429",
        "429s that reached a caller",
    )
    return Table(name, title, columns, tuple(rows))


if __name__ == "__main__":
    print(asyncio.run(load(*json.loads(sys.argv[1]))))
