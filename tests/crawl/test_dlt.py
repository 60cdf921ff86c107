"""Crawls' files in a warehouse: every item once, whatever was crawled, moved or killed between."""

from __future__ import annotations

import asyncio
import importlib
import json
import math
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from keyapi_async import ParameterError
from keyapi_async.crawl import CrawlFile, Selection, StoreError, crawl_to, grid, query_json
from keyapi_async.crawl.columns import column_types, fields
from keyapi_async.crawl.database import writing
from keyapi_async.crawl.dlt import trends
from keyapi_async.sandbox import Fault, Sandbox
from tests.crawl.sandboxed_crawl import FAIL_FAST, folder
from tests.crawl.stored_crawls import COUNTS, change, put, query, write_crawl

pytestmark = pytest.mark.slow

TWICE = {endpoint: 2 * count for endpoint, count in COUNTS.items()}


class Warehouse:
    """A dataset in DuckDB, and the pipeline that fills it."""

    def __init__(self, path: Path) -> None:
        self.file = path / "warehouse.duckdb"
        self.pipelines = path / "pipelines"

    def load(self, *files: Path, endpoints: tuple[str, ...] = ()) -> dict[str, int]:
        """Run the pipeline, as another process would; how many rows it extracted of each."""
        pipeline = self.pipeline()
        source = trends(*files)
        info = pipeline.run(source.with_resources(*endpoints) if endpoints else source)
        info.raise_on_failed_jobs()
        counts = pipeline.last_trace.last_normalize_info.row_counts
        assert bool(counts) == bool(info.loads_ids)  # nothing extracted, nothing loaded
        return {name: count for name, count in counts.items() if not name.startswith("_")}

    def pipeline(self, **options: Any) -> dlt.Pipeline:
        return dlt.pipeline(
            "tiktok",
            destination=dlt.destinations.duckdb(str(self.file)),
            dataset_name="trends",
            pipelines_dir=str(self.pipelines),
            **options,
        )

    def rows(self, sql: str) -> list[Any]:
        return query(f"USE trends; {sql}", self.file)

    def counts(self) -> dict[str, int]:
        """How many rows each table has; a row that is there twice is an error."""
        found = {}
        for (name,) in self.rows("FROM (SHOW TABLES)"):
            if not name.startswith("_"):
                key = "snapshot, snapshot_started_at, query, item_id"
                distinct = f"SELECT count(*), count(DISTINCT ({key})) FROM {name}"
                ((found[name], unique),) = self.rows(distinct)
                assert unique == found[name]
        return found


@pytest.fixture
def warehouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
    monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path / "dlt"))
    return Warehouse(tmp_path)


@pytest.fixture
def crawled(tmp_path: Path) -> Path:
    (tmp_path / "crawls").mkdir()
    return write_crawl(tmp_path / "crawls" / "trends.sqlite")


def counted(*files: Path) -> Counter[str]:
    """How many items the files have of each endpoint."""
    return Counter(
        one.endpoint for file in files for one in CrawlFile(file).records(snapshot="all")
    )


# -- what is loaded ----------------------------------------------------------------------------


def put_odd_items(file: Path) -> None:
    """Half an emoji, ids that are numbers, counts no column holds, fields nobody knows."""
    put(file, '{"hashtag_id": 12345678901234567890123, "hashtag_name": "half \\ud83d"}')
    put(file, f'{{"item_id": "1", "title": 5, "duration": {2**63}, "new": [1]}}', "videos")
    sound = f'{{"clip_id": 7, "song_id": null, "rank": {1 - 2**63}, "new": {2**70}}}'
    put(file, f'{{"sound": {sound}, "liked": true, "title": null}}', "music_detail")


