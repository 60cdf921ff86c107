"""Throughput at a limit: whole lists at 50 requests/s with 200 ms of latency."""

from __future__ import annotations

import asyncio
import time

from benchmarks.measure import median, spread
from benchmarks.report import Goal, Table
from benchmarks.server import serving
from keyapi_async import KeyAPIClient

QPS = 50
PACE = 0.97 * QPS
LATENCY = 0.2
LISTS = 40
PAGES = 5
LONG = 25
DEPTH = 8
ROUNDS = 5


async def run() -> list[Table]:
    """Measure many lists at once, one long list, and what prefetch wastes."""
    return [await _times(), await _waste()]


async def _times() -> Table:
    many_floor = LISTS * PAGES / PACE + LATENCY
    ahead_floor = LATENCY + (LONG - 1) / PACE + LATENCY
    with serving(pages=PAGES, latency=LATENCY) as server:
        many = [await _seconds(server.url, LISTS) for _ in range(ROUNDS)]
    with serving(pages=LONG, latency=LATENCY) as server:
        ahead = [await _seconds(server.url, 1, prefetch=DEPTH) for _ in range(ROUNDS)]
        in_turn = [await _seconds(server.url, 1) for _ in range(2)]
    rows = (
        (f"{LISTS} lists of {PAGES} pages at once", many, many_floor),
        (f"one list of {LONG} pages, prefetch={DEPTH}", ahead, ahead_floor),
        (f"one list of {LONG} pages, prefetch=0", in_turn, LONG * LATENCY),
    )
    return Table(
        "throughput",
        f"Whole lists at {QPS} requests/s and {LATENCY * 1000:.0f} ms of latency",
        ("", "seconds (median)", "± %", "floor", "x floor"),
        tuple(
            (name, median(times), spread(times), floor, median(times) / floor)
            for name, times, floor in rows
        ),
        notes=(f"Floor: requests / {PACE:g} a second (3 % are left to jitter) + latencies.",),
        goals=(
            Goal("many lists / floor", median(many) / many_floor, 1.02),
            Goal("one list with prefetch=8, seconds", median(ahead), 1.05),
        ),
    )


async def _seconds(url: str, lists: int, prefetch: int = 0) -> float:
    async with KeyAPIClient("a-key", base_url=url, qps=QPS) as client:

        async def consume() -> None:
            async for _ in client.trending.iter_hashtags(prefetch=prefetch):
                pass

        start = time.perf_counter()
        await asyncio.gather(*(consume() for _ in range(lists)))
        return time.perf_counter() - start


async def _waste() -> Table:
    rows = []
    for what, total in (("right", None), ("too high", 10 * LONG * 20), ("too low", 20)):
        with serving(pages=LONG, total=total, latency=LATENCY) as server:
            await _seconds(server.url, 1, prefetch=DEPTH)
            rows.append((f"total is {what}", server.stats().requests - LONG))
    return Table(
        "waste",
        f"Requests beyond the {LONG} of a list, prefetch={DEPTH}",
        ("", "wasted"),
        tuple(rows),
        goals=(
            Goal("requests wasted, total right", rows[0][1], 0),
            Goal("requests wasted, total wrong", max(rows[1][1], rows[2][1]), DEPTH),
        ),
    )
