"""`CrawlFile`: reads what is there, wherever it is, and leaves no trace."""

from __future__ import annotations

import asyncio
import io
import random
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from keyapi_async import CreditBudgetError, ParameterError
from keyapi_async.crawl import CrawlFile, Selection, StoreError, crawl_to, expect, grid
from keyapi_async.crawl.store import find_day
from keyapi_async.sandbox import Fault, Sandbox
from tests.crawl.sandboxed_crawl import TWO, change, folder, make_batch, opened, rows, write

PLAN = TWO + grid("music")


async def crawl_some(file: Path, **options: Any) -> Sandbox:
    async with opened() as (client, sandbox):
        await crawl_to(file, client, PLAN, **options)
    return sandbox


def look(file: Path) -> None:
    """Everything that reads."""
    crawled = CrawlFile(file)
    assert crawled.snapshots()
    crawled.status()
    crawled.incomplete()
    Counter(record.item for record in crawled.records(snapshot="all"))
    expect(None, file, fresh_within=1)


# -- what it tells -----------------------------------------------------------------------------


async def test_a_summary_of_each_snapshot(file: Path) -> None:
    await crawl_some(file, max_pages=1)
    change(file, "UPDATE snapshots SET started_at = started_at - 86400 * 2")
    await crawl_some(file, max_pages=2, extend=True, fresh_within=60)
    first, second = CrawlFile(file).snapshots()
    assert (first.snapshot, first.items, first.complete, first.pending) == (1, 60, True, 0)
    assert (second.snapshot, second.items, second.requests) == (2, 120, 6)
    assert (second.credits_spent, second.credits_at_risk, second.runs) == (12, 0, 1)
    assert second.day == find_day(second.started_at, None)
    assert second.finished_at is not None
    assert 0 <= second.seconds < 60
    assert CrawlFile(file).status() == second
    assert CrawlFile(file).status(1) == first
    with pytest.raises(StoreError, match="has no snapshot 3; the newest is 2"):
        CrawlFile(file).status(3)


async def test_what_is_incomplete_and_why(file: Path) -> None:
    plan = grid("hashtags", region=["A", "B", "C", "D", "E"])
    async with opened() as (client, sandbox):
        async with sandbox.client(qps=float("inf"), max_credits=2 * 5 + 4) as poor:
            with pytest.raises(CreditBudgetError):
                await crawl_to(file, poor, plan, concurrency=1)
        sandbox.fail(Fault.status(404), page=3)  # the second list
        sandbox.fail(Fault.empty(), page=1)  # the third
        await crawl_to(file, client, plan, keep_going=True, concurrency=1)
        await crawl_to(file, client, plan[:4], extend=True)
    told = [(str(one.query.region), one.error) for one in CrawlFile(file).incomplete()]  # type: ignore[attr-defined]
    assert [region for region, _ in told] == ["B", "C"]
    assert told[0][1].startswith("NotFoundError: 404")
    assert told[1][1] == "an empty page ended it"
    summary = CrawlFile(file).status()
    assert (summary.done, summary.failed, summary.complete) == (4, 1, False)
    assert [failed.query for failed in summary.failures] == [plan[1]]


async def test_what_broke_off_is_incomplete_and_what_was_dropped_is_not(file: Path) -> None:
    async with opened() as (client, sandbox):
        async with sandbox.client(qps=float("inf"), max_credits=2 * 5 + 4) as poor:
            with pytest.raises(CreditBudgetError):
                await crawl_to(file, poor, TWO, concurrency=1)
        (broken,) = CrawlFile(file).incomplete()
        assert (broken.query, broken.error) == (TWO[1], "not finished")
        assert not CrawlFile(file).status().complete
        await crawl_to(file, client, TWO[:1], extend=True)
    assert CrawlFile(file).incomplete() == []
    assert CrawlFile(file).status().complete


