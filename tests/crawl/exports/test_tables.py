"""CSV and Parquet files and DuckDB databases: typed, complete, and nobody else's tables touched."""

from __future__ import annotations

import csv
import json
import sqlite3
import sys
import threading
from contextlib import closing
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import duckdb
import pytest

from keyapi_async.crawl import CrawlFile, Selection, StoreError, export_files
from keyapi_async.crawl.columns import column_names, fields, select
from keyapi_async.crawl.database import reading
from keyapi_async.crawl.exports.rows import find_rows
from keyapi_async.crawl.exports.tables import write_parquet
from keyapi_async.queries import ENDPOINTS
from tests.crawl.stored_crawls import (
    COUNTS,
    DAY,
    change,
    lines,
    names,
    put,
    query,
    table,
    write_crawl,
)

EVERY = Selection(snapshot="all")
HASHTAGS = Selection(endpoints="hashtags")


@pytest.fixture
def crawled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_crawl(tmp_path_factory.mktemp("crawl") / "trends.sqlite")


def same(cell: Any, value: Any) -> bool:
    """Whether a cell of a table is what the wire had: ids become text, what is missing null."""
    if isinstance(cell, dict):
        return all(same(cell[key], (value or {}).get(key)) for key in cell)
    if isinstance(cell, list):
        return len(cell) == len(value) and all(map(same, cell, value))
    return bool(cell == value or (isinstance(cell, str) and cell == str(value)))


def read_csv(path: Path | None) -> list[dict[str, str]]:
    assert path is not None
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_tables_have_what_the_lines_have(crawled: Path, tmp_path: Path) -> None:
    (one,) = CrawlFile(crawled).export(tmp_path / "out.duckdb", EVERY)
    assert one.items == 2 * sum(COUNTS.values())
    for name, query_class in ENDPOINTS.items():
        rows = table(f"FROM {name}", one.path)
        expected = lines(crawled, snapshot="all", endpoints=name)
        assert len(rows) == len(expected) == 2 * COUNTS[name]
        for row, item in zip(rows, expected, strict=True):
            assert list(row) == column_names(name)
            place = item.pop("_keyapi")
            for field in fields(name).values():
                value = item
                for part in field.path:
                    value = (value or {}).get(part)
                if field.name != "rank":
                    assert same(row[field.name], value), field
            assert row["rank"] == {**item, **item.get("sound", {})}.get("rank", place["place"])
            identity = {**item, **item.get("sound", {})}[query_class.item_key.split(".")[-1]]
            assert row["item_id"] == identity
            for column in ("page", "position", "place", "snapshot", "list_complete", "request_id"):
                assert row[column] == place[column]
            assert row["day"] == date.fromisoformat(place["day"])
            for column in ("retrieved_at", "snapshot_started_at"):
                assert row[column] == datetime.fromisoformat(place[column]).replace(tzinfo=None)
            assert str(row["query_period"]) == place["query"]["period"]
            unknown = {k: v for k, v in item.items() if k not in column_names(name)}
            unknown.pop("sound", None)
            assert json.loads(row["extra"] or "{}") == unknown


def test_parquet_has_types(crawled: Path, tmp_path: Path) -> None:
    CrawlFile(crawled).export(tmp_path / "out.parquet", HASHTAGS)
    kinds = {row[0]: row[1] for row in query(f"DESCRIBE FROM '{tmp_path}/out.hashtags.parquet'")}
    assert kinds["hashtag_id"] == kinds["query_region"] == kinds["extra"] == "VARCHAR"
    assert kinds["video_views"] == kinds["publish_cnt"] == kinds["rank"] == "BIGINT"
    assert kinds["trend"].replace('"', "") == "STRUCT(time BIGINT, value DOUBLE)[]"
    assert kinds["retrieved_at"] == kinds["snapshot_started_at"] == "TIMESTAMP"
    assert kinds["is_promoted"] == kinds["query_new_to_top_100"] == "BOOLEAN"
    assert kinds["day"] == "DATE"


def test_no_filter_is_null(crawled: Path, tmp_path: Path) -> None:
    CrawlFile(crawled).export(tmp_path / "out.duckdb")
    db = tmp_path / "out.duckdb"
    assert query("SELECT DISTINCT query_industry_id FROM hashtags", db) == [(None,)]
    assert query("SELECT DISTINCT query_search_keyword, query_region FROM music", db) == [
        (None, "GB")
    ]
    change(crawled, "UPDATE queries SET params = replace(params, 'US', 'all_regions')")
    CrawlFile(crawled).export(db)
    assert query("SELECT DISTINCT query_region FROM hashtags ORDER BY 1", db) == [
        ("GB",),
        ("all_regions",),
    ]


