"""What is read of a large crawl: its way out beside plain DuckDB, one item's history, its status.

Each measurement is a process of its own: `python -m benchmarks.stored NAME FOLDER`.
"""

from __future__ import annotations

import json
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import duckdb

from benchmarks.bodies import PAGE_SIZE, body
from benchmarks.measure import median
from benchmarks.report import Goal, Table
from keyapi_async import HashtagsQuery
from keyapi_async.crawl import CrawlFile, Selection
from keyapi_async.crawl.database import writing
from keyapi_async.crawl.store import query_key
from keyapi_async.sandbox.answers import to_json

ITEMS = 500_000
ITEMS_OF_A_LIST = 100
ROUNDS = 3
LISTS_OF_A_DAY = 250

_MB = 1024  # of the kilobytes that getrusage tells
_WANTED = "7"
_PLAIN, _EXPORT = "plain DuckDB, the same rows", "export to Parquet"


async def run() -> list[Table]:
    """Make a large crawl's file, and read it in every way."""
    with tempfile.TemporaryDirectory() as folder:
        _fill(Path(folder, "trends.sqlite"))
        CrawlFile(Path(folder, "trends.sqlite")).export(
            Path(folder, "rows.jsonl"), Selection(snapshot="all")
        )
        rounds = [{name: _measure(name, folder) for name in WAYS} for _ in range(ROUNDS)]
    cost = median([found[_EXPORT][0] / found[_PLAIN][0] for found in rounds])
    memory = max(found[_EXPORT][1] for found in rounds)
    return [
        Table(
            "stored",
            f"A crawl's file of {ITEMS:,} hashtags",
            ("", "s of CPU", "MB at most"),
            tuple(
                (
                    name,
                    median([each[name][0] for each in rounds]),
                    max(each[name][1] for each in rounds),
                )
                for name in WAYS
            ),
            notes=("Plain DuckDB reads the same items as JSON lines; a process each.",),
            goals=(
                Goal("export to Parquet / plain DuckDB, CPU", cost, 1.9),
                Goal("export to Parquet, MB", memory, 250),
            ),
        )
    ]


def _measure(name: str, folder: str) -> tuple[float, float]:
    command = [sys.executable, "-m", "benchmarks.stored", name, folder]
    cpu, memory = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return cpu, memory


def _fill(path: Path) -> None:
    items = [to_json(item) for item in json.loads(body("hashtags"))["data"]["list"]]
    lists = ITEMS // ITEMS_OF_A_LIST
    with writing(path, create=True) as db, db.transaction() as to:
        for number in range(LISTS_OF_A_DAY):
            endpoint, params = query_key(HashtagsQuery(region=f"R{number}"))
            to.execute("INSERT INTO queries VALUES (?, ?, ?, 1)", (number + 1, endpoint, params))
        for number in range(lists):
            day, place = divmod(number, LISTS_OF_A_DAY)
            if not place:
                at = f"2026-01-01 +{day} days"
                to.execute(
                    "INSERT INTO snapshots (id, started_at, options, day) VALUES "
                    "(?, 0, '{}', date('2026-01-01', ?))",
                    (day + 1, at.partition(" ")[2]),
                )
            to.execute(
                "INSERT INTO lists (id, snapshot, query, state, stop_reason, pages, items) "
                "VALUES (?, ?, ?, 'done', 'exhausted', 5, 100)",
                (number + 1, day + 1, place + 1),
            )
            for page in range(1, ITEMS_OF_A_LIST // PAGE_SIZE + 1):
                made = to.execute(
                    "INSERT INTO pages (list, page, retrieved_at, credits, status) "
                    "VALUES (?, ?, 1.7e9, 2, 'ok')",
                    (number + 1, page),
                )
                to.executemany(
                    "INSERT INTO items (list, page, position, item_id, json) "
                    "VALUES (?, ?, ?, ?, ?)",
                    (
                        (number + 1, made.lastrowid, i, str(page * PAGE_SIZE + i), item)
                        for i, item in enumerate(items[:PAGE_SIZE], 1)
                    ),
                )


def _export(folder: Path) -> None:
    CrawlFile(folder / "trends.sqlite").export(folder / "out.parquet", Selection(snapshot="all"))


def _plain(folder: Path) -> None:
    with duckdb.connect(config={"threads": 1}) as db:
        db.execute(
            f"COPY (SELECT * EXCLUDE (_keyapi) FROM read_json('{folder}/rows.jsonl', "
            f"format = 'newline_delimited')) TO '{folder}/plain.parquet' "
            "(FORMAT PARQUET, COMPRESSION ZSTD)"
        )


def _history(folder: Path) -> None:
    sql = (
        "SELECT day, rank, video_views FROM hashtags "
        f"WHERE item_id = '2{_WANTED}' AND query_region = 'R7' ORDER BY day"
    )
    with closing(sqlite3.connect(folder / "trends.sqlite")) as db:
        assert len(db.execute(sql).fetchall()) == ITEMS // ITEMS_OF_A_LIST // LISTS_OF_A_DAY


def _status(folder: Path) -> None:
    assert CrawlFile(folder / "trends.sqlite").status().items


WAYS: dict[str, Callable[[Path], None]] = {
    _PLAIN: _plain,
    _EXPORT: _export,
    "one item's history in one list": _history,
    "status": _status,
}


if __name__ == "__main__":
    began = time.process_time()
    WAYS[sys.argv[1]](Path(sys.argv[2]))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _MB
    print(json.dumps([time.process_time() - began, memory]))
