"""Memory: what streaming many pages leaves behind, and what a page kept costs.

Each figure is of a process of its own: `python -m benchmarks.memory stream|keep WAY WHAT`.
"""

from __future__ import annotations

import asyncio
import gc
import json
import math
import os
import resource
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp

from benchmarks import decode
from benchmarks.bodies import page
from benchmarks.measure import in_flight, median
from benchmarks.report import Goal, Table
from benchmarks.server import serving
from keyapi_async import KeyAPIClient
from keyapi_async.queries import VideosQuery

LISTS = 800
PAGES = 25
WARM = 40  # lists that don't count: 1,000 pages
AT_ONCE = 8
KEPT = 500
RUNS = 2
KEEPERS = (decode.OURS, "json.loads", decode.PYDANTIC)
STREAMERS = (decode.OURS, "aiohttp, read() alone")

_MB = 2**20


async def run() -> list[Table]:
    """Measure streaming, and pages kept."""
    return [await _streaming(), await _keeping()]


async def _streaming() -> Table:
    grown: dict[str, list[float]] = {way: [] for way in STREAMERS}
    with serving(pages=PAGES) as server:
        for _ in range(RUNS):
            jobs = (_in_process("stream", way, server.url) for way in STREAMERS)
            for way, mb in zip(STREAMERS, await asyncio.gather(*jobs), strict=True):
                grown[way].append(mb)
    first, last = WARM * PAGES, LISTS * PAGES
    ours = median(grown[decode.OURS])
    return Table(
        "streaming",
        f"Streaming {last:,} pages, {LISTS} lists of {PAGES} pages of videos",
        ("", f"MB more than after {first:,} pages (median)", "least", "most"),
        tuple((way, median(mb), min(mb), max(mb)) for way, mb in grown.items()),
        goals=(Goal(f"MB more after {last:,} pages", ours, 8),),
    )


async def _keeping() -> Table:
    rows = []
    lists = [shape.endpoint for shape in decode.SHAPES if shape.is_list]
    for way in KEEPERS:
        runs = [
            await asyncio.gather(*(_in_process("keep", way, name) for name in lists))
            for _ in range(RUNS)
        ]
        found = [median(run) for run in zip(*runs, strict=True)]
        rows.append((way, *found))
    return Table(
        "keeping",
        f"Keeping {KEPT} pages: memory as a multiple of the bytes of their bodies",
        ("", *lists),
        tuple(rows),
        notes=("keyapi_async keeps the JSON as received (`raw`) beside its objects.",),
        goals=tuple(
            Goal(f"page of {name} kept / its bytes", found, 4.5)
            for name, found in zip(lists, rows[0][1:], strict=True)
            if isinstance(found, float)
        ),
    )


async def _in_process(*job: str) -> float:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.memory", *job, stdout=subprocess.PIPE
    )
    output, _ = await process.communicate()
    return float(json.loads(output))


def memory_used() -> int:
    """Bytes of this process that are in memory; at its highest, where the system has no /proc."""
    gc.collect()
    file = Path("/proc/self/statm")
    if file.exists():
        return int(file.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


async def _growth(one_list: Callable[[], Awaitable[None]]) -> float:
    await in_flight(one_list, WARM, AT_ONCE)
    before = memory_used()
    await in_flight(one_list, LISTS - WARM, AT_ONCE)
    return (memory_used() - before) / _MB


async def _stream(way: str, url: str) -> float:
    async with (
        KeyAPIClient("a-key", base_url=url, qps=math.inf) as client,
        aiohttp.ClientSession() as http,
    ):

        async def ours() -> None:
            async for _ in client.trending.iter_videos():
                pass

        async def bare() -> None:
            for number in range(1, PAGES + 1):
                async with http.get(url + VideosQuery.path, params={"page": number}) as response:
                    await response.read()

        return await _growth(ours if way == decode.OURS else bare)


def _keep(way: str, endpoint: str) -> float:
    shape = next(shape for shape in decode.SHAPES if shape.endpoint == endpoint)
    make = decode.ways(shape)[way]
    # All made beforehand: the making leaves holes in the heap, the size of a body each.
    bodies = [page(endpoint, number, pages=KEPT) for number in range(1, KEPT + 1)]
    kept = [make(_received(body)) for body in bodies[:10]]
    before = memory_used()
    kept += [make(_received(body)) for body in bodies]
    return (memory_used() - before) / sum(map(len, bodies))


def _received(body: bytes) -> bytes:
    """A copy, as it comes off the wire."""
    return bytes(memoryview(body))


if __name__ == "__main__":
    task, way, what = sys.argv[1:]
    print(asyncio.run(_stream(way, what)) if task == "stream" else _keep(way, what))