def test_what_has_no_rank_has_its_place_as_rank(crawled: Path, tmp_path: Path) -> None:
    (one,) = CrawlFile(crawled).export(tmp_path / "out.duckdb")
    found = query("SELECT rank, place, (page - 1) * 20 + position FROM videos", one.path)
    assert found == [(place, place, place) for place in range(1, 61)]
    assert query("SELECT DISTINCT rank, place FROM hashtag_detail", one.path) == [(None, None)]


def test_unknown_fields_are_extra(crawled: Path, tmp_path: Path) -> None:
    put(crawled, r'{"hashtag_id":"1","new" :  {"a":[1.10]},"\u005fkeyapi":7,"n\u00e9":"\u00e9"}')
    put(crawled, '{"sound":{"clip_id":"2","mood":"calm"},"liked":true,"by":null}', "music_detail")
    (one,) = CrawlFile(crawled).export(tmp_path / "out.duckdb")
    ((extra,),) = query("SELECT extra FROM hashtags WHERE hashtag_id = '1'", one.path)
    assert extra == r'{"new":{"a":[1.10]},"\u005fkeyapi":7,"n\u00e9":"\u00e9"}'
    ((position, extra),) = query(
        "SELECT position, extra FROM music_detail WHERE clip_id = '2'", one.path
    )
    assert (position, json.loads(extra)) == (1, {"by": None, "sound": {"mood": "calm"}})


def test_half_an_emoji_is_a_question_mark(crawled: Path, tmp_path: Path) -> None:
    put(crawled, r'{"hashtag_id":"1","hashtag_name":"half \uD83D","_":"\uD83C\uDF89"}')
    put(crawled, r'{"item_id":"1","title":"whole \ud83c\udf89 \\ud83d"}', "videos")
    put(crawled, r'{"clip_id":"1","title":"\udcff"}', "music")
    (one,) = CrawlFile(crawled).export(tmp_path / "out.duckdb")
    assert query("SELECT title, extra FROM music WHERE item_id = '1'", one.path) == [("?", None)]
    found = query("SELECT hashtag_name, extra FROM hashtags WHERE item_id = '1'", one.path)
    assert [(name, json.loads(extra)) for name, extra in found] == [("half ?", {"_": "\U0001f389"})]
    assert query("SELECT title FROM videos WHERE item_id = '1'", one.path) == [
        ("whole \U0001f389 \\ud83d",)
    ]


@pytest.mark.parametrize("name", ["out.parquet", "out.csv", "out.duckdb"])
def test_a_value_no_column_can_hold_is_null(name: str, crawled: Path, tmp_path: Path) -> None:
    big = 99999999999999999999
    trend = [{"time": big, "value": 1.5}]
    item = {"hashtag_id": "1", "publish_cnt": big, "video_views": 7, "trend": trend}
    put(crawled, json.dumps(item))
    (one,) = CrawlFile(crawled).export(tmp_path / name, HASHTAGS)
    assert one.items == 120
    if name == "out.parquet":
        found = f"SELECT publish_cnt, video_views, trend FROM '{one.path}' WHERE hashtag_id = '1'"
        assert query(found) == [(None, 7, [{"time": None, "value": 1.5}])]


def test_csv_has_lists_as_json_and_defused_text(crawled: Path, tmp_path: Path) -> None:
    titles = ["=1+1", "+1", "-1", "@sum(a1)", "\ttab", "\rreturn", "a=1", "", '"=1"', "'=1"]
    with closing(sqlite3.connect(crawled)) as db:
        first = "SELECT id FROM items WHERE json LIKE '%item_url%' ORDER BY id DESC LIMIT 60"
        ids = sorted(number for (number,) in db.execute(first))
        for number, title in enumerate(titles):
            item = {"item_id": str(number), "title": title, "duration": -number}
            db.execute("UPDATE items SET json = ? WHERE id = ?", [json.dumps(item), ids[number]])
        db.commit()
    (one,) = CrawlFile(crawled).export(tmp_path / "out.csv", Selection(endpoints="videos"))
    rows = read_csv(one.path)
    assert [row["title"] for row in rows[:10]] == [f"'{title}" for title in titles[:6]] + titles[6:]
    assert [row["duration"] for row in rows[:3]] == ["0", "-1", "-2"]
    assert rows[0]["list_complete"] == "true"
    (one,) = CrawlFile(crawled).export(tmp_path / "out.csv", HASHTAGS)
    row = read_csv(one.path)[0]
    assert json.loads(row["trend"]) == lines(crawled)[0]["trend"]
    assert row["day"] == "2026-02-04"


