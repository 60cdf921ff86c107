"""The file of a crawl when things go wrong: clear errors, and nothing harmed."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from keyapi_async.crawl import CrawlFile, StoreError, crawl_to, grid
from keyapi_async.crawl import database as database_module
from keyapi_async.crawl.database import Database, parsing, reading, writing
from keyapi_async.crawl.jobs import Job
from keyapi_async.crawl.store import Store
from keyapi_async.usage import Usage
from tests.crawl.sandboxed_crawl import (
    begin,
    change,
    content,
    folder,
    make_batch,
    opened,
    rows,
    write,
)
from tests.crawl.stored_crawls import write_crawl

Kept = tuple[Store, Job, Database]


def refused(file: Path, *, create: bool = True) -> str:
    """Why a file can't be written to, or read."""
    opening = writing(file, create=True) if create else reading(file)
    with pytest.raises(StoreError) as caught, opening:
        pass
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("create", [True, False])
def test_not_a_database(create: bool, file: Path) -> None:
    file.write_text("my notes\n" * 1000)
    assert "is not a SQLite database; nothing was changed" in refused(file, create=create)
    assert folder(file.parent) == {file.name: b"my notes\n" * 1000}  # not even a lock


@pytest.mark.parametrize("create", [True, False])
def test_the_database_of_another_program(create: bool, file: Path) -> None:
    change(file, "CREATE TABLE queries (mine)")
    before = content(file)
    assert "is not the file of a crawl; nothing was changed" in refused(file, create=create)
    assert content(file) == before


@pytest.mark.parametrize("create", [True, False])
@pytest.mark.parametrize(
    ("version", "problem"),
    [(99, "newer version of keyapi-async; nothing was changed: upgrade"), (0, "is damaged")],
)
def test_a_file_of_another_version(version: int, problem: str, create: bool, file: Path) -> None:
    with writing(file, create=True):
        pass
    change(file, f"PRAGMA user_version = {version}")
    assert problem in refused(file, create=create)


def test_an_empty_file_is_taken_for_a_new_one(file: Path) -> None:
    file.touch()
    assert "holds no crawl yet" in refused(file, create=False)
    with writing(file, create=True) as db:
        assert len(begin(db).jobs(0, 9)) == 2


def test_what_a_kill_leaves_of_a_new_file_is_taken_for_one(file: Path) -> None:
    with closing(sqlite3.connect(file)) as db:  # killed before its tables were there
        db.execute("PRAGMA page_size = 8192")
        db.execute("PRAGMA journal_mode = WAL")
    assert file.stat().st_size == 8192
    assert "holds no crawl yet" in refused(file, create=False)
    with writing(file, create=True) as made:
        begin(made)
    assert CrawlFile(file).status().queries == 2


def test_an_empty_database_of_another_program(file: Path) -> None:
    change(file, "PRAGMA application_id = 7")
    assert "is not the file of a crawl; nothing was changed" in refused(file)


