"""What the tests of exports share: a crawl of two days, and a look into what was made of it."""

from __future__ import annotations

import asyncio
import io
import json
import math
import sqlite3
import tempfile
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import duckdb

from keyapi_async.crawl import CrawlFile, Selection, crawl_to, grid
from keyapi_async.sandbox import Sandbox

BEGUN = 1770000000  # 2026-02-02 02:40 UTC
DAY = 86400
COUNTS = {"hashtags": 120, "hashtag_detail": 4, "videos": 60, "music": 60, "music_detail": 2}
"""Items of each endpoint in each of the two snapshots."""
ALL = sum(COUNTS.values())

_PLAN = (
    grid("hashtags", region=["US", "GB"], period=30) + grid("videos") + grid("music", region="GB")
)


@cache
def _crawl() -> bytes:
    async def fill(file: Path) -> None:
        async with Sandbox() as sandbox, sandbox.client(qps=math.inf) as client:
            for _ in range(2):
                await crawl_to(file, client, _PLAN, max_items=60, details=2, fresh_within=0)

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "trends.sqlite")
        asyncio.run(fill(file))
        change(
            file,
            f"UPDATE snapshots SET started_at = {BEGUN + DAY} + {DAY} * (id - 1)",
            "UPDATE snapshots SET day = '2026-02-0' || (id + 2)",
            f"UPDATE pages SET retrieved_at = {BEGUN + 5} + {DAY} * "
            "(SELECT snapshot FROM lists WHERE lists.id = list)",
        )
        return file.read_bytes()


def write_crawl(file: Path) -> Path:
    """Write the file of a crawl: two snapshots, of 2026-02-03 and 2026-02-04, equal and whole."""
    file.write_bytes(_crawl())
    return file


def change(file: Path, *statements: str) -> None:
    """Change a crawl's file by hand."""
    with closing(sqlite3.connect(file)) as db:
        for statement in statements:
            db.execute(statement)
        db.commit()


def put(file: Path, item: str | bytes, endpoint: str = "hashtags") -> None:
    """Let the first item of an endpoint in the newest snapshot be another."""
    with closing(sqlite3.connect(file)) as db:
        changed = db.execute(
            "UPDATE items SET json = CAST(? AS TEXT) WHERE id = (SELECT min(i.id) FROM items i "
            "JOIN lists l ON l.id = i.list JOIN queries q ON q.id = l.query "
            "WHERE l.snapshot = 2 AND q.endpoint = ?)",
            [item, endpoint],
        )
        assert changed.rowcount == 1
        db.commit()


def lines(file: Path, **selection: Any) -> list[dict[str, Any]]:
    """The items as JSON lines have them."""
    stream = io.StringIO()
    (exported,) = CrawlFile(file).export(stream, Selection(**selection))
    found = [json.loads(line) for line in stream.getvalue().split("\n")[:-1]]
    assert exported.items == len(found)
    return found


def query(sql: str, database: Path | str = ":memory:") -> list[Any]:
    """Ask DuckDB."""
    with duckdb.connect(str(database)) as db:
        return db.execute(sql).fetchall()


def table(sql: str, database: Path | str = ":memory:") -> list[dict[str, Any]]:
    """Ask DuckDB; rows by the names of their columns."""
    with duckdb.connect(str(database)) as db:
        found = db.execute(sql)
        names = [column[0] for column in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def names(folder: Path) -> list[str]:
    """What is in a folder."""
    return sorted(path.name for path in folder.iterdir())
