"""A crawl that is killed over and over ends as one that nobody disturbed."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from crawls import query_json

from keyapi_async.converter import wire_params
from keyapi_async.crawl import grid
from keyapi_async.crawl.plan import endpoint_of
from keyapi_async.crawl.store import query_key
from keyapi_async.queries import Query
from keyapi_async.sandbox import Fault, RecordedRequest, Sandbox

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")

REGIONS = ["US", "GB", "DE", "FR"]
PLAN = (
    grid("videos", region=REGIONS)  # 4 x 25 pages
    + grid("hashtags", region=REGIONS, period=[7, 30, 120])  # 12 x 5
    + grid("hashtags", region=["BR", "JP"], period=[7, 30, 120])  # 6 x 5
    + grid("music", region=[*REGIONS, "BR", "JP", "KR", "MX"], period=[7, 30])  # 16 x 5
    + grid("music", region=["IT", "ES"], period=[7, 30, 120])  # 6 x 5
)
PAGES = 300
WORKERS = 8
KILLS = 20
FAULTS = [Fault.status(500), Fault.html(502), Fault.reset(), Fault.disconnect()]

CHILD = """
import asyncio, sys
from keyapi_async import KeyAPIClient, RetryPolicy
from keyapi_async.crawl import crawl_to, read_plan

async def main():
    patient = RetryPolicy(backoff=0.001, maybe_billed=9, unavailable=9)
    async with KeyAPIClient(qps=float("inf"), retry=patient) as client:
        with open(sys.argv[2]) as lines:
            await crawl_to(sys.argv[1], client, read_plan(lines), concurrency=int(sys.argv[3]))

asyncio.run(main())
"""


class Tripwire(list[RecordedRequest]):
    """The sandbox's book of requests; at the n-th entry it kills who sent it."""

    victim: subprocess.Popen[bytes] | None = None
    at = 0

    def append(self, record: RecordedRequest) -> None:
        super().append(record)
        if self.victim is not None and len(self) >= self.at:
            self.victim.send_signal(signal.SIGKILL)
            self.victim = None


def test_twenty_kills_change_nothing(tmp_path: Path) -> None:
    rng = random.Random(5)
    file, plan = tmp_path / "trends.sqlite", tmp_path / "plan.jsonl"
    plan.write_text("".join(f"{line}\n" for line in map(query_json, PLAN)))
    with Sandbox(faults=FAULTS, fault_rate=0.1, seed=5) as sandbox:
        book = sandbox._ledger.requests = Tripwire()
        for kill in range(1, KILLS + 1):
            process = _start(sandbox, file, plan)
            book.at = len(book) + rng.randint(3, 16)
            book.victim = process
            assert process.wait() == -signal.SIGKILL
            # Whatever was paid for but not stored was under way when it was killed.
            assert sandbox.credits_spent // 2 - _stored(file) <= kill * WORKERS
        process = _start(sandbox, file, plan)
        assert process.wait() == 0
        assert _stored(file) == PAGES
        assert PAGES <= sandbox.credits_spent // 2 <= PAGES + KILLS * WORKERS
        for query in PLAN:
            wire = {k: v for k, v in wire_params(query).items() if k not in ("page", "limit")}
            expected = sandbox.items(endpoint_of(query), **wire)
            assert _items(file, query) == [item[query.item_key] for item in expected]


def _start(sandbox: Sandbox, file: Path, plan: Path) -> subprocess.Popen[bytes]:
    keys = {"KEYAPI_TOKEN": sandbox.api_key, "KEYAPI_BASE_URL": sandbox.url}
    command = [sys.executable, "-c", CHILD, str(file), str(plan), str(WORKERS)]
    return subprocess.Popen(command, env={**os.environ, **keys})


def _stored(file: Path) -> int:
    if not file.exists() or not file.stat().st_size:
        return 0
    with closing(sqlite3.connect(file)) as db:
        (count,) = db.execute("SELECT count(*) FROM pages WHERE status = 'ok'").fetchone()
        return int(count)


def _items(file: Path, query: Query) -> list[str]:
    with closing(sqlite3.connect(file)) as db:
        rows = db.execute(
            "SELECT i.item_id FROM items i JOIN lists l ON l.id = i.list JOIN queries q "
            "ON q.id = l.query WHERE q.endpoint = ? AND q.params = ? ORDER BY i.id",
            query_key(query),
        )
        return [item_id for (item_id,) in rows]