@pytest.mark.parametrize("prepare", [lambda _: None, put_odd_items])
def test_the_tables_are_those_of_an_export(
    prepare: Callable[[Path], None], warehouse: Warehouse, crawled: Path, tmp_path: Path
) -> None:
    prepare(crawled)
    assert warehouse.load(crawled) == TWICE
    export = tmp_path / "export.duckdb"
    CrawlFile(crawled).export(export, Selection(snapshot="all"))
    for endpoint, count in TWICE.items():
        kinds = column_types(endpoint)
        chosen = ["extra::JSON::TEXT"]
        for name, kind in kinds.items():
            if kind == "TIMESTAMP":
                chosen.append(f"epoch_us({name})")
            elif not is_nested(kind) and name != "extra":
                chosen.append(f'"{name}"')
        sql = f"SELECT {', '.join(chosen)} FROM {endpoint} ORDER BY ALL"
        loaded = warehouse.rows(sql)
        assert len(loaded) == count
        if prepare is not put_odd_items:  # there, a number that JSON holds in another way
            assert loaded == query(sql, export)
        else:
            assert [row[1:] for row in loaded] == [row[1:] for row in query(sql, export)]


def is_nested(kind: str) -> bool:
    return kind.endswith(("]", ")"))


def test_nested_fields_are_json_as_received(warehouse: Warehouse, crawled: Path) -> None:
    warehouse.load(crawled)
    for endpoint, count in TWICE.items():
        nested = [one for one in fields(endpoint).values() if is_nested(one.kind)]
        expected = []
        for record in CrawlFile(crawled).records(endpoint, snapshot="all"):
            values = []
            for one in nested:
                value = record.item.raw
                for name in one.path:
                    value = value.get(name)
                values.append(value)
            expected.append((query_json(record.query), record.query.id_of(record.item), values))
        chosen = ", ".join(["query", "item_id", *(one.name for one in nested)])
        rows = warehouse.rows(f"SELECT {chosen} FROM {endpoint}")
        found = [(*row[:2], [cell and json.loads(cell) for cell in row[2:]]) for row in rows]
        assert len(found) == count
        assert sorted(map(repr, found)) == sorted(map(repr, expected))


def test_types_are_declared(warehouse: Warehouse, crawled: Path) -> None:
    change(crawled, "UPDATE items SET json = json_object('item_id', 'a') WHERE json ->> 'item_id'")
    change(crawled, "DELETE FROM items WHERE id NOT IN (SELECT min(id) FROM items GROUP BY list)")
    warehouse.load(crawled, endpoints=("videos",))
    columns = dict(warehouse.rows("SELECT column_name, column_type FROM (DESCRIBE videos)"))
    declared = column_types("videos")
    assert [*columns] == [*declared, "query", "_dlt_load_id", "_dlt_id"]
    stamps = dict.fromkeys(("snapshot_started_at", "retrieved_at"), "TIMESTAMP WITH TIME ZONE")
    assert columns == {**columns, **declared, **stamps, "extra": "JSON", "query": "VARCHAR"}


def test_one_resource_can_be_chosen(warehouse: Warehouse, crawled: Path) -> None:
    assert warehouse.load(crawled, endpoints=("hashtags",)) == {"hashtags": 240}
    assert warehouse.load(crawled, endpoints=("hashtags", "videos")) == {"videos": 120}
    rest = {"hashtag_detail": 8, "music": 120, "music_detail": 4}
    assert warehouse.load(crawled) == rest


# -- what was delivered ------------------------------------------------------------------------


def test_what_was_delivered_is_not_delivered_again(
    warehouse: Warehouse, crawled: Path, tmp_path: Path
) -> None:
    assert warehouse.load(crawled) == TWICE
    state = warehouse.rows("SELECT count(*) FROM _dlt_pipeline_state")
    assert warehouse.load(crawled) == {}
    moved = crawled.rename(tmp_path / "moved.sqlite")
    copy = Path(shutil.copyfile(moved, tmp_path / "copy.sqlite"))
    assert warehouse.load(moved, copy) == {}
    shutil.rmtree(warehouse.pipelines)  # another machine: dlt finds its state in the warehouse
    assert warehouse.load(copy) == {}
    assert warehouse.rows("SELECT count(*) FROM _dlt_pipeline_state") == state
    assert warehouse.counts() == TWICE


