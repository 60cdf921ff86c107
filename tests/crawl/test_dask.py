"""A crawl on a Dask cluster: the workers of most tests are threads of this process."""

from __future__ import annotations

import asyncio
import importlib
import math
import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import dask
import pytest
from distributed import Client, LocalCluster

from keyapi_async import (
    AuthenticationError,
    ConfigurationError,
    ParameterError,
    PermissionDeniedError,
)
from keyapi_async.crawl import CrawlFile, Summary, grid, query_json, take_shard
from keyapi_async.crawl import dask as crawl_dask
from keyapi_async.crawl.dask import crawl_on_dask
from keyapi_async.crawl.database import LockedError, writing
from keyapi_async.sandbox import Fault, Sandbox
from tests.crawl.sandboxed_crawl import Tripwire, compare_items, rows

pytestmark = pytest.mark.slow

PLAN = grid("hashtags", region=["US", "GB", "DE", "FR", "BR", "JP"], period=[7, 30, 120])
PAGES = 18 * 5


@contextmanager
def start_cluster(tmp_path: Path, **options: Any) -> Iterator[LocalCluster]:
    usual = {"threads_per_worker": 1, "processes": False, "dashboard_address": ":0"}
    settings = {
        "temporary-directory": str(tmp_path / "dask"),
        "distributed.scheduler.allowed-failures": 99,
        "distributed.deploy.lost-worker-timeout": "1 hour",  # for a worker to be started anew
    }
    with dask.config.set(settings), LocalCluster(**{**usual, **options}) as cluster:
        yield cluster


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """The client of a cluster with two workers, which have no time to lose."""
    monkeypatch.setattr(crawl_dask, "TICK", 0.1)
    with start_cluster(tmp_path, n_workers=2) as cluster, Client(cluster) as client:
        yield client


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """The folder for the files."""
    made = tmp_path / "parts"
    made.mkdir()
    return made


def crawl(client: Client, sandbox: Sandbox, parts: Path, **options: Any) -> tuple[Summary, ...]:
    usual = {"keys": [sandbox.api_key], "shards": 2, "qps": math.inf, "base_url": sandbox.url}
    return crawl_on_dask(client, PLAN, parts, **{**usual, **options})


def files(parts: Path) -> list[Path]:
    return sorted(parts.glob("*.sqlite"))


def test_parts_are_crawled_once(client: Client, parts: Path) -> None:
    seen: list[tuple[int, int]] = []

    def note(done: int, lists: int) -> None:
        seen.append((done, lists))
        # What the parts of an earlier run may still send, whose caller was killed.
        client.log_event(f"keyapi-crawl {parts}", ("another-task", 5, 5, True))

    with Sandbox(latency=0.02) as sandbox:
        made = crawl(client, sandbox, parts, on_progress=note)
        again = crawl(client, sandbox, parts, shards=None)  # as many as there are files
        assert sandbox.credits_spent == 2 * PAGES
        assert made == again
        compare_items(PLAN, sandbox, *files(parts))
    assert [each.name for each in files(parts)] == ["part-1-of-2.sqlite", "part-2-of-2.sqlite"]
    sizes = [len(take_shard(PLAN, (number, 2))) for number in (1, 2)]
    assert [(one.done, one.complete, one.runs) for one in made] == [
        (size, True, 1) for size in sizes
    ]
    assert seen[-1] == (18, 18)
    assert {lists for _, lists in seen} == {18}


def test_a_part_without_a_list(client: Client, parts: Path) -> None:
    plan = grid("hashtags")
    with Sandbox() as sandbox:
        usual = {"qps": math.inf, "base_url": sandbox.url, "keys": [sandbox.api_key]}
        made = crawl_on_dask(client, plan, parts, shards=3, **usual)
    assert sorted(one.queries for one in made) == [0, 0, 1]
    assert all(one.complete for one in made)


def test_options_are_those_of_a_crawl(client: Client, parts: Path) -> None:
    with Sandbox() as sandbox:
        for _ in range(2):
            crawl(client, sandbox, parts, max_items=3, details=1, fresh_within=0)
        assert sandbox.credits_spent == 2 * 2 * (18 + 18)
    assert [len(CrawlFile(each).snapshots()) for each in files(parts)] == [2, 2]


