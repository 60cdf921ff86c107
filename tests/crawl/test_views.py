"""The views of a crawl's file, and the guide's queries: on the file, a database and a lake."""

from __future__ import annotations

import asyncio
import json
import math
import re
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pytest
from attrs import field, frozen

import keyapi_async.crawl
from keyapi_async.crawl import CrawlFile, Selection, crawl_to, grid
from keyapi_async.crawl import columns as columns_module
from keyapi_async.crawl import views as views_module
from keyapi_async.crawl.columns import column_names, fields
from keyapi_async.crawl.database import reading, writing
from keyapi_async.crawl.views import view_sql
from keyapi_async.queries import ENDPOINTS, VideosQuery
from keyapi_async.sandbox import Sandbox
from tests.crawl.stored_crawls import change, put, table, write_crawl

VERSION_1 = Path(__file__).parent / "data" / "version1.sqlite"
REGIONS = ["US", "GB", "DE", "FR", "ES", "IT", "JP"]


def rows(file: Path, sql: str, *values: object) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(file)) as db:
        return db.execute(sql, values).fetchall()


@pytest.fixture
def crawled(tmp_path: Path) -> Path:
    return write_crawl(tmp_path / "trends.sqlite")


def test_views_have_what_the_tables_have(crawled: Path, tmp_path: Path) -> None:
    put(crawled, r'{"hashtag_id":"1","new":{"a":[1]},"is_promoted":true,"rank":null,"trend":[]}')
    put(crawled, '{"sound":{"clip_id":"2","mood":"calm"},"like_count":3}', "music_detail")
    change(
        crawled,
        """UPDATE items SET item_id = '1' WHERE json LIKE '{"hashtag_id":"1",%'""",
        """UPDATE items SET item_id = '2' WHERE json LIKE '%"mood"%'""",
    )
    (one,) = CrawlFile(crawled).export(tmp_path / "out.duckdb", Selection(snapshot="all"))
    assert one.path is not None
    with closing(sqlite3.connect(crawled)) as db:
        db.row_factory = sqlite3.Row
        for name in ENDPOINTS:
            found = [dict(row) for row in db.execute(f"SELECT * FROM {name}")]
            expected = table(f"FROM {name}", one.path)
            assert list(found[0]) == column_names(name)
            place = ("snapshot", "request_id", "position")
            found.sort(key=lambda row: [row[column] for column in place])
            expected.sort(key=lambda row: [row[column] for column in place])
            for row, other in zip(found, expected, strict=True):
                for column, value in other.items():
                    assert same(row[column], value, column), (name, column)


def same(cell: Any, value: Any, column: str) -> bool:
    """Whether a view's cell is what a table has: nested values are JSON, flags are 0 and 1."""
    if column in ("retrieved_at", "snapshot_started_at"):
        return str(cell) == value.isoformat(timespec="milliseconds") + "Z"
    if column == "day":
        return str(cell) == value.isoformat()
    if isinstance(value, dict | list):
        return is_within(value, json.loads(cell or "[]"))
    if column == "extra" and value is not None:
        return bool(json.loads(cell) == json.loads(value))
    return bool(cell == value)


def is_within(value: Any, wire: Any) -> bool:
    """Whether nested values of a table are those of the wire, which may have more."""
    if isinstance(value, dict):
        return all(is_within(inner, (wire or {}).get(name)) for name, inner in value.items())
    if isinstance(value, list):
        return len(value) == len(wire or []) and all(map(is_within, value, wire or []))
    return bool(value == wire or str(value) == str(wire))


def test_incomplete_lists_are_told(crawled: Path) -> None:
    change(crawled, "UPDATE lists SET state = 'pending', stop_reason = NULL WHERE id = 1")
    sql = "SELECT snapshot, list_complete, count(*) FROM hashtags GROUP BY 1, 2 ORDER BY 1, 2"
    assert rows(crawled, sql) == [(1, 0, 60), (1, 1, 60), (2, 1, 120)]