def test_what_a_crawl_adds_later_is_found(warehouse: Warehouse, tmp_path: Path) -> None:
    file = tmp_path / "trends.sqlite"
    plan = grid("hashtags", region=["US", "GB"])

    async def run(*faults: Fault, **options: Any) -> None:
        async with Sandbox() as sandbox, sandbox.client(qps=math.inf, retry=FAIL_FAST) as client:
            for fault in faults:
                sandbox.fail(fault, page=2)
            await crawl_to(
                file, client, plan, keep_going=True, concurrency=1, max_items=40, **options
            )

    def complete() -> list[Any]:
        sql = "SELECT snapshot, query_region, list_complete, count(*) FROM hashtags"
        return warehouse.rows(f"{sql} GROUP BY ALL ORDER BY ALL")

    asyncio.run(run(Fault.status(404)))
    assert warehouse.load(file) == {"hashtags": 60}
    assert complete() == [(1, "GB", True, 40), (1, "US", False, 20)]
    asyncio.run(run(retry_failed=True))
    assert warehouse.load(file) == {"hashtags": 80}
    assert complete() == [(1, "GB", True, 40), (1, "US", True, 40)]
    asyncio.run(run(extend=True, details=1))
    assert warehouse.load(file) == {"hashtag_detail": 2}
    asyncio.run(run(Fault.status(404), fresh_within=0, details=1))
    assert warehouse.load(file) == {"hashtags": 60, "hashtag_detail": 2}
    change(file, "UPDATE lists SET state = 'pending' WHERE id = 2")
    assert warehouse.load(file) == {"hashtags": 80}
    first, second = [(1, "GB", False, 40), (1, "US", True, 40)], [(2, "GB", True, 40)]
    assert complete() == [*first, *second, (2, "US", False, 20)]
    assert warehouse.counts() == counted(file)
    assert warehouse.load(file) == {}


def test_of_many_lists_only_some_are_delivered_again(warehouse: Warehouse, tmp_path: Path) -> None:
    file = tmp_path / "trends.sqlite"
    regions = [f"{a}{b}" for a in "ABCDEFGHIJKL" for b in "ABCDEFGHIJKL"]

    async def run() -> None:
        totals = {"hashtags": 2}
        async with Sandbox(totals=totals) as sandbox, sandbox.client(qps=math.inf) as client:
            await crawl_to(file, client, grid("hashtags", region=regions))

    asyncio.run(run())
    assert warehouse.load(file) == {"hashtags": 288}
    change(file, "UPDATE lists SET state = 'failed' WHERE id = 100")
    assert warehouse.load(file) == {"hashtags": 128}  # lists 64 to 127
    sql = "SELECT count(*) FROM hashtags GROUP BY list_complete ORDER BY list_complete"
    assert warehouse.rows(sql) == [(2,), (286,)]
    (state,) = warehouse.pipeline().state["sources"]["trends"]["resources"]["hashtags"].values()
    assert [*state] == ["0", "1", "2"]


def test_the_parts_of_a_sharded_crawl_add_up(warehouse: Warehouse, tmp_path: Path) -> None:
    files = [tmp_path / "part-1.sqlite", tmp_path / "part-2.sqlite"]

    async def run(file: Path, region: str) -> None:
        async with Sandbox() as sandbox, sandbox.client(qps=math.inf) as client:
            plan = grid("hashtags", region=region) + grid("videos", order_by="like")
            await crawl_to(file, client, plan, max_items=30)

    for file, region in zip(files, ("US", "GB"), strict=True):
        asyncio.run(run(file, region))
    assert warehouse.load(files[0]) == {"hashtags": 30, "videos": 30}
    assert warehouse.load(*files) == {"hashtags": 30, "videos": 30}
    assert warehouse.load(*reversed(files)) == {}
    assert warehouse.counts() == counted(*files) == {"hashtags": 60, "videos": 60}
    assert warehouse.rows("SELECT DISTINCT snapshot FROM hashtags") == [(1,)]


