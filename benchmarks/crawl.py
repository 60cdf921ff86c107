"""A bulk crawl of 20,000 pages: its pace, its memory, and what the store costs.

Each way is a process of its own: `python -m benchmarks.crawl store|stream URL`.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.memory import memory_used
from benchmarks.report import Goal, Table
from benchmarks.server import serving
from keyapi_async import KeyAPIClient, RequestEvent
from keyapi_async.crawl import crawl, crawl_to, grid

LISTS = 800
PAGES = 25
QPS = 200
LATENCY = 0.1
WARM = 5000  # pages after which memory counts: by then all lists in hand have begun

_MB = 2**20


async def run() -> list[Table]:
    """Crawl everything with and without the store, at the same time."""
    stored, streamed = await asyncio.gather(_measure("store"), _measure("stream"))
    cost = (stored["cpu"] - streamed["cpu"]) / stored["cpu"]
    rows = tuple(
        (
            name,
            found["requests"],
            100 * found["share"],
            found["cpu"],
            100 * found["cpu"] / found["seconds"],
            found["grown"],
        )
        for name, found in (("stored in SQLite", stored), ("streamed", streamed))
    )
    return [
        Table(
            "crawl",
            f"A crawl of {LISTS} lists of {PAGES} pages of videos at {QPS} QPS",
            (
                "",
                "requests",
                "% of QPS",
                "s of CPU",
                "% of a core",
                f"MB more than at {WARM} pages",
            ),
            rows,
            notes=("Counted at the server, a process of its own; 100 ms of latency.",),
            goals=(
                Goal("crawl: QPS / its share reached at the server", 1 / stored["share"], 1 / 0.95),
                Goal("crawl: the store's share of its CPU", cost, 0.15),
                Goal("crawl: MB more after 20,000 pages", stored["grown"], 8),
            ),
        )
    ]


async def _measure(way: str) -> dict[str, float]:
    with serving(pages=PAGES, latency=LATENCY) as server:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.crawl", way, server.url, stdout=subprocess.PIPE
        )
        output, _ = await process.communicate()
        stats = server.stats()
        share = stats.rate / QPS
        return {
            **json.loads(output),
            "requests": stats.requests,
            "share": share,
            "seconds": stats.seconds,
        }


async def _crawl(way: str, url: str) -> dict[str, float]:
    plan = grid("videos", region=[f"R{number}" for number in range(LISTS)])
    memory: list[int] = []
    seen = 0

    def watch(_: RequestEvent) -> None:
        nonlocal seen
        seen += 1
        if seen == WARM:
            memory.append(memory_used())

    async with KeyAPIClient("a-key", base_url=url, qps=QPS, on_event=watch) as client:
        began = time.process_time()
        if way == "store":
            with tempfile.TemporaryDirectory() as folder:
                await crawl_to(Path(folder) / "trends.sqlite", client, plan)
        else:
            async for _ in crawl(client, plan):
                pass
        cpu = time.process_time() - began
    return {"cpu": cpu, "grown": (memory_used() - memory[0]) / _MB}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_crawl(sys.argv[1], sys.argv[2]))))