def test_a_table_without_rows_has_its_columns(crawled: Path, tmp_path: Path) -> None:
    (one,) = CrawlFile(crawled).export(
        tmp_path / "out.parquet", Selection(endpoints="videos", regions="XX")
    )
    assert one.items == 0
    assert query(f"SELECT count(*), max(item_id) FROM '{one.path}'") == [(0, None)]


# -- a database that is there ------------------------------------------------------------------


def test_only_our_own_tables_are_replaced(crawled: Path, tmp_path: Path) -> None:
    db = tmp_path / "mine.duckdb"
    query("CREATE TABLE mine AS SELECT 42 AS a; CREATE VIEW also AS SELECT a FROM mine", db)
    CrawlFile(crawled).export(db, Selection(endpoints=("hashtags", "videos"), snapshot="all"))
    query("CREATE VIEW top AS SELECT hashtag_name FROM hashtags WHERE rank = 1", db)
    CrawlFile(crawled).export(db, HASHTAGS)
    assert query("FROM also", db) == [(42,)]
    assert query("SELECT (SELECT count(*) FROM hashtags), (SELECT count(*) FROM videos)", db) == [
        (120, 120)
    ]
    assert len(query("FROM top", db)) == 2
    assert names(tmp_path) == ["mine.duckdb"]


@pytest.mark.parametrize(
    "theirs",
    [
        "CREATE TABLE videos (page INTEGER, title VARCHAR)",
        "CREATE VIEW videos AS SELECT 1 AS page",
        'CREATE TABLE "Videos" AS SELECT *, 1 AS mine FROM hashtags',
        "CREATE TABLE videos AS SELECT *, 1 AS mine FROM kept",
        "CREATE VIEW videos AS FROM kept",
    ],
)
def test_a_table_of_somebody_else_is_refused(theirs: str, crawled: Path, tmp_path: Path) -> None:
    db = tmp_path / "mine.duckdb"
    CrawlFile(crawled).export(db)
    query(f"ALTER TABLE videos RENAME TO kept; DELETE FROM hashtags; {theirs}", db)
    before = query("SELECT table_name, sql FROM duckdb_tables() ORDER BY 1", db)
    with pytest.raises(StoreError, match=r"mine.duckdb: has a table videos that no export made"):
        CrawlFile(crawled).export(db)
    assert query("SELECT table_name, sql FROM duckdb_tables() ORDER BY 1", db) == before
    assert query("SELECT count(*) FROM hashtags", db) == [(0,)]


def test_tables_of_version_1_are_ours(crawled: Path, tmp_path: Path) -> None:
    db = tmp_path / "old.duckdb"
    CrawlFile(crawled).export(db, HASHTAGS)
    for column in ("day", "item_id", "place", "extra", "list_complete", "snapshot_started_at"):
        query(f"ALTER TABLE hashtags DROP COLUMN {column}", db)
    CrawlFile(crawled).export(db, HASHTAGS)
    assert query("SELECT count(item_id) FROM hashtags", db) == [(120,)]


def test_what_is_no_database_is_refused(crawled: Path, tmp_path: Path) -> None:
    db = tmp_path / "out.duckdb"
    db.write_text("of yesterday")
    with pytest.raises(StoreError, match=r"out.duckdb: DuckDB can't open it; nothing was changed"):
        CrawlFile(crawled).export(db)
    assert db.read_text() == "of yesterday"
    assert names(tmp_path) == ["out.duckdb"]


def test_a_failure_leaves_a_database_as_it_was(crawled: Path, tmp_path: Path) -> None:
    db = tmp_path / "out.duckdb"
    CrawlFile(crawled).export(db)
    put(crawled, "{", "music_detail")
    for target in (db, tmp_path / "new.duckdb"):
        with pytest.raises(StoreError, match=r"trends.sqlite: an item of its list \d+ is damaged"):
            CrawlFile(crawled).export(target, EVERY)
    assert query("SELECT count(*) FROM hashtags", db) == [(120,)]
    assert names(tmp_path) == ["out.duckdb"]