async def test_records_are_typed_and_in_the_order_of_their_lists(file: Path) -> None:
    sandbox = await crawl_some(file)
    crawled = CrawlFile(file)
    found = list(crawled.records())
    assert [record.query for record in found] == [query for query in PLAN for _ in range(100)]
    expected = [
        *sandbox.items("hashtags", region="US"),
        *sandbox.items("hashtags", region="GB"),
        *sandbox.items("music"),
    ]
    assert [record.item.raw for record in found] == expected
    last = found[-1]
    assert (last.endpoint, last.page, last.position) == ("music", 5, 20)
    assert last.request_id
    assert last.retrieved_at > 1.7e9
    assert len(list(crawled.records("hashtags"))) == 200
    assert len(list(crawled.records("hashtags", "music", region="US"))) == 200
    assert len(list(crawled.records(region=["GB", "DE"], period=7))) == 100
    assert len(list(crawled.records(period=[30, 120], snapshot="all"))) == 0
    assert len(list(crawled.records(snapshot=1))) == 300
    with pytest.raises(StoreError, match="has no snapshot 2; the newest is 1"):
        next(crawled.records(snapshot=2))
    with pytest.raises(ParameterError, match=r"endpoint must be one of .* not 'sounds'"):
        next(crawled.records("sounds"))


async def test_it_is_exported_to_a_file_or_a_stream(file: Path) -> None:
    await crawl_some(file)
    (stream,) = CrawlFile(file).export(text := io.StringIO())
    assert (stream.path, stream.items, len(text.getvalue().splitlines())) == (None, 300, 300)
    out = file.with_suffix(".jsonl")
    (made,) = CrawlFile(file).export(out, Selection(endpoints=("music",)))
    assert (made.path, made.items) == (out, 100)


# -- where it is -------------------------------------------------------------------------------


async def test_it_is_read_while_it_is_crawled(file: Path) -> None:
    async with opened({"latency": 1.0}) as (client, _):
        running = asyncio.create_task(crawl_to(file, client, grid("videos")))
        for page in range(1, 4):
            await asyncio.sleep(1)
            await asyncio.sleep(0.3 if page == 1 else 0)
            summary = CrawlFile(file).status()
            assert (summary.pages, summary.items) == (page, 20 * page)
            assert summary.credits_at_risk >= 2
            assert len(list(CrawlFile(file).records())) == 20 * page
        assert (await running).items == 500


@pytest.fixture
def killed(kept: Any, file: Path, tmp_path: Path) -> Callable[[str, bool], Path]:
    """A file as a kill leaves it: with its log, and with or without the log's index."""
    store, job, _ = kept

    def kill(name: str, with_index: bool) -> Path:
        write(store, [make_batch(job, 2)], kept[0]._before)
        path = tmp_path / name / file.name
        path.parent.mkdir()
        for ending in ("", "-wal", *(("-shm",) if with_index else ())):
            shutil.copyfile(f"{file}{ending}", f"{path}{ending}")
        return path

    return kill


@pytest.mark.parametrize("with_index", [True, False])
def test_a_killed_file_is_read_as_it_is(
    killed: Callable[[str, bool], Path], with_index: bool
) -> None:
    path = killed("dead", with_index)
    before = folder(path.parent)
    assert (CrawlFile(path).status().items, len(list(CrawlFile(path).records()))) == (40, 40)
    look(path)
    after = folder(path.parent)
    assert after.keys() == before.keys()
    for ending in ("", "-wal"):
        assert after[f"{path.name}{ending}"] == before[f"{path.name}{ending}"]


def test_an_index_that_cannot_be_opened(killed: Callable[[str, bool], Path]) -> None:
    path = killed("dead", False)
    Path(f"{path}-shm").symlink_to(path)  # SQLite follows no link there
    assert CrawlFile(path).status().items == 40


