"""A crawl beside the script that an expert would write for it: CPU of a page, nothing paced.

The scripts do the least that gives the same rows: no retries, limits, types, or going on after a
stop.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from keyapi_async.queries import ListQuery

ROUNDS = 15
LISTS = 64
PAGES = 10
BATCH = 1000  # rows of a transaction

_STORED, _STREAMED, _PAGERS = "stored", "streamed", "pagers"
_SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
CREATE TABLE items (
    region TEXT NOT NULL, page INTEGER NOT NULL, position INTEGER NOT NULL,
    item_id TEXT NOT NULL, json TEXT NOT NULL, PRIMARY KEY (region, item_id)
);
"""
_INSERT = "INSERT OR IGNORE INTO items VALUES (?, ?, ?, ?, ?)"


class Script:
    """What an expert would write, with aiohttp, orjson and executemany.

    Args:
        url: The server.
        query: The kind of list.
        regions: Their regions.
    """

    def __init__(self, url: str, query: type[ListQuery[Any]], regions: list[str]) -> None:
        self._url = url + query.path
        self._items, self._id = query.data_key, query.item_key
        self._regions = regions

    async def stream(self) -> int:
        """Every item of every list, as a dict."""
        found = 0

        async def follow(http: aiohttp.ClientSession, region: str) -> None:
            nonlocal found
            async for _, data in self._pages(http, region):
                for _ in data[self._items]:
                    found += 1

        await self._side_by_side(follow)
        return found

    async def store(self, path: Path) -> int:
        """The same into a table, a transaction for each batch of rows."""
        rows: list[tuple[str, int, int, str, str]] = []
        with closing(sqlite3.connect(path)) as db:
            db.executescript(_SCHEMA)

            def write() -> None:
                with db:
                    db.executemany(_INSERT, rows)
                rows.clear()

            async def follow(http: aiohttp.ClientSession, region: str) -> None:
                async for page, data in self._pages(http, region):
                    rows.extend(
                        (region, page, position, item[self._id], orjson.dumps(item).decode())
                        for position, item in enumerate(data[self._items], 1)
                    )
                    if len(rows) >= BATCH:
                        write()

            await self._side_by_side(follow)
            write()
            (found,) = db.execute("SELECT count(*) FROM items").fetchone()
        return int(found)

    async def _pages(
        self, http: aiohttp.ClientSession, region: str
    ) -> AsyncIterator[tuple[int, Any]]:
        page, has_more = 1, True
        while has_more:
            params = {"region": region, "period": "7", "limit": "20", "page": str(page)}
            async with http.get(self._url, params=params) as response:
                response.raise_for_status()
                answer = orjson.loads(await response.read())
            if answer["code"] != 0:
                raise RuntimeError(answer["message"])
            yield page, answer["data"]
            page, has_more = page + 1, answer["data"]["pagination"]["has_more"]

    async def _side_by_side(
        self, follow: Callable[[aiohttp.ClientSession, str], Awaitable[None]]
    ) -> None:
        headers = {"Authorization": "Bearer a-key"}
        async with (
            aiohttp.ClientSession(headers=headers) as http,
            asyncio.TaskGroup() as group,
        ):
            for region in self._regions:
                group.create_task(_await(follow(http, region)))


async def _await(work: Awaitable[None]) -> None:
    await work