def test_one_items_history_takes_no_search_through_all(tmp_path: Path) -> None:
    file = tmp_path / "large.sqlite"
    with writing(file, create=True) as db, db.transaction() as to:
        for region in range(20):
            params = json.dumps({"region": f"R{region}", "period": "7", "limit": "20"})
            to.execute("INSERT INTO queries VALUES (?, 'hashtags', ?, 1)", (region, params))
        for number in range(2000):
            day, region = divmod(number, 20)
            if not region:
                to.execute("INSERT INTO snapshots VALUES (?, 0, '{}', ?)", (day, f"day {day:02}"))
            to.execute(
                "INSERT INTO lists (id, snapshot, query) VALUES (?, ?, ?)", (number, day, region)
            )
            to.execute("INSERT INTO pages VALUES (?, ?, 1, NULL, 0, 2, 'ok')", (number, number))
            to.executemany(
                "INSERT INTO items (list, page, position, item_id, json) VALUES (?, ?, ?, ?, '{}')",
                ((number, number, place, str(place)) for place in range(100)),
            )
    sql = "SELECT day, rank FROM hashtags WHERE item_id = ? AND query_region = 'R7' ORDER BY day"
    plan = " ".join(row[3] for row in rows(file, f"EXPLAIN QUERY PLAN {sql}", "42"))
    assert "SCAN" not in plan
    assert "(list=? AND item_id=?)" in plan
    began = time.process_time()
    assert rows(file, sql, "42") == [(f"day {day:02}", 42) for day in range(100)]
    assert time.process_time() - began < 0.1


# -- made with the file, and anew --------------------------------------------------------------


def test_views_are_made_anew_by_another_version(crawled: Path) -> None:
    change(
        crawled,
        "DROP VIEW videos",
        "DROP VIEW music",
        "CREATE VIEW videos AS SELECT /* made by keyapi_async */ 1 AS old",
        "CREATE TABLE music (mine)",
    )
    made = dict(rows(crawled, "SELECT name, rootpage FROM sqlite_schema"))
    with writing(crawled, create=False):
        pass
    assert len(rows(crawled, "SELECT rank FROM videos")) == 120
    assert rows(crawled, "SELECT mine FROM music") == []
    assert dict(rows(crawled, "SELECT name, rootpage FROM sqlite_schema")) == made
    version = rows(crawled, "PRAGMA schema_version")
    with writing(crawled, create=False):
        pass
    assert rows(crawled, "PRAGMA schema_version") == version


def test_an_endpoint_more_has_a_view_more(monkeypatch: pytest.MonkeyPatch) -> None:
    @frozen(kw_only=True)
    class EffectsQuery(VideosQuery):
        name = "effects"
        effect: str = field(default=None, converter=lambda value: value or "none")

    for module in (columns_module, views_module):
        monkeypatch.setattr(module, "ENDPOINTS", {**ENDPOINTS, "effects": EffectsQuery})
    with closing(sqlite3.connect(":memory:")) as db:
        views_module.make_views(db)
        views = db.execute("SELECT name FROM sqlite_schema WHERE type = 'view'").fetchall()
    assert views == [(name,) for name in [*ENDPOINTS, "effects"]]
    assert "nullif(json_extract(q.params, '$.effect'), 'none')" in view_sql("effects")
    for cached in (columns_module.fields, columns_module.filters, columns_module.known_names):
        cached.cache_clear()


def test_a_file_of_version_1_is_upgraded_where_it_is(tmp_path: Path) -> None:
    file = tmp_path / "old.sqlite"
    file.write_bytes(VERSION_1.read_bytes())
    with reading(file):
        pass
    assert file.read_bytes() == VERSION_1.read_bytes()
    before = [CrawlFile(file).status(number) for number in (1, 2)]
    items = rows(file, "SELECT * FROM items")
    with writing(file, create=False):
        pass
    assert rows(file, "PRAGMA user_version") == [(2,)]
    assert [CrawlFile(file).status(number) for number in (1, 2)] == before
    assert rows(file, "SELECT * FROM items") == items
    assert rows(file, "PRAGMA integrity_check") == [("ok",)]
    days = [str(one.day) for one in before]
    for name in ENDPOINTS:
        assert rows(file, f"SELECT day, count(*) FROM {name} GROUP BY day") == [
            (days[0], 4),
            (days[1], 4),
        ]
        assert len(rows(file, f"SELECT * FROM {name} WHERE item_id = '0'")) == 0
    assert fields("videos")["item_id"].is_key


