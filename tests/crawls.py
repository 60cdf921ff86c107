"""What the tests of crawls share: a client and its sandbox, and a look into the file."""

from __future__ import annotations

import asyncio
import json
import math
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

from keyapi_async import KeyAPIClient, RetryPolicy
from keyapi_async.converter import wire_params
from keyapi_async.crawl.plan import endpoint_of
from keyapi_async.queries import Query
from keyapi_async.sandbox import Sandbox

FAIL_FAST = RetryPolicy(unavailable=0, maybe_billed=0, unsent=0)


@asynccontextmanager
async def opened(
    settings: dict[str, Any] | None = None, **options: Any
) -> AsyncIterator[tuple[KeyAPIClient, Sandbox]]:
    options = {"qps": math.inf, "retry": FAIL_FAST, **options}
    async with Sandbox(**settings or {}) as sandbox, sandbox.client(**options) as client:
        yield client, sandbox
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


def query_json(query: Query) -> str:
    """A query as a line for `read_plan`."""
    return json.dumps({"endpoint": endpoint_of(query), **wire_params(query)}, ensure_ascii=False)
