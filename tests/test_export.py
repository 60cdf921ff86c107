"""What leaves the store: JSONL letter for letter, typed tables, complete files or none."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import math
import os
import signal
import sqlite3
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest
from keyapi_async.crawl.tables import MODELS, columns, query_columns

from keyapi_async.cli import main
from keyapi_async.crawl import StoreError, crawl_to, grid, tables
from keyapi_async.crawl.export import _ITEMS, Selection, export, write_lines
from keyapi_async.crawl.store import Store, opened
from keyapi_async.sandbox import Fault, Sandbox

COUNTS = {"hashtags": 200, "hashtag_detail": 40, "videos": 500, "music": 100, "music_detail": 20}


@pytest.fixture(scope="module")
def crawled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two snapshots: all endpoints in the first, one list in the second."""
    file = tmp_path_factory.mktemp("crawl") / "trends.sqlite"

    async def fill() -> None:
        async with Sandbox() as sandbox, sandbox.client(qps=math.inf) as client:
            small = grid("hashtags", region=["US", "GB"], period=30) + grid("music", region="GB")
            await crawl_to(file, client, small, max_items=20, with_details=True)
            plan = grid("hashtags", region=["US", "GB"], period=30) + grid("music", region="GB")
            await crawl_to(file, client, plan + grid("videos"), extend=True, with_details=False)

    asyncio.run(fill())
    with closing(sqlite3.connect(file)) as db:  # the hashtags of the US again, three days later
        db.execute("INSERT INTO snapshots SELECT 2, started_at + 259200, options FROM snapshots")
        db.execute(
            "INSERT INTO lists SELECT 1000, 2, query, state, next_page, next_offset, pages, items, "
            "duplicates, total, stop_reason, error, finished_at FROM lists WHERE id = 1"
        )
        db.execute(
            "INSERT INTO pages SELECT 1000 + id, 1000, page, request_id, retrieved_at + 259200, "
            "credits, status FROM pages WHERE list = 1"
        )
        db.execute(
            "INSERT INTO items SELECT NULL, 1000, 1000 + page, position, item_id, json FROM items "
            "WHERE list = 1 ORDER BY id"
        )
        db.commit()
    return file


@pytest.fixture
def store(crawled: Path) -> Iterator[Store]:
    with opened(crawled) as store:
        yield store


