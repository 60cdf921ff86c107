"""A crawl beside the script that an expert would write for it: CPU of a page, nothing paced.

The scripts do the least that gives the same rows: no retries, limits, types, or going on after a
stop.
"""

from __future__ import annotations

import asyncio
import gc
import math
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import attrs
import orjson

from benchmarks.bodies import PAGE_SIZE
from benchmarks.measure import Rounds, median, ratio, spread
from benchmarks.report import Goal, Table
from benchmarks.server import serving
from keyapi_async import KeyAPIClient
from keyapi_async.converter import wire_params
from keyapi_async.crawl import crawl, crawl_to, grid
from keyapi_async.pages import page_from
from keyapi_async.protocol import Response, decode
from keyapi_async.queries import HashtagsQuery, ListQuery, VideosQuery
from keyapi_async.transport import Attempt, Transport

ROUNDS = 7
LISTS = 64
PAGES = 25
BATCH = 1000  # rows of a transaction
FAST: list[tuple[type[ListQuery[Any]], int, float]] = [
    (HashtagsQuery, LISTS, math.inf),
    (HashtagsQuery, 8 * LISTS, math.inf),
    (HashtagsQuery, 8 * LISTS, 1000),
    (VideosQuery, 8 * LISTS, 1000),
]

_SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
CREATE TABLE items (
    region TEXT NOT NULL, page INTEGER NOT NULL, position INTEGER NOT NULL,
    item_id TEXT NOT NULL, json TEXT NOT NULL, PRIMARY KEY (region, item_id)
);
"""
_INSERT = "INSERT OR IGNORE INTO items VALUES (?, ?, ?, ?, ?)"


async def run() -> list[Table]:
    """Measure each kind of list, stored and streamed, and how busy an unpaced crawl is."""
    tables = [await _compare(kind) for kind in (HashtagsQuery, VideosQuery)]
    return [*tables, await _saturate()]


async def _compare(kind: type[ListQuery[Any]]) -> Table:
    found: Rounds = {}
    with serving(pages=PAGES) as server, tempfile.TemporaryDirectory() as folder:
        regions = [f"R{number}" for number in range(LISTS)]
        script, ours = Script(server.url, kind, regions), Ours(server.url, kind, regions)
        contenders: dict[str, Callable[[Path], Awaitable[int]]] = {
            "stored by hand": script.store,
            "Crawl": ours.store,
            "streamed by hand": script.stream,
            "pages alone": ours.fetch,
            "crawl()": ours.stream,
            "pagers": ours.page,
        }
        for number in range(ROUNDS + 1):
            for name, work in contenders.items():
                gc.collect()
                began = time.process_time()
                items = await work(Path(folder, f"{name}{number}.sqlite"))
                assert items == LISTS * PAGES * PAGE_SIZE
                if number:  # the first is to warm up
                    cost = (time.process_time() - began) / LISTS / PAGES * 1e6
                    found.setdefault(name, []).append(cost)
    base = dict.fromkeys(found, "streamed by hand")
    base |= {"Crawl": "stored by hand", "stored by hand": "stored by hand"}
    ratios = {name: ratio(found, name, base[name]) for name in found}
    return Table(
        f"by_hand_{kind.name}",
        f"A page of 20 {kind.noun}s, {LISTS} lists side by side, beside a script by hand",
        ("", "us of CPU (median)", "± %", "x by hand"),
        tuple((name, median(costs), spread(costs), ratios[name]) for name, costs in found.items()),
        notes=("Pages alone: our attempts and typed pages, unpaced, uncounted and never retried.",),
        goals=(
            Goal(f"{kind.name}: stored / by hand", ratios["Crawl"], 1.35),
            Goal(f"{kind.name}: pagers / by hand", ratios["pagers"], 1.25),
            Goal(f"{kind.name}: crawl() / by hand", ratios["crawl()"], 1.25),
        ),
    )


async def _saturate() -> Table:
    rows: list[tuple[str, float, float, float]] = []
    for kind, lists, qps in FAST:
        regions = [f"R{number}" for number in range(lists)]
        with serving(pages=PAGES) as server, tempfile.TemporaryDirectory() as folder:
            ours = Ours(server.url, kind, regions, qps)
            before, began, cpu = _waited(), time.perf_counter(), time.process_time()
            await ours.store(Path(folder, "trends.sqlite"))
            seconds = time.perf_counter() - began
            used = time.process_time() - cpu
            wanted = used + _waited() - before
            stats = server.stats()
        name = f"{kind.name}, {lists} lists" + (f", {qps:g}/s" if qps < math.inf else "")
        rows.append((name, stats.rate, 100 * used / seconds, 100 * wanted / seconds))
    return Table(
        "fast_crawl",
        "A crawl into a file without a pace, and with one that is hard to reach: what limits it",
        ("", "pages/s at the server", "% of a core", "% of a core it wanted"),
        tuple(rows),
        notes=("Wanted: used, or waited for while other processes had the cores (Linux).",),
        goals=(Goal("videos stored: 1,000/s / pages/s", 1000 / rows[-1][1], 1 / 0.95),),
    )


def _waited() -> float:
    """Seconds that the main thread was ready to run, and others had the cores."""
    return int(Path("/proc/self/schedstat").read_text().split()[1]) / 1e9


class Ours:
    """The same with this package.

    Args:
        url: The server.
        query: The kind of list.
        regions: Their regions.
        qps: The pace.
    """

    def __init__(
        self, url: str, query: type[ListQuery[Any]], regions: list[str], qps: float = math.inf
    ) -> None:
        self._url = url
        self._plan = grid(query.name, region=regions)
        self._lists = [query for query in self._plan if isinstance(query, ListQuery)]
        self._make = partial(KeyAPIClient, "a-key", base_url=url, qps=qps)

    async def store(self, path: Path) -> int:
        """Into a crawl's file."""
        async with self._make() as client:
            return (await crawl_to(path, client, self._plan)).items

    async def stream(self, _: Path) -> int:
        """By `crawl`."""
        async with self._make() as client:
            return sum([1 async for _ in crawl(client, self._plan)])

    async def page(self, _: Path) -> int:
        """By a pager for each list."""
        async with self._make() as client:

            async def follow(query: ListQuery[Any]) -> int:
                return sum([1 async for _ in client.trending.iterate(query)])

            return sum(await asyncio.gather(*map(follow, self._lists)))

    async def fetch(self, _: Path) -> int:
        """By attempts made into pages, and nothing else: what is left is the client's work."""
        transport = Transport(api_key="a-key", base_url=self._url, http=None, trace_configs=[])

        async def follow(query: ListQuery[Any]) -> int:
            found, has_more = 0, True
            while has_more:
                params = urlencode(wire_params(query))
                received = await Attempt(transport).send(f"{query.path}?{params}", 30)
                assert isinstance(received, Response)
                page = page_from(decode(received, query.shape), query)
                for _item in page.items:
                    found += 1
                query, has_more = attrs.evolve(query, page=query.page + 1), page.has_more
            return found

        try:
            return sum(await asyncio.gather(*map(follow, self._lists)))
        finally:
            await transport.close()


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

    async def stream(self, _: Path) -> int:
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
        async with aiohttp.ClientSession(headers={"Authorization": "Bearer a-key"}) as http:
            await asyncio.gather(*(follow(http, region) for region in self._regions))
