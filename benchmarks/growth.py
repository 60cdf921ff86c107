"""Growth: whether a page costs the same in a long list, and beside many other calls.

Python's garbage collector looks through all that is alive, so it has more to do the more calls
are under way, whatever they are; hence figures with and without it.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import count
from typing import TypeAlias

import aiohttp

from benchmarks.measure import in_flight, median, spread
from benchmarks.report import Goal, Table
from benchmarks.server import serving
from keyapi_async import KeyAPIClient
from keyapi_async.queries import VideosQuery

LENGTHS = (10, 100, 1_000, 20_000)
FLIGHTS = (1, 10, 100, 1_000)
PAGES = 1_000  # of each size in a round, at least
ROUNDS = 5
LONG_ROUNDS = 2  # of the longest list
FLAT = 1.1

OURS = "keyapi_async"
NO_GC = "keyapi_async, gc off"
BARE = "aiohttp, read() alone"

Found: TypeAlias = dict[tuple[int, str], list[float]]
"""Microseconds of a page in each round, by size and way."""


async def run() -> list[Table]:
    """Measure both kinds of growth."""
    return [await _long_lists(), await _many_calls()]


async def _long_lists() -> Table:
    found: Found = {}
    with serving(pages=max(LENGTHS)) as server:
        url = server.url + VideosQuery.path
        async with (
            KeyAPIClient("a-key", base_url=server.url, qps=math.inf) as client,
            aiohttp.ClientSession() as http,
        ):

            async def ours(firsts: count[int], length: int) -> None:
                first = next(firsts)
                async for _ in client.trending.iter_videos(start_page=first, max_pages=length):
                    pass

            async def bare(firsts: count[int], length: int) -> None:
                first = next(firsts)
                for number in range(first, first + length):
                    async with http.get(url, params={"page": number}) as response:
                        await response.read()

            for number in range(ROUNDS):
                for length in LENGTHS if number < LONG_ROUNDS else LENGTHS[:-1]:
                    for way in (OURS, BARE):
                        # Each list begins where the last one ended: the server knows no page.
                        a_list = partial(bare if way == BARE else ours, count(1, length), length)
                        cpu = await _cpu(way, a_list, max(1, PAGES // length), 1)
                        found.setdefault((length, way), []).append(cpu / length)
    return _table("growth-pages", "us of CPU for a page, by the pages of its list", found)


async def _many_calls() -> Table:
    found: Found = {}
    with serving() as server:
        url = server.url + VideosQuery.path
        async with (
            KeyAPIClient("a-key", base_url=server.url, qps=math.inf) as client,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
        ):

            async def bare() -> None:
                async with http.get(url) as response:
                    await response.read()

            ours = client.trending.videos
            for call in (ours, bare):
                await in_flight(call, 2 * max(FLIGHTS), max(FLIGHTS))  # opens the connections
            for _ in range(ROUNDS):
                for flight in FLIGHTS:
                    for way in (OURS, NO_GC, BARE):
                        cpu = await _cpu(way, bare if way == BARE else ours, 2 * PAGES, flight)
                        found.setdefault((flight, way), []).append(cpu)
    return _table("growth-calls", "us of CPU for a page, by the calls in flight", found)


async def _cpu(way: str, call: Callable[[], Awaitable[object]], times: int, flight: int) -> float:
    gc.collect()
    if way == NO_GC:
        gc.disable()
    start = time.process_time()
    await in_flight(call, times, flight)
    cpu = time.process_time() - start
    gc.enable()
    return cpu / times * 1e6


def _table(name: str, title: str, found: Found) -> Table:
    sizes, ways = (list(dict.fromkeys(part)) for part in zip(*found, strict=True))
    rows = [
        (f"{size:,}", *(median(found[size, way]) for way in ways), spread(found[size, OURS]))
        for size in sizes
    ]
    first, last = sizes[0], sizes[-1]
    growth = median([b / a for a, b in zip(found[first, OURS], found[last, OURS], strict=False)])
    return Table(
        name,
        f"Growth: {title} (medians)",
        ("", *ways, "± % (first column)"),
        tuple(rows),
        goals=(Goal(f"{title}: {last:,} / {first}", growth, FLAT),),
    )