def test_a_disk_that_is_full_from_the_start(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = sqlite3.connect

    def small(*args: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*args, **options)
        connection.execute("PRAGMA max_page_count = 2")
        return connection

    with monkeypatch.context() as disk:
        disk.setattr(sqlite3, "connect", small)
        assert "the disk is full" in refused(file)
    with writing(file, create=True) as db:
        assert len(begin(db).jobs(0, 9)) == 2


@pytest.mark.parametrize("keep_going", [True, False])
async def test_a_full_disk_ends_the_crawl_and_harms_nothing(
    keep_going: bool, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = sqlite3.connect
    disk = [25]

    def small(*args: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*args, **options)
        connection.execute(f"PRAGMA max_page_count = {disk[0]}")
        return connection

    plan = grid("hashtags", region=["US", "GB"])
    async with opened() as (client, sandbox):
        with monkeypatch.context() as patched:
            patched.setattr(sqlite3, "connect", small)
            with pytest.raises(StoreError, match=r"sqlite: the disk is full; what was stored be"):
                await crawl_to(file, client, plan, keep_going=keep_going)
        assert rows(file, "SELECT DISTINCT state, error FROM lists") == [("pending", None)]
        ((stored,),) = rows(file, "SELECT count(*) FROM pages")
        # What had been paid for when the disk was full: one page of each list at most.
        assert 0 < stored < sandbox.credits_spent // 2 <= stored + 2
        assert (await crawl_to(file, client, plan)).items == 200
        assert sandbox.credits_spent // 2 <= 10 + 2
    assert rows(file, "PRAGMA integrity_check") == [("ok",)]


@pytest.fixture
def another(tmp_path: Path) -> Path:
    """Another crawl's file."""
    return write_crawl(tmp_path / "another.sqlite")


@pytest.mark.parametrize("cancel", [False, True])
@pytest.mark.parametrize("how", ["file", "folder", "replaced"])
async def test_a_crawl_ends_when_its_file_is_moved_and_resumes_when_it_is_back(
    how: str, cancel: bool, another: Path, tmp_path: Path
) -> None:
    file, away = tmp_path / "crawls" / "trends.sqlite", tmp_path / "away" / "trends.sqlite"
    file.parent.mkdir()
    async with opened({"latency": 1.0}, qps=10) as (client, sandbox):
        crawling = asyncio.create_task(
            crawl_to(file, client, grid("hashtags", region=["US", "GB"]))
        )
        while len(sandbox.requests) < 3:  # by then a page is stored
            await asyncio.sleep(0.1)
        if how == "folder":
            file.parent.rename(away.parent)
            file.parent.mkdir()
        else:
            away.parent.mkdir()
            file.rename(away)
        if how == "replaced":
            another.rename(file)
        if cancel:
            crawling.cancel()
            await asyncio.wait([crawling])
        else:
            with pytest.raises(StoreError, match=r"sqlite: was moved, replaced .* put it back"):
                await crawling
        assert len(sandbox.requests) == 3
        if how == "replaced":
            assert rows(file, "PRAGMA integrity_check") == [("ok",)]
            assert CrawlFile(file).status().complete
        assert rows(away, "SELECT count(*) FROM pages") == [(1 if cancel else 3,)]
        away.replace(file)
        assert (await crawl_to(file, client)).items == 200
        assert sandbox.credits_spent == 2 * 10
    assert rows(file, "PRAGMA integrity_check") == [("ok",)]


async def test_a_crawl_may_change_its_folder(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    async with opened({"latency": 1.0}) as (client, sandbox):
        crawling = asyncio.create_task(crawl_to("trends.sqlite", client, grid("music")))
        while not sandbox.requests:
            await asyncio.sleep(0.1)
        monkeypatch.chdir(tmp_path.parent)
        assert (await crawling).items == 100


def test_no_file_to_look_at(file: Path) -> None:
    assert "there is no such file" in refused(file, create=False)
    assert folder(file.parent) == {}


@pytest.mark.parametrize("create", [True, False])
def test_a_folder(create: bool, tmp_path: Path) -> None:
    assert "is a folder" in refused(tmp_path, create=create)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert "check that its folder exists" in refused(tmp_path / "no" / "trends.sqlite")


@pytest.mark.parametrize("create", [True, False])
def test_a_name_no_file_can_have(create: bool, tmp_path: Path) -> None:
    assert "File name too long" in refused(tmp_path / ("x" * 999), create=create)


def test_a_damaged_file(kept: Kept, file: Path) -> None:
    change(file, "PRAGMA wal_checkpoint(TRUNCATE)")
    damaged = file.with_name("damaged.sqlite")
    whole = file.read_bytes()
    damaged.write_bytes(whole[:8192] + b"\xff" * (len(whole) - 8192))
    with (
        pytest.raises(StoreError, match=r"damaged.sqlite: is damaged; .*start anew"),
        writing(damaged, create=True) as broken,
    ):
        begin(broken)


def test_a_read_only_file(kept: Kept, file: Path) -> None:
    store, job, db = kept
    before = content(file)
    db.rows("PRAGMA query_only = ON")  # permissions don't stop the superuser
    with pytest.raises(StoreError, match=r"trends.sqlite: can't be written to \(read-only\)"):
        write(store, [make_batch(job, 2)], Usage())
    assert content(file) == before


@pytest.mark.parametrize("count", [1, 20])  # SQLite itself undoes all for one, not for many
def test_a_full_disk(count: int, kept: Kept, file: Path) -> None:
    store, job, db = kept
    before = content(file)
    (pages,) = db.rows("PRAGMA page_count")[0]
    db.rows(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreError, match=r"the disk is full; what was stored before is safe"):
        write(store, [make_batch(job, 2, count, text="x" * 50_000)], Usage())
    assert content(file) == before
    db.rows("PRAGMA max_page_count = 100000")
    write(store, [make_batch(job, 2, count, text="x" * 50_000)], Usage())
    assert CrawlFile(file).status().pages == 2


def test_what_sqlite_has_rolled_back_already(kept: Kept, file: Path) -> None:
    _, _, db = kept
    before = content(file)
    add = "INSERT {} INTO queries (endpoint, params, planned) VALUES ('music', '{{}}', 1)"
    with pytest.raises(StoreError, match="UNIQUE"), db.transaction() as connection:
        connection.execute(add.format(""))
        connection.execute(add.format("OR ROLLBACK"))  # a full disk may do the same
    assert content(file) == before


def test_two_crawls_on_one_file(kept: Kept, file: Path) -> None:
    assert "another crawl is running on it" in refused(file)
    assert CrawlFile(file).status().pages == 1


def test_another_name_for_the_file_has_the_same_lock(kept: Kept, file: Path) -> None:
    link = file.with_name("link.sqlite")
    link.symlink_to(file)
    assert "another crawl is running on it" in refused(link)


def test_a_lock_ends_with_its_crawl(file: Path) -> None:
    for _ in range(2):
        with writing(file, create=True):
            pass


def test_a_lock_that_cannot_be_made(file: Path) -> None:
    Path(f"{file}-lock").write_text("not a database, and no lock " * 99)
    assert "is not a SQLite database" in refused(file)


def test_errors_without_advice_are_passed_on(kept: Kept) -> None:
    with pytest.raises(StoreError, match=r"trends.sqlite: no such table: nowhere"):
        kept[2].rows("SELECT * FROM nowhere")


def test_writing_elsewhere_is_said(kept: Kept, file: Path) -> None:
    store, job, db = kept
    db.rows("PRAGMA busy_timeout = 0")
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="another program is writing to it"):
            write(store, [make_batch(job, 2)], Usage())


@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
@pytest.mark.parametrize("create", [True, False])
def test_a_file_another_program_has_locked(
    create: bool, mode: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with writing(file, create=True) as db:
        begin(db)
    connect = sqlite3.connect
    with closing(connect(file, isolation_level=None)) as other:
        other.execute(f"PRAGMA journal_mode = {mode}")
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        other.execute("DELETE FROM runs")
        monkeypatch.setattr(
            sqlite3, "connect", lambda *args, **options: connect(*args, **{**options, "timeout": 0})
        )
        before = set(folder(file.parent))
        assert "another program is writing to it" in refused(file, create=create)
        assert before <= set(folder(file.parent)) <= {*before, f"{file.name}-lock"}


@pytest.mark.parametrize(
    "error", [ValueError("a\nb"), KeyError("x"), RecursionError(""), TypeError()]
)
def test_rows_no_crawl_wrote_are_damage(error: Exception) -> None:
    with (
        pytest.raises(StoreError, match=r"a.sqlite: is damaged") as caught,
        parsing(Path("a.sqlite")),
    ):
        raise error
    assert "\n" not in str(caught.value)
    with pytest.raises(StoreError, match=r"^mine$"), parsing(Path("a.sqlite")):
        raise StoreError("mine")
    with parsing(Path("a.sqlite")):
        pass


def test_only_what_upgrades_changes_an_older_file() -> None:
    assert database_module.VERSION - 1 in database_module._UPGRADES