@pytest.fixture
def mount() -> Iterator[Callable[[Path], None]]:
    """Make a folder read-only, even for the superuser."""
    mounted: list[Path] = []

    def mount_read_only(path: Path) -> None:
        for options in ("bind", "remount,bind,ro"):
            command = ["mount", "-o", options, str(path), str(path)]
            if shutil.which("mount") is None or subprocess.run(command, check=False).returncode:
                pytest.skip("needs the right to mount")
            if not mounted:
                mounted.append(path)

    yield mount_read_only
    for path in mounted:
        subprocess.run(["umount", str(path)], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="mounts as Linux does")
@pytest.mark.parametrize("state", ["whole", "killed", "killed without index"])
async def test_read_only_media(
    state: str, killed: Callable[[str, bool], Path], mount: Callable[[Path], None], tmp_path: Path
) -> None:
    if state == "whole":
        path = tmp_path / "media" / "a.sqlite"
        path.parent.mkdir()
        await crawl_some(path)
    else:
        path = killed("media", state == "killed")
    before = folder(path.parent)
    mount(path.parent)
    with pytest.raises(OSError, match="Read-only"):
        path.with_name("x").touch()
    look(path)
    assert CrawlFile(path).status().items == (300 if state == "whole" else 40)
    assert folder(path.parent) == before
    async with opened() as (client, sandbox):
        with pytest.raises(StoreError, match=r"a?trends|a.sqlite: .*(read-only|written to)"):
            await crawl_to(path, client)
        assert not sandbox.requests


async def test_a_folder_that_cannot_be_written_to(file: Path, monkeypatch: Any) -> None:
    await crawl_some(file)
    monkeypatch.setattr("os.access", lambda *_: False)  # permissions don't bind the superuser
    before = folder(file.parent)
    look(file)
    assert folder(file.parent) == before


async def test_a_whole_file_is_left_as_it_is(file: Path) -> None:
    await crawl_some(file)
    before, modified = folder(file.parent), file.stat().st_mtime_ns
    look(file)
    assert folder(file.parent) == before
    assert file.stat().st_mtime_ns == modified


# -- what was done to it -----------------------------------------------------------------------


KEY = {0: "", 1: "PRIMARY KEY"}


def make_version_1(file: Path) -> None:
    """Make of a file one as the first version made it."""
    with closing(sqlite3.connect(file)) as db:
        others = db.execute(
            "SELECT type, name FROM sqlite_schema WHERE type = 'view' OR "
            "(type = 'index' AND sql NOT NULL AND name <> 'lists_pending')"
        )
        for kind, name in others.fetchall():
            db.execute(f"DROP {kind} {name}")
        db.execute("PRAGMA legacy_alter_table = ON")
        for table, column in {"snapshots": "day", "runs": "in_hand"}.items():
            info = db.execute(f"PRAGMA table_info({table})").fetchall()
            names = [name for _, name, *_ in info if name != column]
            columns = [f"{name} {kind} {KEY[pk]}" for _, name, kind, _, _, pk in info]
            columns = [text for text in columns if text.split()[0] != column]
            db.execute(f"CREATE TABLE older ({', '.join(columns)})")
            db.execute(f"INSERT INTO older SELECT {', '.join(names)} FROM {table}")
            db.execute(f"DROP TABLE {table}")
            db.execute(f"ALTER TABLE older RENAME TO {table}")
        options = '{"max_items": 20, "max_pages": null, "with_details": true}'
        db.execute("UPDATE snapshots SET options = ?", (options,))
        db.execute("PRAGMA user_version = 1")
        db.commit()


async def test_a_file_of_the_first_version(file: Path) -> None:
    async with opened() as (client, sandbox):
        await crawl_to(file, client, TWO, max_items=20, details="all")
        make_version_1(file)
        before = folder(file.parent)
        look(file)
        summary = CrawlFile(file).status()
        assert (summary.items, summary.complete) == (80, True)
        assert summary.day == find_day(summary.started_at, None)
        assert folder(file.parent) == before
        sent = len(sandbox.requests)
        again = await crawl_to(file, client, TWO, max_items=20, details="all")
        assert (again, len(sandbox.requests)) == (summary, sent)
        assert rows(file, "PRAGMA user_version") != [(1,)]
        assert rows(file, "SELECT day FROM snapshots") == [(summary.day.isoformat(),)]