@pytest.mark.parametrize("keys", [None, ["key"], ["key"] * 3])
def test_shards_follow_keys_else_workers(
    client: Client, parts: Path, keys: list[str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEYAPI_TOKEN", "key")
    with Sandbox(api_key="key") as sandbox:
        monkeypatch.setenv("KEYAPI_BASE_URL", sandbox.url)
        made = crawl_on_dask(client, PLAN, str(parts), keys=keys, qps=math.inf)
        assert len(made) == len(files(parts)) == len(keys or "ab")
        assert sandbox.credits_spent == 2 * PAGES


def test_keys_are_dealt_out_in_turn_and_stay_hidden(
    client: Client, parts: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keys, seen = ["first-key", "wrong-key"], []

    def dump(*_: int) -> None:
        client.dump_cluster_state(str(tmp_path / "dump"), format="yaml")
        seen.append((tmp_path / "dump.yaml").read_text())

    with Sandbox(api_key=keys[0], latency=0.05) as sandbox:
        with pytest.raises(AuthenticationError) as raised:
            crawl(client, sandbox, parts, shards=3, keys=keys, keep_going=True, on_progress=dump)
        assert raised.value.__notes__ == [f"This ended {parts / 'part-2-of-3.sqlite'}."]
        lists = [len(take_shard(PLAN, (number, 3))) for number in (1, 2, 3)]
        assert sandbox.credits_spent == 2 * 5 * (lists[0] + lists[2])
    assert [CrawlFile(each).status().done for each in files(parts)] == [lists[0], 0, lists[2]]
    seen += [str(client.get_worker_logs()), str(client.get_scheduler_logs()), caplog.text]
    assert "keyapi-crawl-" in seen[0]
    assert "Compute Failed" in seen[-1]
    assert not [key for key in keys for text in [*seen, repr(raised.value)] if key in text]


def test_parts_with_one_key_share_its_pace(client: Client, parts: Path) -> None:
    with Sandbox(qps=40) as sandbox:
        crawl(client, sandbox, parts, qps=30, share=f"file:{parts.parent / 'pace'}")
        assert sandbox.refused == 0
        assert sandbox.credits_spent == 2 * PAGES


# -- what ends it early ------------------------------------------------------------------------


def test_an_error_stops_the_other_parts(client: Client, parts: Path) -> None:
    with Sandbox(latency=0.05) as sandbox:
        sandbox.fail(Fault.status(403))
        with pytest.raises(PermissionDeniedError) as raised:
            crawl(client, sandbox, parts, concurrency=1)
        assert "-of-2.sqlite" in raised.value.__notes__[0]
        check_stopped(client, sandbox, parts)


def test_an_interrupt_stops_all_parts(client: Client, parts: Path) -> None:
    def interrupt(*_: int) -> None:
        if sandbox.requests:
            raise KeyboardInterrupt

    with Sandbox(latency=0.05) as sandbox:
        with pytest.raises(KeyboardInterrupt):
            crawl(client, sandbox, parts, concurrency=1, on_progress=interrupt)
        check_stopped(client, sandbox, parts)


def wait_for_threads(client: Client) -> None:
    """Wait until the only thread of each worker is free."""
    for worker in client.run(os.getpid):
        client.submit(int, workers=[worker], pure=False).result(10)


def check_stopped(client: Client, sandbox: Sandbox, parts: Path) -> None:
    """No part runs, what was paid is stored, and the rest is fetched."""
    for each in files(parts):
        with writing(each, create=False):
            assert CrawlFile(each).status().finished_at is None
    assert 0 < sandbox.credits_spent < 2 * PAGES
    stored = sum(CrawlFile(each).status().credits_spent for each in files(parts))
    assert sandbox.credits_spent == stored
    crawl(client, sandbox, parts, retry_failed=True)
    assert sandbox.credits_spent == 2 * PAGES
    compare_items(PLAN, sandbox, *files(parts))


def retire(client: Client, worker: str) -> None:
    client.retire_workers([worker])


def give_up(client: Client, worker: str) -> None:
    async def remove(dask_scheduler: Any) -> None:
        await dask_scheduler.remove_worker(worker, stimulus_id="test", close=False)

    client.run_on_scheduler(remove)


@pytest.mark.parametrize("lose", [retire, give_up])
def test_a_lost_worker_that_lives_hands_its_part_on(
    client: Client, parts: Path, lose: Callable[[Client, str], None]
) -> None:
    workers = list(client.run(os.getpid))

    def lose_one(*_: int) -> None:
        if sandbox.requests and len(workers) == 2:
            lose(client, workers.pop())

    with Sandbox(latency=0.1) as sandbox:  # so slow that the part isn't done by then
        made = crawl(client, sandbox, parts, concurrency=1, on_progress=lose_one)
        assert sorted(one.runs for one in made) == [1, 2]
        assert sandbox.credits_spent == 2 * PAGES
        compare_items(PLAN, sandbox, *files(parts))


def test_a_file_in_use_is_waited_for(
    client: Client, parts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as lock, Sandbox() as sandbox:
        lock.enter_context(writing(parts / "part-2-of-2.sqlite", create=True))
        monkeypatch.setattr(crawl_dask, "LOCK_WAIT", 0)
        with pytest.raises(LockedError, match="another crawl is running"):
            crawl(client, sandbox, parts)
        monkeypatch.undo()
        made = crawl(client, sandbox, parts, on_progress=lambda *_: lock.close())
    assert all(one.complete for one in made)


def test_a_part_that_waits_for_its_file_can_be_stopped(client: Client, parts: Path) -> None:
    def interrupt(done: int, _: int) -> None:
        if done:
            raise KeyboardInterrupt

    with Sandbox() as sandbox, writing(parts / "part-2-of-2.sqlite", create=True):
        with pytest.raises(KeyboardInterrupt):
            crawl(client, sandbox, parts, on_progress=interrupt)
        wait_for_threads(client)


# -- bad input ---------------------------------------------------------------------------------


BAD: list[tuple[dict[str, Any], str]] = [
    ({"shards": 0}, "shards must be a whole number of at least 1, not 0"),
    ({"shards": 2.5}, "shards must be a whole number"),
    ({"shard": (1, 2)}, "shard must be left out"),
    ({"keys": []}, "keys must be a list of API keys"),
    ({"keys": "secret"}, "keys must be a list of API keys, none of them empty,.* not 'str'"),
    ({"keys": ["secret", " "]}, "keys must be a list of API keys"),
    ({"keys": ["secret\n2"]}, "the API key has characters that no header can hold"),
    ({"qps": 0}, "qps must be a number"),
    ({"base_url": "http://example.com"}, "http:// would send the key in the clear"),
    ({"folder": None}, "folder must be the name of a folder that all workers see, not None"),
    ({"folder": ""}, "folder must be"),
    ({"folder": "/nowhere/at/all"}, "folder must be a folder that all workers see; inproc:.* has"),
    ({"plan": ()}, "plan must be of at least one query"),
    ({"plan": ["hashtags"]}, "query 1 of the plan must be a query"),
    ({"daily": "Mars"}, "daily must be"),
    ({"concurrency": 0}, "concurrency must be"),
    ({"wait_outage": -1}, "wait_outage must be"),
    ({"dask_client": None}, "dask_client must be a distributed.Client"),
]


@pytest.mark.parametrize(("bad", "message"), BAD, ids=lambda value: str(value)[:40])
def test_bad_input(client: Client, parts: Path, bad: dict[str, Any], message: str) -> None:
    usual = {"dask_client": client, "plan": PLAN, "folder": parts}
    with pytest.raises((ParameterError, ConfigurationError), match=message) as raised:
        crawl_on_dask(**{**usual, **bad})
    assert "secret" not in str(raised.value)
    assert not client.futures
    assert not list(parts.iterdir())


def test_a_client_that_cannot_be_used(tmp_path: Path, parts: Path) -> None:
    async def pass_an_asynchronous_one(address: str) -> None:
        async with Client(address, asynchronous=True) as client:
            with pytest.raises(ParameterError, match="and not an asynchronous one"):
                crawl_on_dask(client, PLAN, parts)

    with start_cluster(tmp_path, n_workers=0) as cluster, Client(cluster) as client:
        asyncio.run(pass_an_asynchronous_one(cluster.scheduler_address))
        with pytest.raises(ParameterError, match="the client of a cluster that has workers"):
            crawl_on_dask(client, PLAN, parts)


def test_a_folder_with_another_number_of_parts(client: Client, parts: Path) -> None:
    (parts / "part-1-of-3.sqlite").touch()
    (parts / "part-1-of-3.sqlite-lock").touch()
    with pytest.raises(ParameterError, match=r"shards must be 3, as .*, or another folder, not 2"):
        crawl_on_dask(client, PLAN, parts, shards=2)
    (parts / "part-4-of-5.sqlite").touch()
    for shards in (None, 3):
        with pytest.raises(ParameterError, match="folder must be"):
            crawl_on_dask(client, PLAN, parts, shards=shards)


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.delitem(sys.modules, crawl_dask.__name__)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'keyapi-async\[dask\]'"):
        importlib.import_module(crawl_dask.__name__)


# -- with processes ----------------------------------------------------------------------------


unix = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
CALLER = """
import json, math, sys
from distributed import Client
from keyapi_async.crawl import read_plan
from keyapi_async.crawl.dask import crawl_on_dask

if __name__ == "__main__":
    address, plan, folder, key, url = sys.argv[1:]
    with Client(address) as client:
        crawl_on_dask(client, read_plan(plan.splitlines()), folder, keys=[key], shards=2,
                      qps=math.inf, base_url=url, concurrency=1)
"""


@unix
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_the_end_of_the_caller_stops_all_parts(
    tmp_path: Path, parts: Path, end: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crawl_dask, "TICK", 0.1)
    with (
        Sandbox(latency=0.05) as sandbox,
        start_cluster(tmp_path, n_workers=2, protocol="tcp") as cluster,
    ):
        plan = "\n".join(map(query_json, PLAN))
        words = [cluster.scheduler_address, plan, str(parts), sandbox.api_key, sandbox.url]
        caller = subprocess.Popen([sys.executable, "-c", CALLER, *words])
        Tripwire(sandbox).set(4, lambda: caller.send_signal(end))
        assert caller.wait() == -end
        with Client(cluster) as client:
            wait_for_threads(client)
            check_stopped(client, sandbox, parts)


@unix
def test_dead_workers_cost_no_more_than_what_was_under_way(tmp_path: Path, parts: Path) -> None:
    plan = PLAN + grid("videos", region=["US", "GB", "DE", "FR", "BR", "JP"])
    pages, concurrency, rng, killed = 90 + 150, 4, random.Random(5), []

    def kill() -> None:
        """Kill one of the processes that crawl."""
        found: set[int] = set()
        for each in files(parts):
            with suppress(sqlite3.OperationalError):  # has no tables yet
                found |= {
                    pid for (pid,) in rows(each, "SELECT pid FROM runs WHERE ended_at IS NULL")
                }
        alive = sorted(found.difference(killed))
        if alive:
            killed.append(rng.choice(alive))
            os.kill(killed[-1], signal.SIGKILL)
        if len(killed) < 8:
            book.set(rng.randint(3, 24) if alive else 1, kill)

    with (
        Sandbox(latency=0.02, bill_faults=True) as sandbox,
        start_cluster(tmp_path, n_workers=2, processes=True) as cluster,
        Client(cluster) as client,
    ):
        book = Tripwire(sandbox)
        book.set(10, kill)
        usual = {"qps": math.inf, "base_url": sandbox.url, "keys": [sandbox.api_key]}
        made = crawl_on_dask(client, plan, parts, shards=2, concurrency=concurrency, **usual)
        compare_items(plan, sandbox, *files(parts))
        paid = sandbox.credits_spent // 2
    assert len(killed) == 8
    assert sum(one.pages for one in made) == pages
    assert pages < paid <= pages + len(killed) * concurrency
    spent = sum(one.credits_spent for one in made)
    assert spent <= 2 * paid <= spent + sum(one.credits_at_risk for one in made)
