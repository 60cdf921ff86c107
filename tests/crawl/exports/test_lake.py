"""A lake: one table in many files, of which only those are written that are new or changed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from keyapi_async.crawl import CrawlFile, Selection, StoreError, export_files
from tests.crawl.stored_crawls import ALL, BEGUN, COUNTS, DAY, change, put, query, write_crawl


@pytest.fixture
def crawled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_crawl(tmp_path_factory.mktemp("crawl") / "trends.sqlite")


def files(lake: Path) -> dict[str, int]:
    """The files of a lake, and when each was written."""
    found = (path for path in lake.rglob("*") if path.is_file())
    return {str(path.relative_to(lake)): path.stat().st_mtime_ns for path in found}


def count(lake: Path, endpoint: str) -> list[tuple[str, int]]:
    """How many items the lake has of each day."""
    table = f"read_parquet('{lake}/{endpoint}/**/*.parquet', hive_partitioning = true)"
    return query(f"SELECT day::TEXT, count(*) FROM {table} GROUP BY ALL ORDER BY ALL")


def test_a_file_for_each_endpoint_and_snapshot(crawled: Path, tmp_path: Path) -> None:
    written = CrawlFile(crawled).export(f"{tmp_path}/lake/")
    lake = tmp_path / "lake"
    assert sum(one.items for one in written) == 2 * ALL
    assert {one.path for one in written} == {lake / name for name in files(lake)}
    assert len(written) == 10
    for endpoint, items in COUNTS.items():
        assert count(lake, endpoint) == [("2026-02-03", items), ("2026-02-04", items)]
        days = sorted(path.name for path in (lake / endpoint).iterdir())
        assert days == ["day=2026-02-03", "day=2026-02-04"]
    (one,) = (lake / "videos" / "day=2026-02-04").iterdir()
    assert one.name.startswith("trends-")
    assert one.name.endswith("-2.parquet")
    assert query(f"SELECT count(*) FROM parquet_schema('{one}') WHERE name = 'day'") == [(0,)]


def test_only_what_is_new_or_changed_is_written(crawled: Path, tmp_path: Path) -> None:
    CrawlFile(crawled).export(tmp_path)  # a folder that is there
    before = files(tmp_path)
    assert CrawlFile(crawled).export(tmp_path) == []
    assert files(tmp_path) == before
    change(
        crawled,
        "DELETE FROM items WHERE list = 1 AND position > 10",
        "UPDATE lists SET items = 30, state = 'failed' WHERE id = 1",
    )
    (one,) = CrawlFile(crawled).export(tmp_path)
    assert (one.items, one.incomplete) == (120 - 30, 1)
    after = files(tmp_path)
    changed = [name for name in before if after[name] != before[name]]
    assert [tmp_path / name for name in changed] == [one.path]
    assert count(tmp_path, "hashtags") == [("2026-02-03", 90), ("2026-02-04", 120)]


def test_another_selection_takes_the_place_of_the_first(crawled: Path, tmp_path: Path) -> None:
    file = CrawlFile(crawled)
    file.export(tmp_path)
    (one,) = file.export(tmp_path, Selection(endpoints="hashtags", regions="US", snapshot="latest"))
    assert one.items == 60
    assert count(tmp_path, "hashtags") == [("2026-02-03", 120), ("2026-02-04", 60)]
    (one,) = file.export(tmp_path)
    assert one.items == 120


def test_a_day_of_which_nothing_is_selected_stays(crawled: Path, tmp_path: Path) -> None:
    file = CrawlFile(crawled)
    file.export(tmp_path)
    before = files(tmp_path)
    written = file.export(tmp_path, Selection(endpoints="hashtags", since=BEGUN + 2 * DAY))
    assert [(one.items, one.path.parent.name) for one in written] == [(120, "day=2026-02-04")]
    assert count(tmp_path, "hashtags") == [("2026-02-03", 120), ("2026-02-04", 120)]
    after = files(tmp_path)
    assert [name for name in before if after[name] != before[name]] == [
        str(written[0].path.relative_to(tmp_path))
    ]


def test_a_file_that_was_moved_or_is_named_twice_counts_once(crawled: Path, tmp_path: Path) -> None:
    lake, moved = f"{tmp_path}/lake/", tmp_path / "moved"
    moved.mkdir()
    link = moved / "link.sqlite"
    link.symlink_to(crawled)
    written = export_files([crawled, link], lake)
    copy = shutil.copy(crawled, moved / "trends.sqlite")
    assert export_files([copy], lake) == []
    assert {one.path for one in written} == {Path(lake, name) for name in files(Path(lake))}
    (one,) = export_files([crawled, crawled], tmp_path / "out.jsonl")
    assert one.items == len(set((tmp_path / "out.jsonl").read_text().splitlines()))


def test_separate_exports_add_up(crawled: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    same_stem = write_crawl(other / "trends.sqlite")
    change(same_stem, "UPDATE snapshots SET started_at = started_at + 0.001")
    lake = tmp_path / "lake"
    CrawlFile(crawled).export(f"{lake}/", Selection(endpoints="videos"))
    CrawlFile(same_stem).export(f"{lake}/", Selection(endpoints="videos"))
    assert count(lake, "videos") == [("2026-02-03", 120), ("2026-02-04", 120)]
    assert export_files([crawled, same_stem], lake, Selection(endpoints="videos")) == []
    assert len(export_files([crawled, same_stem], f"{tmp_path}/both/")) == 20


@pytest.mark.parametrize("stem", ["_hidden", "..x", "a b*[c]", "a=b", "été", "udcff \udcff"])
def test_a_crawl_of_any_name(stem: str, tmp_path: Path) -> None:
    crawled = write_crawl(tmp_path / f"{stem}.sqlite")
    lake = tmp_path / f"lake {stem}"
    for expected in (1, 0):
        written = CrawlFile(crawled).export(
            f"{lake}/", Selection(endpoints="music", snapshot="latest")
        )
        assert len(written) == expected
    (name,) = files(lake)
    assert name.isprintable()
    assert Path(name).name[0] not in "._"
    assert not set("*[]= ") & set(Path(name).name)


def test_what_is_no_parquet_file_is_written_anew(crawled: Path, tmp_path: Path) -> None:
    first = CrawlFile(crawled).export(tmp_path, Selection(endpoints="videos"))
    for one, text in zip(first, ("", "damaged"), strict=True):
        assert one.path is not None
        one.path.write_text(text)
    query(f"COPY (SELECT 1 AS a) TO '{tmp_path}/other.parquet'")
    assert CrawlFile(crawled).export(tmp_path, Selection(endpoints="videos")) == first
    assert first[0].path is not None
    first[0].path.write_bytes((tmp_path / "other.parquet").read_bytes())
    assert CrawlFile(crawled).export(tmp_path, Selection(endpoints="videos")) == first[:1]


def test_each_file_is_whole_or_not_there(crawled: Path, tmp_path: Path) -> None:
    seen: list[str] = []

    def look(_: int) -> None:
        parts = [path.name for path in tmp_path.rglob("*") if path.is_file()]
        seen.extend(name for name in parts if not name.endswith(".parquet"))
        assert all(not path.name.endswith(".parquet.part") for path in tmp_path.glob("*/*/[!.]*"))

    put(crawled, "{", "videos")
    with pytest.raises(StoreError, match="is damaged"):
        CrawlFile(crawled).export(tmp_path, progress=look)
    assert seen
    assert all(name.startswith(".") and name.endswith(".parquet.part") for name in seen)
    whole = files(tmp_path)
    assert all(name.endswith(".parquet") for name in whole)
    assert count(tmp_path, "videos") == [("2026-02-03", 60)]


def test_all_files_of_an_endpoint_have_one_schema(crawled: Path, tmp_path: Path) -> None:
    put(crawled, '{"hashtag_id":"1"}')
    CrawlFile(crawled).export(tmp_path)
    for endpoint in COUNTS:
        schemas = {
            str(query(f"DESCRIBE FROM '{path}'"))
            for path in (tmp_path / endpoint).rglob("*.parquet")
        }
        assert len(schemas) == 1