@pytest.fixture
def copy(crawled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of one's own to change."""
    file = tmp_path_factory.mktemp("copy") / "trends.sqlite"
    file.write_bytes(crawled.read_bytes())
    return file


def put(file: Path, item: str) -> None:
    """Let the first item of the newest snapshot be another."""
    with closing(sqlite3.connect(file)) as db:
        db.execute(
            "UPDATE items SET json = ? WHERE id = (SELECT min(id) FROM items WHERE list = 1000)",
            [item],
        )
        db.commit()


def meanwhile(store: Store, start: str, do: Callable[[], object]) -> None:
    """Do something just before the store first reads what starts like this."""

    def traced(sql: str) -> None:
        if sql.strip().startswith(start):
            store._db.set_trace_callback(None)
            do()

    store._db.set_trace_callback(traced)


def lines(store: Store, **selection: Any) -> list[dict[str, Any]]:
    stream = io.StringIO()
    count = write_lines(store, Selection(**selection), stream)
    found = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert len(found) == count
    return found


def query(sql: str) -> list[Any]:
    with duckdb.connect() as db:
        return db.execute(sql).fetchall()


def test_lines_are_raw_items_with_their_place(store: Store) -> None:
    with Sandbox() as sandbox:
        expected = sandbox.items("hashtags", region="US", period="30")
    found = lines(store)
    assert [{k: v for k, v in item.items() if k != "_keyapi"} for item in found] == expected
    place = found[20]["_keyapi"]
    assert list(found[20])[-1] == "_keyapi"
    assert place.pop("request_id")
    assert place.pop("retrieved_at").endswith("Z")
    assert place == {
        "endpoint": "hashtags",
        "query": {
            "period": "30",
            "region": "US",
            "industry_id": "nothing",
            "new_to_top_100": "false",
        },
        "page": 2,
        "position": 1,
    }


def test_lines_keep_every_letter(crawled: Path, store: Store, tmp_path: Path) -> None:
    (exported,) = export(store, tmp_path / "out.jsonl", Selection(all_snapshots=True))
    assert exported.items == sum(COUNTS.values()) + 100
    texts = store.rows("SELECT json FROM items")
    written = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    assert sorted(line.partition(',"_keyapi":')[0] + "}" for line in written) == sorted(
        text for (text,) in texts
    )


@pytest.mark.parametrize(
    ("selection", "count"),
    [
        ({}, 100),
        ({"all_snapshots": True}, 960),
        ({"all_snapshots": True, "endpoints": ("videos",)}, 500),
        ({"all_snapshots": True, "endpoints": ("videos", "music")}, 600),
        ({"all_snapshots": True, "regions": ("GB",)}, 100 + 20 + 100 + 20),
        ({"all_snapshots": True, "regions": ("GB",), "periods": (7,)}, 120),
        ({"all_snapshots": True, "periods": (7, 30)}, 960),
        ({"regions": ("XX",)}, 0),
        ({"periods": (120,)}, 0),
    ],
)
def test_filters(selection: dict[str, Any], count: int, store: Store) -> None:
    assert len(lines(store, **selection)) == count


def test_filters_by_time(store: Store) -> None:
    ((middle,),) = store.rows("SELECT max(retrieved_at) - 86400 FROM pages")
    assert len(lines(store, all_snapshots=True, since=middle)) == 100
    assert len(lines(store, all_snapshots=True, until=middle)) == 860
    assert lines(store, until=middle) == []


def test_parquet_has_types_and_one_file_per_endpoint(store: Store, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    written = export(store, out, Selection(all_snapshots=True))
    counts = COUNTS | {"hashtags": 300}
    assert {one.path.name: one.items for one in written} == {
        f"out.{name}.parquet": count for name, count in counts.items()
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        one.path.name for one in written
    )
    with duckdb.connect() as db:
        described = db.execute(f"DESCRIBE FROM '{tmp_path}/out.hashtags.parquet'").fetchall()
    kinds = {row[0]: row[1] for row in described}
    assert kinds["hashtag_id"] == kinds["query_region"] == "VARCHAR"
    assert kinds["video_views"] == kinds["publish_cnt"] == kinds["rank"] == "BIGINT"
    assert kinds["trend"].replace('"', "") == "STRUCT(time BIGINT, value DOUBLE)[]"
    assert kinds["retrieved_at"] == "TIMESTAMP"
    assert kinds["is_promoted"] == kinds["query_new_to_top_100"] == "BOOLEAN"


def test_tables_have_what_the_lines_have(store: Store, tmp_path: Path) -> None:
    export(store, tmp_path / "out.duckdb", Selection(all_snapshots=True))
    with duckdb.connect(str(tmp_path / "out.duckdb"), read_only=True) as db:
        for name in MODELS:
            table = db.execute(f"FROM {name}")
            names = [column[0] for column in table.description or ()]
            rows = [dict(zip(names, row, strict=True)) for row in table.fetchall()]
            expected = [
                item
                for item in lines(store, all_snapshots=True)
                if item["_keyapi"]["endpoint"] == name
            ]
            assert len(rows) == len(expected)
            for row, item in zip(rows, expected, strict=True):
                place = item["_keyapi"]
                flat = {**item, **item.get("sound", {})}
                for field in {*columns(name), *flat} & {*names} - {"page", "position"}:
                    assert same(row[field], flat.get(field)), field
                assert (row["page"], row["position"]) == (place["page"], place["position"])
                assert row["retrieved_at"].isoformat()[:19] == place["retrieved_at"][:19]
                assert str(row["query_period"]) == place["query"]["period"]
                assert row["request_id"] == place["request_id"]


def same(cell: Any, value: Any) -> bool:
    """Whether a cell of a table is what the wire had: ids become text, what is missing null."""
    if isinstance(cell, dict):
        return all(same(cell[key], (value or {}).get(key)) for key in cell)
    if isinstance(cell, list):
        return len(cell) == len(value) and all(map(same, cell, value))
    return bool(cell == value or (isinstance(cell, str) and cell == str(value)))


def test_csv_has_lists_as_json(store: Store, tmp_path: Path) -> None:
    (one,) = export(store, tmp_path / "out.csv", Selection(endpoints=("hashtags",)))
    assert (one.path, one.items) == (tmp_path / "out.csv", 100)
    with one.path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    expected = lines(store)
    assert [row["hashtag_id"] for row in rows] == [item["hashtag_id"] for item in expected]
    assert json.loads(rows[0]["trend"]) == expected[0]["trend"]
    assert rows[0]["query_region"] == "US"


def test_an_export_without_items_still_has_its_columns(store: Store, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    (one,) = export(store, out, Selection(endpoints=("videos",)))
    assert one.items == 0
    assert query(f"SELECT count(*), max(item_id) FROM '{out}'") == [(0, None)]


def test_what_is_not_there_is_said(store: Store, tmp_path: Path, crawled: Path) -> None:
    with (
        opened(tmp_path / "empty.sqlite", create=True) as empty,
        pytest.raises(StoreError, match=r"empty.sqlite has no videos"),
    ):
        export(empty, tmp_path / "out.csv", Selection(endpoints=("videos",)))
    with pytest.raises(ValueError, match=r"output must end in one of .jsonl .csv .parquet .duckdb"):
        export(store, tmp_path / "out.xlsx", Selection())


@pytest.mark.parametrize("name", ["out.jsonl", "out.parquet", "out.duckdb"])
def test_a_failed_export_leaves_the_old_file(
    name: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / name
    out.write_text("of yesterday")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(StoreError, match=f"{name}: can't be written: No space left on device"):
        export(store, out, Selection(endpoints=("hashtags",)))
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert out.read_text() == "of yesterday"


def test_a_folder_that_is_not_there(store: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="can't be written: No such file"):
        export(store, tmp_path / "no" / "out.jsonl", Selection())


def test_an_older_file_is_replaced(store: Store, tmp_path: Path) -> None:
    for name in ("out.jsonl", "out.duckdb"):
        (tmp_path / name).write_text("of yesterday")
        (one,) = export(store, tmp_path / name, Selection(endpoints=("hashtags",)))
        assert one.path.stat().st_size > 1000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.duckdb", "out.jsonl"]


def test_without_duckdb_the_extra_is_named(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(StoreError, match=r"pip install 'keyapi-async\[export\]'"):
        export(store, tmp_path / "out.csv", Selection())
    assert export(store, tmp_path / "out.jsonl", Selection())


def test_half_an_emoji(copy: Path, tmp_path: Path) -> None:
    put(copy, r'{"hashtag_id":"1","hashtag_name":"half \uD83D","_":"\uD83C\uDF89"}')
    out = tmp_path / "out.parquet"
    with opened(copy) as store:
        export(store, out, Selection(endpoints=("hashtags",)))
        assert query(f"SELECT hashtag_name FROM '{out}' LIMIT 1") == [("half ?",)]
        assert lines(store)[0]["hashtag_name"] == "half \ud83d"


def test_a_value_no_column_can_hold_is_null(copy: Path, tmp_path: Path) -> None:
    big = 99999999999999999999
    trend = [{"time": big, "value": 1.5}]
    put(copy, json.dumps({"hashtag_id": big, "rank": big, "video_views": 7, "trend": trend}))
    for name in ("out.parquet", "out.csv", "out.duckdb"):
        with opened(copy) as store:
            (one,) = export(store, tmp_path / name, Selection(endpoints=("hashtags",)))
        assert one.items == 100
    columns = "hashtag_id, rank, video_views, trend, page, position"
    assert query(f"SELECT {columns} FROM '{tmp_path}/out.parquet' LIMIT 1") == [
        (str(big), None, 7, [{"time": None, "value": 1.5}], 1, 1)
    ]
    assert query(f"SELECT count(*), count(rank) FROM '{tmp_path}/out.parquet'") == [(100, 99)]


def test_an_item_that_is_no_json_is_told(copy: Path, tmp_path: Path) -> None:
    put(copy, '{"hashtag_id":"1"')
    with (
        opened(copy) as store,
        pytest.raises(StoreError, match=r"out.parquet: DuckDB could not write it: .*not JSON"),
    ):
        export(store, tmp_path / "out.parquet", Selection(endpoints=("hashtags",)))
    assert list(tmp_path.iterdir()) == []


def test_the_place_of_an_item_is_ours(copy: Path, tmp_path: Path) -> None:
    text = r'{"_keyapi" : 1.10,"hashtag_name":"\"_keyapi\":","x":["_keyapi"],"hashtag_id":"1"}'
    put(copy, text)
    with opened(copy) as store:
        stream = io.StringIO()
        write_lines(store, Selection(), stream)
        written = stream.getvalue().split("\n")[0].partition(',"_keyapi":')[0]
        assert written + "}" == text.replace('"_keyapi" :', '"__keyapi" :')
        assert lines(store)[0]["_keyapi"]["position"] == 1
        export(store, tmp_path / "out.parquet", Selection(endpoints=("hashtags",)))
    rows = query(f"SELECT hashtag_name, page, position FROM '{tmp_path}/out.parquet' LIMIT 1")
    assert rows == [('"_keyapi":', 1, 1)]


def test_an_answer_over_many_lines(tmp_path: Path) -> None:
    with Sandbox() as sandbox:
        url = f"{sandbox.url}/v1/tiktok/trending/hashtags?period=7&region=US&page=1&limit=20"
        request = urllib.request.Request(url, headers={"Authorization": "Bearer sandbox-key"})
        with urllib.request.urlopen(request) as answer:
            indented = json.dumps(json.load(answer), indent=2).replace("\n", "\r\n")
        sandbox.fail(Fault.body(indented.encode()))

        async def fill() -> None:
            async with sandbox.client() as client:
                await crawl_to(tmp_path / "t.sqlite", client, grid("hashtags"), max_pages=1)

        asyncio.run(fill())
        items = sandbox.items("hashtags", period="7", region="US")[:20]
    with opened(tmp_path / "t.sqlite") as store:
        assert "\r\n" in store.rows("SELECT json FROM items")[0][0]  # stored as received
        export(store, tmp_path / "out.jsonl", Selection())
        export(store, tmp_path / "out.parquet", Selection())
    written = (tmp_path / "out.jsonl").read_bytes().decode().split("\n")
    assert (len(written), written[-1], "\r" in "".join(written)) == (21, "", False)
    found = [json.loads(line) for line in written[:-1]]
    assert [{k: v for k, v in item.items() if k != "_keyapi"} for item in found] == items
    assert query(f"SELECT hashtag_id FROM '{tmp_path}/out.parquet' ORDER BY position") == [
        (item["hashtag_id"],) for item in items
    ]


def test_an_empty_item(copy: Path) -> None:
    for text in ("{}", "{ \n }"):
        put(copy, text)
        with opened(copy) as store:
            assert list(lines(store)[0]) == ["_keyapi"]


# -- with others at work -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["out.jsonl", "out.parquet", "out.duckdb"])
def test_two_exports_to_one_file(name: str, crawled: Path, tmp_path: Path) -> None:
    out, selection = tmp_path / name, Selection(endpoints=("hashtags",))
    written = []

    def other() -> None:
        with opened(crawled) as store:
            written.extend(export(store, out, selection))

    with opened(crawled) as store:
        meanwhile(store, _ITEMS.strip()[:20], other)
        written += export(store, out, selection)
    assert [one.items for one in written] == [100, 100]
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_first_detail_that_comes_meanwhile(copy: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(copy)) as db:
        db.execute("DELETE FROM lists WHERE query IN (SELECT id FROM queries WHERE NOT planned)")
        db.execute("DELETE FROM queries WHERE NOT planned")
        db.commit()

        def come() -> None:
            db.execute(
                "INSERT INTO queries (id, endpoint, params, planned) "
                "VALUES (5000, 'hashtag_detail', '{}', 0)"
            )
            db.execute("INSERT INTO lists (id, snapshot, query) VALUES (5000, 2, 5000)")
            db.execute("UPDATE pages SET list = 5000 WHERE list = 1000")
            db.execute("UPDATE items SET list = 5000 WHERE list = 1000")
            db.commit()

        with opened(copy) as store:
            meanwhile(store, "SELECT l.id, q.endpoint", come)
            written = export(store, tmp_path / "out.csv", Selection())
        assert db.execute("SELECT count(*) FROM items WHERE list = 5000").fetchall() == [(100,)]
    assert {one.path.name: one.items for one in written} == {
        "out.hashtags.csv": 0,
        "out.videos.csv": 0,
        "out.music.csv": 0,
    }


@pytest.mark.skipif(sys.platform == "win32", reason="signals are of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_duckdb_writes(
    number: int,
    crawled: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    select = tables.select

    def many(*args: Any, **options: Any) -> str:
        return f"SELECT items.* FROM ({select(*args, **options)}) items, range(1000)"

    monkeypatch.setattr(tables, "select", many)

    def interrupt() -> None:
        while not list(tmp_path.glob("out.csv.*.part/part")):
            pass
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=interrupt)
    thread.start()
    line = ["export", str(crawled), "-o", str(tmp_path / "out.csv"), "--endpoint", "hashtags"]
    assert main(line) == 130
    thread.join()
    assert capsys.readouterr().err == "keyapi: interrupted\n"
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_each_query_has_its_columns() -> None:
    assert query_columns("music") == {
        "query_search_keyword": "VARCHAR",
        "query_period": "BIGINT",
        "query_region": "VARCHAR",
        "query_new_to_top_100": "BOOLEAN",
        "query_commercial_music": "BOOLEAN",
    }
    assert columns("hashtag_detail")["longevity"] == (
        'STRUCT("popular_days" BIGINT, "current_popularity" DOUBLE)'
    )
