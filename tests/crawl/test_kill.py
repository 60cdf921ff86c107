"""A crawl that is killed over and over ends as one that nobody disturbed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from keyapi_async.crawl import CrawlFile, Plan, StoreError, grid, query_json
from keyapi_async.sandbox import Fault, Sandbox
from tests.crawl.sandboxed_crawl import Tripwire, compare_items, rows

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
FAULTS = [Fault.status(500), Fault.html(502), Fault.reset(), Fault.disconnect()]

CHILD = """
import asyncio, json, sys
from keyapi_async import KeyAPIClient, RetryPolicy
from keyapi_async.crawl import crawl_to, read_plan

async def main(file, plan, options, retry):
    async with KeyAPIClient(qps=float("inf"), retry=RetryPolicy(**json.loads(retry))) as client:
        with open(plan) as lines:
            await crawl_to(file, client, read_plan(lines), **json.loads(options))

asyncio.run(main(*sys.argv[1:]))
"""
PATIENT = {"backoff": 0.001, "maybe_billed": 9, "unavailable": 9}


def crawl_and_kill(
    kills: int, sandbox: Sandbox, file: Path, plan: Plan, retry: Any, **options: Any
) -> None:
    """Crawl, be killed that many times, and crawl to the end."""
    rng = random.Random(5)
    plan_file = file.with_suffix(".jsonl")
    plan_file.write_text("".join(f"{line}\n" for line in map(query_json, plan)))
    command = [sys.executable, "-c", CHILD, str(file), str(plan_file)]
    command += [json.dumps(options), json.dumps(retry)]
    keys = {"KEYAPI_TOKEN": sandbox.api_key, "KEYAPI_BASE_URL": sandbox.url}
    book = Tripwire(sandbox)
    for _ in range(kills):
        process = subprocess.Popen(command, env={**os.environ, **keys})
        book.set(rng.randint(3, 24), process.kill)
        assert process.wait() == -signal.SIGKILL
        compare_books(file, sandbox)
    assert subprocess.run(command, env={**os.environ, **keys}, check=False).returncode == 0
    compare_books(file, sandbox)


def compare_books(file: Path, sandbox: Sandbox) -> None:
    """What the file says was spent, and may have been, against what the server billed."""
    try:
        summary = CrawlFile(file).status()
    except StoreError:  # killed before there was anything in it
        assert sandbox.credits_spent == 0
        return
    spent = summary.credits_spent
    assert spent <= sandbox.credits_spent <= spent + summary.credits_at_risk


@pytest.mark.slow
def test_twenty_kills_change_nothing(file: Path) -> None:
    with Sandbox(faults=FAULTS, fault_rate=0.1, seed=5) as sandbox:
        crawl_and_kill(20, sandbox, file, PLAN, PATIENT, concurrency=WORKERS)
        assert rows(file, "SELECT count(*) FROM pages WHERE status = 'ok'") == [(PAGES,)]
        # Whatever was paid for but not stored was under way when it was killed.
        assert PAGES <= sandbox.credits_spent // 2 <= PAGES + 20 * WORKERS
        compare_items(PLAN, sandbox, file)


@pytest.mark.slow
def test_a_kill_among_details(file: Path) -> None:
    plan = grid("hashtags")
    # Failures are billed, too; the usual retries are so far apart that the file knows of them.
    with Sandbox(faults=FAULTS, fault_rate=0.03, bill_faults=True, latency=0.01) as sandbox:
        crawl_and_kill(2, sandbox, file, plan, {}, concurrency=WORKERS, details="all")
        assert CrawlFile(file).status().items == 200
        compare_items(plan, sandbox, file)