# -- the guide's queries -----------------------------------------------------------------------


def _queries() -> tuple[str, dict[str, str]]:
    """What the guide's queries begin with, and each by the comment before it."""
    guide = Path(keyapi_async.crawl.__file__).with_name("README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```sql\n(.*?)```", guide, re.DOTALL)
    head, *rest = re.split(r"^-- then one of these\n", "".join(blocks), flags=re.MULTILINE)
    parts = re.split(r"^-- (.*)\n", rest[0], flags=re.MULTILINE)[1:]
    return head, dict(zip(parts[::2], (sql.rstrip(";\n") for sql in parts[1::2]), strict=True))


TWO_DAYS, QUERIES = _queries()
RISERS, NEW, GONE = (QUERIES[f"what {what}"] for what in ("rose", "is new", "is gone"))
HISTORY = QUERIES["one item's history, null on a day when it was not listed"].replace(
    "'ufc324'", "'riser'"
)
REGIONS_OF_SOUNDS = QUERIES["sounds listed in more than five regions"]


@cache
def _two_equal_days() -> bytes:
    async def fill(file: Path) -> None:
        plan = grid("hashtags", region=["US", "GB"], industry_id=[None, 11000000000, 10000000000])
        plan += grid("music", region=REGIONS) + grid("music", search_keyword="a")
        async with Sandbox() as sandbox, sandbox.client(qps=math.inf) as client:
            for _ in range(2):
                await crawl_to(file, client, plan, max_items=20, fresh_within=0)

    with TemporaryDirectory() as folder:
        file = Path(folder, "trends.sqlite")
        asyncio.run(fill(file))
        change(file, "UPDATE snapshots SET day = '2026-02-0' || (id + 2)")
        return file.read_bytes()


Ask = Callable[[Path, str], list[tuple[Any, ...]]]


def ask_the_file(file: Path, sql: str) -> list[tuple[Any, ...]]:
    return rows(file, sql)


def ask_a_database(file: Path, sql: str) -> list[tuple[Any, ...]]:
    (one,) = CrawlFile(file).export(file.with_suffix(".duckdb"), Selection(snapshot="all"))
    with duckdb.connect(str(one.path)) as db:
        return db.execute(sql).fetchall()


def ask_a_lake(file: Path, sql: str) -> list[tuple[Any, ...]]:
    lake = file.parent / "lake"
    CrawlFile(file).export(f"{lake}/")
    with duckdb.connect() as db:
        for name in ("hashtags", "music"):
            files = f"read_parquet('{lake}/{name}/**/*.parquet', hive_partitioning = true)"
            db.execute(f"CREATE VIEW {name} AS FROM {files}")
        return db.execute(sql).fetchall()


@pytest.fixture(params=[ask_the_file, ask_a_database, ask_a_lake])
def ask(request: pytest.FixtureRequest) -> Ask:
    ask: Ask = request.param
    return ask


@pytest.fixture
def two_days(tmp_path: Path) -> Path:
    file = tmp_path / "trends.sqlite"
    file.write_bytes(_two_equal_days())
    return file


def test_between_equal_days_nothing_moves(two_days: Path, ask: Ask) -> None:
    for sql in (RISERS, NEW, GONE):
        assert ask(two_days, TWO_DAYS + sql) == []


def test_on_the_first_day_nothing_is_new(two_days: Path, ask: Ask) -> None:
    change(two_days, "DELETE FROM lists WHERE snapshot = 2", "DELETE FROM snapshots WHERE id = 2")
    for sql in (RISERS, NEW, GONE):
        assert ask(two_days, TWO_DAYS + sql) == []


