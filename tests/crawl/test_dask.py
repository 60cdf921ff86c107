"""A crawl on a Dask cluster: the workers of most tests are threads of this process."""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import pytest
from distributed import Client, LocalCluster

from keyapi_async import AuthenticationError, ConfigurationError, ParameterError, ServerError
from keyapi_async.crawl import CrawlFile, Summary, dask as crawl_dask, grid, take_shard
from keyapi_async.crawl.dask import crawl_on_dask
from keyapi_async.crawl.database import LockedError, writing
from keyapi_async.sandbox import Fault, Sandbox
from tests.crawl.sandboxed_crawl import compare_items, rows

PLAN = grid("hashtags", region=["US", "GB", "DE", "FR"], period=[7, 30])
PAGES = 8 * 5


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    """The client of a cluster with two workers."""
    settings = {"temporary-directory": str(tmp_path / "dask")}
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
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
    with Sandbox() as sandbox:
        made = crawl(
            client, sandbox, parts, on_progress=lambda done, lists: seen.append((done, lists))
        )
        again = crawl(client, sandbox, parts, shards=None)  # as many as there are files
        assert sandbox.credits_spent == 2 * PAGES
        assert made == again
        compare_items(PLAN, sandbox, *files(parts))
    assert [each.name for each in files(parts)] == ["part-1-of-2.sqlite", "part-2-of-2.sqlite"]
    sizes = [len(take_shard(PLAN, (number, 2))) for number in (1, 2)]
    assert [(one.done, one.complete, one.runs) for one in made] == [(size, True, 1) for size in sizes]
    assert seen[-1] == (8, 8)
    assert {lists for _, lists in seen} == {8}


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
        assert sandbox.credits_spent == 2 * 2 * (8 + 8)
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
    client: Client, parts: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wrong, dumps = "wrong-key-of-the-second", []

    def dump(*_: object) -> None:
        for number, state in enumerate([client.sync(client._dump_cluster_state) ]):
            dumps.append(str(state))

    with Sandbox(latency=0.2) as sandbox:
        keys = [sandbox.api_key, wrong]
        with pytest.raises(AuthenticationError) as raised:
            crawl(client, sandbox, parts, shards=3, keys=keys, keep_going=True)
        assert raised.value.__notes__ == [f"This ended {parts / 'part-2-of-3.sqlite'}."]
        mine = [take_shard(PLAN, (number, 3)) for number in (1, 3)]
        assert [CrawlFile(parts / f"part-{number}-of-3.sqlite").status().complete for number in (1, 2, 3)] == [True, False, True]
        assert sandbox.credits_spent == 2 * 5 * sum(map(len, mine))
        told = f"{client.get_worker_logs()} {client.get_scheduler_logs()} {caplog.text} {raised.value!r}"
        assert "Compute Failed" in told
        assert wrong not in told
