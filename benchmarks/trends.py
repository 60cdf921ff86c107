"""Trends: how long it takes to say what moved in a large file, and in how much memory.

Each figure is of a process of its own: `python -m benchmarks.trends TASK FILE`.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.measure import median
from benchmarks.report import Goal, Table
from keyapi_async import ListQuery, trends
from keyapi_async.crawl import grid
from keyapi_async.crawl.database import writing
from keyapi_async.crawl.store import query_key
from keyapi_async.reference import REGIONS

FIRST = date(2026, 1, 1)
ITEMS = 100
PLAN = grid("hashtags", region=list(REGIONS)[:25], period=[7, 30, 120]) + grid(
    "music", region=list(REGIONS)[:25], period=[7, 30, 120]
)
RUNS = 3
SHORT, LONG = 30, 94  # days: 450,000 and 1.41 million items
PADDING = "https://p16.example.com/" + "x" * 1200  # an item is as long as real ones

TASKS: dict[str, tuple[str, int, Callable[[Path], object], float]] = {
    "movers": (
        "movers of one region's 6 lists, the two newest days",
        LONG,
        lambda path: sum(1 for _ in trends.movers(path, region="AE")),
        2,
    ),
    "history": (
        "history of one item in all of 75 lists, by its id",
        LONG,
        lambda path: trends.history(path, "hashtags", "7000000000000000000"),
        0.1,
    ),
    "name": (
        "the same by its name, in one region",
        LONG,
        lambda path: trends.history(path, "hashtags", "tag0", region="AE"),
        0.1,
    ),
    "health": ("health", LONG, trends.health, 10),
    "report": (
        "report of 150 lists x 30 days",
        SHORT,
        lambda path: trends.report(path, path.with_suffix(".html")),
        10,
    ),
}


async def run() -> list[Table]:
    """Make the files, then measure each task."""
    with TemporaryDirectory() as folder:
        files = {days: Path(folder) / f"{days}.sqlite" for days in (SHORT, LONG)}
        for days, path in files.items():
            await asyncio.to_thread(make, path, days)
        rows, goals = [], []
        for task, (title, days, _, limit) in TASKS.items():
            command = [sys.executable, "-m", "benchmarks.trends", task, str(files[days])]
            done = await asyncio.to_thread(
                subprocess.run, command, stdout=subprocess.PIPE, check=True
            )
            seconds, mb = json.loads(done.stdout)
            rows.append((f"{title} ({days * len(PLAN) * ITEMS:,} items)", seconds, mb))
            goals.append(Goal(f"seconds: {title}", seconds, limit))
        size = files[SHORT].with_suffix(".html").stat().st_size / 1000
    goals.append(Goal("kB: the report's page", size, 500))
    return [
        Table(
            "trends",
            "Trends: what moved",
            ("", "seconds (median)", "MB at the peak"),
            tuple(rows),
            notes=("The file is in the system's cache, as after a crawl.",),
            goals=tuple(goals),
        )
    ]


def make(path: Path, days: int) -> None:
    """A file of so many days, written as a crawl would have."""
    with writing(path, create=True):
        pass
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA synchronous = OFF")
        db.executemany(
            "INSERT INTO queries (id, endpoint, params, planned) VALUES (?, ?, ?, 1)",
            ((number, *query_key(query)) for number, query in enumerate(PLAN)),
        )
        drifts = [drift(query, Random(number)) for number, query in enumerate(PLAN)]
        for day in range(days):
            at = FIRST + timedelta(days=day)
            begun = datetime(at.year, at.month, at.day, 5, tzinfo=UTC).timestamp()
            db.execute(
                "INSERT INTO snapshots (id, started_at, options, day) VALUES (?, ?, '{}', ?)",
                (day, begun, at.isoformat()),
            )
            for number, listing in enumerate(drifts):
                add_list(db, day * len(PLAN) + number, day, number, next(listing), begun)


def add_list(  # noqa: PLR0917
    db: sqlite3.Connection,
    number: int,
    day: int,
    query: int,
    items: list[tuple[str, str]],
    at: float,
) -> None:
    """One list of five pages."""
    db.execute(
        "INSERT INTO lists (id, snapshot, query, state, pages, items, total, stop_reason) "
        "VALUES (?, ?, ?, 'done', 5, ?, ?, 'exhausted')",
        (number, day, query, ITEMS, ITEMS),
    )
    db.executemany(
        "INSERT INTO pages (id, list, page, retrieved_at, credits, status) "
        "VALUES (?, ?, ?, ?, 2, 'ok')",
        ((number * 5 + page, number, page + 1, at) for page in range(5)),
    )
    db.executemany(
        "INSERT INTO items (list, page, position, item_id, json) VALUES (?, ?, ?, ?, ?)",
        ((number, number * 5 + n // 20, n % 20 + 1, *one) for n, one in enumerate(items)),
    )


def drift(query: Any, random: Random) -> Iterator[list[tuple[str, str]]]:
    """A list from day to day: some swap places, some leave and others come."""
    current = list(range(ITEMS))
    coming = ITEMS
    while True:
        yield [item(query, one, rank) for rank, one in enumerate(current, 1)]
        for _ in range(40):
            a = random.randrange(ITEMS)
            b = min(a + random.randrange(1, 20), ITEMS - 1)
            current[a], current[b] = current[b], current[a]
        for _ in range(6):
            current[random.randrange(1, ITEMS)] = coming
            coming += 1


def item(query: ListQuery[Any], one: int, rank: int) -> tuple[str, str]:
    """An item's id, and its JSON as the wire has it, as far as it counts here."""
    identity = str(7_000_000_000_000_000_000 + one)
    fields = {query.item_key: identity, query.label: f"tag{one}", "rank": rank}
    if query.views is not None:
        fields[query.views] = 10**9 // rank + one
    trend = [{"time": 1_769_472_000 + n, "value": 0.5} for n in range(7)]
    return identity, json.dumps(fields | {"trend": trend, "cover": PADDING})


if __name__ == "__main__":
    _, _, perform, _ = TASKS[sys.argv[1]]
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        perform(Path(sys.argv[2]))
        times.append(time.perf_counter() - start)
    print(json.dumps([median(times), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