def assert_right_or_refused(read: Callable[[], object], file: Path) -> bool:
    """It is read, or there is one line that says why not; whether it was refused."""
    refusal = None
    try:
        read()
    except StoreError as error:
        refusal = str(error)
    assert refusal is None or (str(file) in refusal and "\n" not in refusal)
    return refusal is not None


EDITS = [
    "UPDATE snapshots SET options = 'none'",
    "UPDATE snapshots SET options = '{}'",
    "UPDATE snapshots SET options = '[]'",
    "UPDATE snapshots SET options = '{\"max_items\": -5}'",
    "UPDATE snapshots SET options = '{\"colour\": 1}'",
    "UPDATE snapshots SET day = 'yesterday'",
    "UPDATE snapshots SET day = NULL, started_at = 'noon'",
    "UPDATE snapshots SET day = NULL, started_at = 1e300",
    "UPDATE queries SET endpoint = 'sounds'",
    "UPDATE queries SET params = '{\"region\": 5}' WHERE id = 1",
    "UPDATE queries SET params = 'US' WHERE id = 1",
    "UPDATE queries SET params = x'ff' WHERE id = 1",
    "UPDATE items SET json = '{'",
    "UPDATE items SET json = '{}'",
    "UPDATE items SET json = x'ff'",
    "UPDATE items SET json = CAST(x'ff' AS TEXT)",
    "UPDATE lists SET pages = 'many', total = 'some', state = 'pending'",
    "UPDATE lists SET next_page = 'next', state = 'pending'",
    "UPDATE lists SET next_page = -7, next_offset = 'x', state = 'pending'",
    "UPDATE runs SET started_at = 'noon', requests = 'many'",
    "UPDATE pages SET retrieved_at = 'noon'",
    "DELETE FROM snapshots",
    "DELETE FROM queries",
    "DELETE FROM pages",
    "DROP TABLE runs",
    "ALTER TABLE snapshots RENAME COLUMN options TO wishes",
]


@pytest.mark.parametrize("edit", EDITS)
async def test_rows_edited_by_hand(edit: str, file: Path) -> None:
    await crawl_some(file, max_pages=1)
    change(file, edit)
    crawled = CrawlFile(file)
    reads: list[Callable[[], object]] = [
        crawled.snapshots,
        crawled.status,
        crawled.incomplete,
        lambda: list(crawled.records(snapshot="all")),
        lambda: expect(None, file),
        lambda: expect(PLAN, file, max_pages=2, extend=True),
    ]
    for read in reads:
        assert_right_or_refused(read, file)
    async with opened() as (client, _):
        with suppress(StoreError):
            await crawl_to(file, client, PLAN, max_pages=2, extend=True)


@pytest.mark.parametrize("seed", range(3))
async def test_bytes_flipped_anywhere(seed: int, file: Path) -> None:
    await crawl_some(file, max_items=5)
    whole = file.read_bytes()
    rng = random.Random(seed)
    errors = 0
    for _ in range(60):
        damaged = bytearray(whole)
        for _ in range(rng.choice([1, 1, 4])):
            # Half of them where all is: most of what is behind it is empty.
            end = len(whole) if rng.random() < 0.5 else 8192
            damaged[rng.randrange(end)] ^= 1 << rng.randrange(8)
        file.write_bytes(damaged)
        errors += assert_right_or_refused(lambda: look(file), file)
    assert 0 < errors < 60


async def test_a_file_cut_short(file: Path) -> None:
    await crawl_some(file, max_items=5)
    whole = file.read_bytes()
    for size in range(1, len(whole), 4099):
        file.write_bytes(whole[:size])
        with pytest.raises(StoreError):
            look(file)