def move(file: Path) -> None:
    """Let one rise by 12 and 12 others fall, one be new and one be gone; cut the list of GB."""
    query = "(SELECT id FROM queries WHERE endpoint = 'hashtags' AND json_extract(params, '$.{}"
    us = query.format("region') = 'US' AND params LIKE '%nothing%')")
    gb = query.format("region') = 'GB' AND params LIKE '%nothing%')")
    us_list = f"list = (SELECT id FROM lists WHERE snapshot = 2 AND query = {us})"
    us_lists = f"list IN (SELECT id FROM lists WHERE query = {us})"
    rank = "json_extract(json, '$.rank')"
    change(
        file,
        f"UPDATE items SET json = json_set(json, '$.hashtag_name', 'riser') "
        f"WHERE {us_lists} AND {rank} = 15",
        f"UPDATE items SET json = json_set(json, '$.hashtag_name', 'gone', '$.video_views', 7) "
        f"WHERE {us_lists} AND {rank} = 20",
        f"UPDATE items SET json = json_set(json, '$.rank', CASE {rank} WHEN 15 THEN 3 "
        f"ELSE {rank} + 1 END) WHERE {us_list} AND {rank} BETWEEN 3 AND 15",
        "UPDATE items SET item_id = 'n', json = json_set(json, '$.hashtag_name', 'new', "
        f"'$.hashtag_id', 'n') WHERE {us_list} AND {rank} = 20",
        f"DELETE FROM items WHERE list IN (SELECT id FROM lists WHERE query = {gb}) AND page % 2",
        f"UPDATE lists SET state = 'failed' WHERE snapshot = 2 AND query = {gb}",
    )


def test_what_rose_is_new_and_is_gone(two_days: Path, ask: Ask) -> None:
    move(two_days)
    assert ask(two_days, TWO_DAYS + RISERS) == [("riser", 15, 3)]
    assert ask(two_days, TWO_DAYS + NEW) == [("new", 20)]
    assert ask(two_days, TWO_DAYS + GONE) == [("gone", 20)]
    of_gb = TWO_DAYS.replace("'US'", "'GB'")
    for sql in (RISERS, NEW, GONE):
        assert ask(two_days, of_gb + sql) == []


def test_the_history_of_one_item(two_days: Path, ask: Ask) -> None:
    move(two_days)
    found = ask(two_days, TWO_DAYS + HISTORY)
    assert [(str(day), rank) for day, rank, _ in found] == [("2026-02-03", 15), ("2026-02-04", 3)]
    found = ask(two_days, TWO_DAYS + HISTORY.replace("riser", "gone"))
    assert [(str(day), *more) for day, *more in found] == [
        ("2026-02-03", 20, 7),
        ("2026-02-04", None, None),
    ]


def test_sounds_in_more_than_five_regions(two_days: Path, ask: Ask) -> None:
    in_lists: dict[str, set[str]] = {}
    for found in CrawlFile(two_days).records("music"):
        if found.query.search_keyword == "FALSE":
            in_lists.setdefault(found.item.clip_id, set()).add(found.query.region)
    expected = sorted(len(regions) for regions in in_lists.values() if len(regions) > 5)
    assert expected == []  # of the sandbox each region has its own
    change(
        two_days,
        "UPDATE items SET item_id = 's', json = json_set(json, '$.clip_id', 's', '$.title', 'hit') "
        "WHERE position = 2 AND list IN (SELECT l.id FROM lists l JOIN queries q ON q.id = l.query "
        "WHERE endpoint = 'music' AND params LIKE '%FALSE%' AND params NOT LIKE '%JP%')",
        "UPDATE items SET item_id = 'f', json = json_set(json, '$.clip_id', 'f', '$.title', '5') "
        "WHERE position = 3 AND list IN (SELECT l.id FROM lists l JOIN queries q ON q.id = l.query "
        "WHERE endpoint = 'music' AND params NOT LIKE '%JP%' AND params NOT LIKE '%IT%')",
    )
    assert ask(two_days, REGIONS_OF_SOUNDS) == [("hit", 6)]