# -- odd names, others at work -----------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are UTF-8")
@pytest.mark.parametrize("name", ["out\udcff.csv", "out\udcff.parquet", "out\udcff.duckdb"])
def test_a_name_that_is_not_utf8(name: str, crawled: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder\udcfe [1]*?"
    folder.mkdir()
    for _ in range(2):
        (one,) = CrawlFile(crawled).export(folder / name, HASHTAGS)
        assert one.path is not None
        assert names(folder) == [one.path.name]
        plain = tmp_path / f"plain{one.path.suffix}"
        plain.write_bytes(one.path.read_bytes())
        if plain.suffix == ".duckdb":
            assert query("SELECT count(*) FROM hashtags", plain) == [(120,)]
        else:
            assert query(f"SELECT count(*) FROM '{plain}'") == [(120,)]


@pytest.mark.parametrize("name", ["out.jsonl", "out.parquet", "out.duckdb"])
def test_two_exports_to_one_file(name: str, crawled: Path, tmp_path: Path) -> None:
    inner: list[Any] = []

    def other(_: int) -> None:
        if not inner:
            inner.append(None)
            inner.append(CrawlFile(crawled).export(tmp_path / name, HASHTAGS))

    (one,) = CrawlFile(crawled).export(tmp_path / name, HASHTAGS, progress=other)
    assert [one] == inner[1]
    assert one.items == 120
    assert names(tmp_path) == [one.path.name if one.path else ""]


def test_an_interrupted_export_leaves_nothing(crawled: Path, tmp_path: Path) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    for name in ("out.csv", "out.duckdb", "lake/", "out.jsonl"):
        with pytest.raises(KeyboardInterrupt):
            CrawlFile(crawled).export(f"{tmp_path}/{name}", progress=interrupt)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert [thread.name for thread in threading.enumerate() if "duckdb" in thread.name] == []


def test_an_item_that_is_too_long_for_a_table(crawled: Path, tmp_path: Path) -> None:
    for length in (2_090_000, 2_100_000):
        put(crawled, json.dumps({"hashtag_id": "1", "hashtag_name": "x" * length}))
        if length < 2**21:
            (one,) = CrawlFile(crawled).export(tmp_path / "out.csv", HASHTAGS)
            assert one.items == 120
    with pytest.raises(StoreError, match=r"sqlite: an item of its list 11 is too long"):
        CrawlFile(crawled).export(tmp_path / "out.parquet", HASHTAGS)
    assert len(lines(crawled, endpoints="hashtags")[0]["hashtag_name"]) == 2_100_000


def test_duckdb_that_fails_is_told_in_one_line(crawled: Path, tmp_path: Path) -> None:
    (tmp_path / "out.hashtags.csv").mkdir()
    with pytest.raises(StoreError, match=r"out.csv: DuckDB could not write it: ") as caught:
        CrawlFile(crawled).export(tmp_path / "out.csv")
    assert "\n" not in str(caught.value)
    assert names(tmp_path) == ["out.hashtags.csv"]


def test_without_duckdb_the_extra_is_named(
    crawled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(StoreError, match=r"pip install 'keyapi-async\[export\]'"):
        CrawlFile(crawled).export(tmp_path / "out.csv")
    assert CrawlFile(crawled).export(tmp_path / "out.jsonl")


def test_several_crawls_make_one_table(crawled: Path, tmp_path: Path) -> None:
    other = write_crawl(tmp_path / "other.sqlite")
    change(other, f"UPDATE snapshots SET started_at = started_at + {DAY}, day = '2026-02-05'")
    (one,) = export_files([crawled, other], tmp_path / "out.parquet", HASHTAGS)
    assert one.items == 240
    assert query(f"SELECT day::TEXT, count(*) FROM '{one.path}' GROUP BY 1 ORDER BY 1") == [
        ("2026-02-04", 120),
        ("2026-02-05", 120),
    ]


def test_groups_of_large_items_have_fewer_rows(crawled: Path, tmp_path: Path) -> None:
    with reading(crawled) as db, duckdb.connect(config={"threads": "1"}) as connection:
        page = next(find_rows([db], HASHTAGS))
        for name, length in (("small", 10), ("large", 10_000)):
            extras = b",".join([b'"%b"' % (b"x" * length)] * 20)
            rows = b'{"position":[%b1],"extra":[%b],"item":[%b{}]}' % (
                b"1," * 19,
                extras,
                b"{}," * 19,
            )
            pages = iter([attrs.evolve(page, items=rows)] * 300)
            write_parquet(connection, partial(select, "hashtags"), pages, tmp_path / name)
            sql = "SELECT row_group_id, row_group_num_rows FROM parquet_metadata(?)"
            sizes = dict(connection.execute(sql, [str(tmp_path / name)]).fetchall()).values()
            assert sum(sizes) == 6000
            assert (max(sizes) < 5000) == (name == "large")
