"""What a service pays: a cache hit beside a request, equal calls, and options on each call."""

from __future__ import annotations

import asyncio
import math
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks.bodies import page
from benchmarks.measure import alternate_calls, median, ratio, spread
from benchmarks.report import Goal, Table
from benchmarks.server import PAGES, serving
from keyapi_async import KeyAPIClient, ResponseCache

ROUNDS = 30
CALLS = 160  # of each contender in each round
IN_FLIGHT = 8
EQUAL = 50

PLAIN = "a request"
DERIVED = "a request, by with_options(timeout, priority)"
FRESH = "a request, with_options made for it"
DEADLINE = "a request, with a deadline"
MEMORY = "a hit, in memory"
FILE = "a hit, in a SQLite file"


async def run() -> list[Table]:
    """Measure them in turn over loopback, and equal calls at once."""
    with serving() as server, tempfile.TemporaryDirectory() as folder:
        file = ResponseCache(3600, path=Path(folder) / "cache")
        async with KeyAPIClient("a-key", base_url=server.url, qps=math.inf) as client:
            options = client.with_options(timeout=20, priority=1)
            deadline = client.with_options(deadline=20)
            memory = client.with_options(cache=ResponseCache(3600))
            in_file = client.with_options(cache=file)

            async def fresh() -> object:
                return await client.with_options(timeout=20, priority=1).trending.hashtags()

            contenders: dict[str, Callable[[], Awaitable[object]]] = {
                PLAIN: client.trending.hashtags,
                DERIVED: options.trending.hashtags,
                FRESH: fresh,
                DEADLINE: deadline.trending.hashtags,
                MEMORY: memory.trending.hashtags,
                FILE: in_file.trending.hashtags,
            }
            rounds = await alternate_calls(contenders, ROUNDS, CALLS, IN_FLIGHT)
            equal = [await _equal_calls(client), await _equal_calls(memory)]
    size = len(page("hashtags", 1, pages=PAGES)) / 1000
    rows = [
        (name, median(rounds[name]), spread(rounds[name]), ratio(rounds, name, PLAIN))
        for name in contenders
    ]
    options_price = (ratio(rounds, DERIVED, PLAIN) - 1) * 100
    costs = Table(
        "services",
        f"One call for {size:.1f} kB, {IN_FLIGHT} in flight",
        ("", "us of CPU (median)", "± %", "x a request"),
        tuple(rows),
        notes=("Of a hit, the models are there already; a file's body is read and compared.",),
        goals=(
            Goal("a hit from memory, us", median(rounds[MEMORY]), 40),
            Goal("options and priority, % of a call", options_price, 3),
        ),
    )
    together = Table(
        "equal-calls",
        f"{EQUAL} equal calls at once",
        ("", "requests", "credits", "ms"),
        (("without a cache", *equal[0]), ("with one", *equal[1])),
    )
    return [costs, together]


async def _equal_calls(client: KeyAPIClient) -> tuple[int, int, float]:
    usage = client.usage
    requests, credits_ = usage.requests, usage.credits_spent
    start = time.perf_counter()
    await asyncio.gather(*(client.trending.hashtags(region="US") for _ in range(EQUAL)))
    milliseconds = (time.perf_counter() - start) * 1000
    return usage.requests - requests, usage.credits_spent - credits_, milliseconds
