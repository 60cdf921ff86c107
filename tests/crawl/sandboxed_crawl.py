"""What the tests of crawls share: a client and its sandbox, a clock, a look into the file."""

from __future__ import annotations

import asyncio
import math
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from keyapi_async import KeyAPIClient, RetryPolicy
from keyapi_async.converter import filters
from keyapi_async.crawl import Crawl, CrawlFile, Plan, Progress, Summary, grid
from keyapi_async.crawl.database import Database
from keyapi_async.crawl.jobs import Batch, Job, Options, Outcome, make_entry
from keyapi_async.crawl.snapshots import Request, carry_out, decide
from keyapi_async.crawl.store import Store
from keyapi_async.models import Hashtag
from keyapi_async.queries import Query
from keyapi_async.raw import Source, attach
from keyapi_async.sandbox import Sandbox
from keyapi_async.sandbox.ledger import RecordedRequest
from keyapi_async.usage import Usage

FAIL_FAST = RetryPolicy(unavailable=0, maybe_billed=0, unsent=0)
TWO = grid("hashtags", region=["US", "GB"])
US, GB = TWO


@asynccontextmanager
async def opened(
    settings: dict[str, Any] | None = None, **options: Any
) -> AsyncIterator[tuple[KeyAPIClient, Sandbox]]:
    options = {"qps": math.inf, "retry": FAIL_FAST, **options}
    async with Sandbox(**settings or {}) as sandbox, sandbox.client(**options) as client:
        yield client, sandbox
    await no_task_left()


async def no_task_left() -> None:
    for _ in range(10):
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


def pages_asked(sandbox: Sandbox) -> list[int | None]:
    return [request.page for request in sandbox.requests]


def rows(path: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute(sql).fetchall()


def change(path: Path, sql: str) -> None:
    """Make time pass, or a process die, in the file."""
    with closing(sqlite3.connect(path)) as db:
        db.execute(sql)
        db.commit()


def content(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as db:
        return list(db.iterdump())


def folder(path: Path) -> dict[str, bytes]:
    """Every file of a folder, byte for byte."""
    return {each.name: each.read_bytes() for each in path.iterdir()}


def compare_items(plan: Plan, sandbox: Sandbox, *files: Path) -> None:
    """Every list is stored once, in one of the files, as the server has it."""
    found: dict[Query[Any], list[str]] = {}
    for file in files:
        records = CrawlFile(file).records(*{query.name for query in plan})
        part: dict[Query[Any], list[str]] = {}
        for record in records:
            part.setdefault(record.query, []).append(record.query.id_of(record.item))
        assert not found.keys() & part
        found |= part
    for query in plan:
        wire = {name: text for name, text in filters(query).items() if name != "limit"}
        expected = sandbox.items(query.name, **wire)
        assert found[query] == [item[query.item_key] for item in expected]


class Tripwire(list[RecordedRequest]):
    """A sandbox's book of requests; an entry in it sets something off, in the server's thread."""

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(sandbox.requests)
        sandbox._ledger.requests = self
        self._wire: tuple[int, Callable[[], object]] | None = None

    def set(self, count: int, action: Callable[[], object]) -> None:
        """Set the action off with the request after so many more."""
        self._wire = (len(self) + count, action)

    def append(self, record: RecordedRequest) -> None:
        super().append(record)
        if self._wire is not None and len(self) >= self._wire[0]:
            (_, action), self._wire = self._wire, None
            action()


class WallClock:
    """A clock that is set, and then goes with the event loop's."""

    def set(self, moment: str) -> None:
        """Set it to a moment in UTC, such as `2026-02-01 06:00`."""
        self._loop_time = asyncio.get_running_loop().time
        at = datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp()
        self._ahead = at - self._loop_time()

    def __call__(self) -> float:
        return self._ahead + self._loop_time()


def make_crawl(
    clock: WallClock,
    client: KeyAPIClient,
    plan: Iterable[Query[Any]] | None,
    path: Path,
    **options: Any,
) -> Crawl:
    made = Crawl(client, plan, path, **options)
    made._clock = clock
    return made


async def crawl_at(
    clock: WallClock,
    path: Path,
    client: KeyAPIClient,
    plan: Iterable[Query[Any]] | None = None,
    **options: Any,
) -> tuple[Summary, Progress]:
    """Crawl at the time of a clock; the summary, and the progress at the end."""
    made = make_crawl(clock, client, plan, path, **options)
    return await made.run(), made.status()


def begin(db: Database, plan: Plan = TWO, **options: Any) -> Store:
    """A run on the newest snapshot, or a new one."""
    decision = decide(db, Request(plan=plan, options=Options(**options)), 1e9)
    return Store(db, carry_out(db, decision), decision.options, Usage(), in_hand=2)


def write(store: Store, outcomes: Iterable[Outcome], usage: Usage) -> list[int]:
    """Store outcomes as a sink does."""
    return store.write([make_entry(outcome, store.options) for outcome in outcomes], usage)


def hashtag(number: int, position: int, **fields: Any) -> Hashtag:
    raw = {"hashtag_id": str(number), "hashtag_name": f"tag{number}", **fields}
    made = Hashtag(hashtag_id=str(number), hashtag_name=f"tag{number}")
    attach(made, Source({"list": [raw] * position}, "list"), position - 1)
    return made


def make_batch(job: Job, number: int, count: int = 20, **fields: Any) -> Batch:
    """One page of hashtags."""
    items = tuple(hashtag(number * 100 + place, place, **fields) for place in range(1, count + 1))
    return Batch(
        job=job, page=number, items=items, next_page=number + 1, retrieved_at=1.0, request_id="r"
    )
