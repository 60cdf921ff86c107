"""Which items leave a crawl's file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from keyapi_async import ParameterError
from keyapi_async.crawl import CrawlFile, Selection, StoreError
from tests.crawl.stored_crawls import ALL, BEGUN, DAY, change, lines, put, write_crawl


@pytest.fixture
def crawled(tmp_path: Path) -> Path:
    return write_crawl(tmp_path / "trends.sqlite")


@pytest.mark.parametrize(
    ("selection", "count"),
    [
        ({}, ALL),
        ({"snapshot": "latest"}, ALL),
        ({"snapshot": 1}, ALL),
        ({"snapshot": "all"}, 2 * ALL),
        ({"endpoints": ("videos",)}, 60),
        ({"endpoints": ("videos", "music")}, 120),
        ({"endpoints": "videos"}, 60),
        ({"regions": ("GB",)}, 60 + 2 + 60 + 2),
        ({"regions": "GB", "periods": 7}, 62),
        ({"periods": (7, 30), "snapshot": "all"}, 2 * ALL),
        ({"regions": ("XX",)}, 0),
        ({"periods": (120,)}, 0),
        ({"since": BEGUN + 2 * DAY}, ALL),
        ({"since": BEGUN + 2 * DAY, "snapshot": "all"}, ALL),
        ({"until": BEGUN + 2 * DAY, "snapshot": "all"}, ALL),
        ({"until": BEGUN + 2 * DAY}, 0),
    ],
)
def test_a_selection_counts(selection: dict[str, Any], count: int, crawled: Path) -> None:
    assert len(lines(crawled, **selection)) == count


def test_incomplete_lists_are_told_or_left_out(crawled: Path, tmp_path: Path) -> None:
    change(
        crawled,
        "UPDATE lists SET state = 'failed' WHERE snapshot = 2 AND query = "
        "(SELECT id FROM queries WHERE endpoint = 'videos')",
        "UPDATE lists SET stop_reason = 'empty_page' WHERE snapshot = 1 AND query = 1",
    )
    found = lines(crawled, snapshot="all")
    incomplete = {
        (item["_keyapi"]["endpoint"], item["_keyapi"]["snapshot"])
        for item in found
        if not item["_keyapi"]["list_complete"]
    }
    assert incomplete == {("videos", 2), ("hashtags", 1)}
    assert len(lines(crawled, snapshot="all", complete_only=True)) == 2 * ALL - 120
    (all_of_it,) = CrawlFile(crawled).export(tmp_path / "out.jsonl", Selection(snapshot="all"))
    assert (all_of_it.items, all_of_it.incomplete) == (2 * ALL, 2)
    (whole,) = CrawlFile(crawled).export(tmp_path / "out.jsonl", Selection(complete_only=True))
    assert (whole.items, whole.incomplete) == (ALL - 60, 0)


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ({"endpoints": "hashtag"}, r"endpoint must be one of hashtags, .*, not 'hashtag'"),
        ({"snapshot": "newest"}, r"snapshot must be .*'latest' or 'all', not 'newest'"),
        ({"snapshot": 0}, "snapshot must be"),
        ({"since": 20, "until": 10}, "until must be no earlier than since, not 10"),
    ],
)
def test_what_can_be_no_selection(selection: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        Selection(**selection)


def test_a_snapshot_that_is_not_there(crawled: Path) -> None:
    with pytest.raises(StoreError, match=r"trends.sqlite: has no snapshot 3; the newest is 2"):
        lines(crawled, snapshot=3)
    change(crawled, "DELETE FROM snapshots")
    with pytest.raises(StoreError, match=r"trends.sqlite: holds no crawl yet"):
        lines(crawled)


DAMAGES = [
    "UPDATE snapshots SET options = 'none' WHERE id = 1",
    "UPDATE snapshots SET day = 'yesterday' WHERE id = 1",
    "UPDATE snapshots SET started_at = 1e300 WHERE id = 2",
    "UPDATE snapshots SET started_at = 'soon' WHERE id = 2",
    'UPDATE queries SET params = \'{"regoin": "US"}\' WHERE id = 1',
    "UPDATE queries SET params = '[]' WHERE id = 1",
    "UPDATE queries SET params = '{' WHERE id = 1",
    "UPDATE queries SET endpoint = 'hashtag' WHERE id = 1",
    "UPDATE pages SET page = 'two' WHERE list = 12",
    "UPDATE pages SET retrieved_at = 1e18 WHERE list = 12",
    "UPDATE pages SET retrieved_at = 'now' WHERE list = 12",
    "UPDATE pages SET request_id = x'ff' WHERE list = 12",
    "UPDATE items SET position = 'first' WHERE list = 12",
    "UPDATE items SET json = x'7b7d' WHERE list = 12",
    "UPDATE items SET json = CAST(x'ff' AS TEXT) WHERE list = 12",
    "UPDATE items SET json = '{\"a\": \"' || CAST(x'ff' AS TEXT) || '\"}' WHERE list = 12",
    "UPDATE items SET json = '[]' WHERE list = 12",
    "UPDATE items SET json = '{\"a\": 1' WHERE list = 12",
]
FORMS = ["out.csv", "out.duckdb", "lake/"]


@pytest.mark.parametrize(
    ("name", "damage"),
    [("out.jsonl", damage) for damage in DAMAGES]
    + [("out.parquet", damage) for damage in DAMAGES if "x'7b7d'" not in damage]
    + [(name, damage) for name in FORMS for damage in (DAMAGES[0], DAMAGES[7], DAMAGES[-1])],
)
def test_a_damaged_row_is_told_and_nothing_is_written(
    name: str, damage: str, crawled: Path, tmp_path: Path
) -> None:
    change(crawled, damage)
    before = crawled.read_bytes()
    (tmp_path / "out").mkdir()
    with pytest.raises(StoreError, match=r"trends.sqlite: ") as caught:
        CrawlFile(crawled).export(f"{tmp_path}/out/{name}")
    assert "\n" not in str(caught.value)
    left = [path.name for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert [name for name in left if not name.startswith("trends-")] == []
    assert [name for name in left if name.endswith(".part")] == []
    assert crawled.read_bytes() == before


def test_records_of_a_damaged_row(crawled: Path) -> None:
    put(crawled, '{"hashtag_id": 1}')
    with pytest.raises(StoreError, match=r"trends.sqlite: is damaged"):
        list(CrawlFile(crawled).records("hashtags"))
    assert len(list(CrawlFile(crawled).records("hashtags", snapshot=1, region="US"))) == 60