CHILD = """
import os, signal, sys
from pathlib import Path
from keyapi_async.crawl.dlt import trends
from tests.crawl.test_dlt import Warehouse

folder, file, name, left = sys.argv[1:]
left = int(left)

def kill(event, args):
    global left
    if event == "os.rename" and name in str(args[1]):
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(kill)  # dlt notes each step it has done by renaming a file
Warehouse(Path(folder)).pipeline().run(trends(file))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.filterwarnings("ignore:The 'warn' method:DeprecationWarning")  # dlt's own
@pytest.mark.parametrize("is_elsewhere", [False, True])
@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("/normalize/extracted/", 1),  # extracted
        ("/tiktok/state.json", 2),  # extracted, and seen to be
        ("/load/normalized/", 1),  # normalized
        ("/started_jobs/", 2),  # loading
        ("/completed_jobs/", 1),  # the first table loaded
        ("/completed_jobs/", 4),  # some tables merged
        ("/package_completed.json", 1),  # all loaded
    ],
)
def test_a_killed_load_loses_nothing(
    name: str, count: int, is_elsewhere: bool, warehouse: Warehouse, crawled: Path
) -> None:
    warehouse.load(crawled, endpoints=("videos",))
    words = [str(warehouse.file.parent), str(crawled), name, str(count)]
    done = subprocess.run([sys.executable, "-c", CHILD, *words], check=False)
    assert done.returncode == -signal.SIGKILL
    if is_elsewhere:  # goes on where nothing is known but what is in the warehouse
        shutil.rmtree(warehouse.pipelines)
    warehouse.pipeline().run(trends(crawled))  # dlt completes what was begun, if it knows of it
    warehouse.load(crawled)
    assert warehouse.counts() == TWICE
    assert warehouse.load(crawled) == {}


# -- reading only ------------------------------------------------------------------------------


def test_a_file_is_only_read(warehouse: Warehouse, crawled: Path) -> None:
    before = folder(crawled.parent)
    warehouse.load(crawled)
    assert folder(crawled.parent) == before
    with writing(crawled, create=False) as db:  # a crawl that runs
        change(crawled, "UPDATE lists SET state = 'pending' WHERE id = 1")
        assert warehouse.load(crawled) == {"hashtags": 120}
        with db.transaction() as connection:
            connection.execute("UPDATE lists SET state = 'done' WHERE id = 1")
    assert warehouse.load(crawled) == {"hashtags": 120}


def test_a_bad_file_is_named_at_once(tmp_path: Path, crawled: Path) -> None:
    with pytest.raises(StoreError, match=r"nope\.sqlite: there is no such file"):
        trends(crawled, tmp_path / "nope.sqlite")
    with pytest.raises(StoreError, match="is a folder"):
        trends(str(tmp_path))
    with pytest.raises(ParameterError, match="at least one crawl's file"):
        trends()
    change(crawled, "UPDATE queries SET endpoint = 'likes' WHERE id = 1")
    with pytest.raises(StoreError, match="no endpoint is called likes"):
        trends(crawled)


def test_what_is_damaged_is_not_loaded_in_part(warehouse: Warehouse, crawled: Path) -> None:
    put(crawled, "{", "music")
    with pytest.raises(PipelineStepFailed, match=r"trends\.sqlite: an item of its list \d+ is"):
        warehouse.load(crawled)
    write_crawl(crawled)
    assert warehouse.load(crawled) == TWICE
    assert warehouse.counts() == TWICE


def test_without_dlt_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "keyapi_async.crawl.dlt")
    monkeypatch.setitem(sys.modules, "dlt", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'keyapi-async\[dlt\]'"):
        importlib.import_module("keyapi_async.crawl.dlt")
