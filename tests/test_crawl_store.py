"""The file of a crawl when things go wrong: clear errors, and nothing harmed."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from keyapi_async.crawl.summary import summarize
from keyapi_async.received import Source

from keyapi_async.crawl import Plan, StoreError, grid
from keyapi_async.crawl.database import in_memory, locked, transaction, undone
from keyapi_async.crawl.jobs import Fetched, Finished, Job, Options, Row
from keyapi_async.crawl.snapshots import Wish, open_snapshot
from keyapi_async.crawl.store import Store, opened
from keyapi_async.models import Hashtag
from keyapi_async.usage import Usage

PLAN = grid("hashtags", region=["US", "GB"])


def hashtag(number: int, **fields: Any) -> Hashtag:
    raw = {"hashtag_id": str(number), "hashtag_name": f"tag{number}", **fields}
    return Hashtag(hashtag_id=str(number), hashtag_name=f"tag{number}").made_from(Source(raw))


def page(job: Job, number: int, count: int = 20, **fields: Any) -> Fetched:
    rows = tuple(
        Row(
            position=place, item_id=f"{number}{place}", item=hashtag(number * 100 + place, **fields)
        )
        for place in range(1, count + 1)
    )
    return Fetched(
        job=job, page=number, rows=rows, next_page=number + 1, retrieved_at=1.0, request_id="r"
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "trends.sqlite"


def begun(store: Store, plan: Plan = PLAN, **options: Any) -> list[Job]:
    opening = open_snapshot(store, Wish(plan=plan, options=Options(**options)))
    store.begin_run(opening.snapshot, opening.options, Usage())
    return store.jobs(0, 100)


@pytest.fixture
def kept(file: Path) -> Iterator[tuple[Store, Job]]:
    """An open store with one page in it, and the job it belongs to."""
    with opened(file, create=True) as store:
        job = begun(store)[0]
        store.write([page(job, 1)], Usage(requests=1, credits_spent=2))
        yield store, job


def content(file: Path) -> list[str]:
    with closing(sqlite3.connect(file)) as db:
        return list(db.iterdump())


# -- what is stored ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        '{"value":1.0,"other":1,"id":7123456789012345678,"big":123456789012345678901234567890}',
        '{"half":"\\ud83d","whole":"🎉","null":null,"e":1e22,"none":{}}',
        "{}",
    ],
)
def test_json_is_kept_value_by_value(text: str) -> None:
    kept = Source(json.loads(text)).text()
    kept.encode()
    assert repr(json.loads(kept)) == repr(json.loads(text))


def test_a_page_and_its_items_are_all_or_nothing(kept: tuple[Store, Job], file: Path) -> None:
    store, job = kept
    before = content(file)
    broken = page(job, 2)
    again = Row(position=20, item_id=broken.rows[0].item_id, item=broken.rows[0].item)
    rows = (*broken.rows[:19], again)
    with pytest.raises(StoreError, match="UNIQUE constraint"):
        store.write([page(job, 3), Fetched(**{**_fields(broken), "rows": rows})], Usage())
    assert content(file) == before


def _fields(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__slots__ if not name.startswith("__")}


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 250])
def test_a_page_of_any_length_is_kept_in_order(count: int, file: Path) -> None:
    with opened(file, create=True) as store:
        job = begun(store)[0]
        store.write([page(job, 1, count)], Usage())
        stored = store.rows("SELECT position, item_id, json FROM items ORDER BY id")
    assert [(place, item_id) for place, item_id, _ in stored] == [
        (place, f"1{place}") for place in range(1, count + 1)
    ]
    assert [json.loads(item) for _, _, item in stored] == [
        hashtag(100 + place).raw for place in range(1, count + 1)
    ]


def test_a_job_goes_on_where_the_store_ends(kept: tuple[Store, Job], file: Path) -> None:
    store, _ = kept
    first, second = store.jobs(0, 10)
    assert (first.pages, first.items) == (1, 20)
    assert first.start is not None
    assert (first.start.page, first.start.offset, len(first.start.seen)) == (2, 0, 20)
    assert first.start.seen[:2] == ("11", "12")
    assert second.start is None
    assert [job.id for job in store.jobs(first.id, 1)] == [second.id]


def test_a_summary_counts_what_is_there(kept: tuple[Store, Job], file: Path) -> None:
    store, job = kept
    store.write([Finished(job=job, reason="exhausted")], Usage(requests=1, credits_spent=2))
    summary = summarize(store)
    assert (summary.queries, summary.done, summary.pending) == (2, 1, 1)
    assert (summary.pages, summary.items, summary.credits_spent) == (1, 20, 2)
    assert (summary.finished_at, summary.runs) == (None, 1)
    with opened(file) as reader:  # while it is being written
        assert summarize(reader) == summary


def test_a_large_plan_is_taken_in_small_bites(file: Path) -> None:
    plan = grid("videos", region=[f"r{number}" for number in range(500)])
    with opened(file, create=True) as store:
        begun(store, plan)
        assert len(store.jobs(0, 64)) == 64
        assert sum(1 for _ in store.pending(1)) == 500


# -- files that can't be used ------------------------------------------------------------------


def refused(file: Path, *, create: bool = True) -> str:
    with pytest.raises(StoreError) as caught, opened(file, create=create):
        pass
    assert str(file) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("create", [True, False])
def test_not_a_database(create: bool, file: Path) -> None:
    file.write_text("my notes\n" * 1000)
    assert "is not a SQLite database; nothing was changed" in refused(file, create=create)
    assert file.read_text() == "my notes\n" * 1000
    assert [path.name for path in file.parent.iterdir()] == [file.name]  # not even a lock


@pytest.mark.parametrize("create", [True, False])
def test_the_database_of_another_program(create: bool, file: Path) -> None:
    with closing(sqlite3.connect(file)) as db:
        db.execute("CREATE TABLE queries (mine)")
    before = content(file)
    assert "is not the file of a crawl; nothing was changed" in refused(file, create=create)
    assert content(file) == before


@pytest.mark.parametrize("create", [True, False])
def test_a_file_of_a_newer_version(create: bool, file: Path) -> None:
    with opened(file, create=True):
        pass
    with closing(sqlite3.connect(file)) as db:
        db.execute("PRAGMA user_version = 2")
    assert "newer version of keyapi-async; nothing was changed: upgrade" in refused(
        file, create=create
    )


def test_an_empty_file_is_taken_for_a_new_one(file: Path) -> None:
    file.touch()
    assert "holds no crawl yet" in refused(file, create=False)
    with opened(file, create=True) as store:
        assert len(begun(store)) == 2


def test_what_a_kill_leaves_of_a_new_file_is_taken_for_one(file: Path) -> None:
    with closing(sqlite3.connect(file)) as db:  # killed before its tables were there
        db.execute("PRAGMA page_size = 8192")
        db.execute("PRAGMA journal_mode = WAL")
    assert file.stat().st_size == 8192
    assert "holds no crawl yet" in refused(file, create=False)
    with opened(file, create=True) as store:
        assert len(begun(store)) == 2
    with opened(file) as store:
        assert summarize(store).queries == 2


def test_an_empty_database_of_another_program(file: Path) -> None:
    with closing(sqlite3.connect(file)) as db:
        db.execute("PRAGMA application_id = 7")
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
    with opened(file, create=True) as store:
        assert len(begun(store)) == 2


def test_no_file_to_look_at(file: Path) -> None:
    assert "there is no such file" in refused(file, create=False)
    assert not file.exists()


@pytest.mark.parametrize("create", [True, False])
def test_a_folder(create: bool, tmp_path: Path) -> None:
    assert "is a folder" in refused(tmp_path, create=create)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert "check that its folder exists" in refused(tmp_path / "no" / "trends.sqlite")


def test_a_damaged_file(kept: tuple[Store, Job], file: Path) -> None:
    store, _job = kept
    store.end_run(Usage())
    with closing(sqlite3.connect(file)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    damaged = file.with_name("damaged.sqlite")
    whole = file.read_bytes()
    damaged.write_bytes(whole[:8192] + b"\xff" * (len(whole) - 8192))
    with (
        pytest.raises(StoreError, match=r"damaged.sqlite: is damaged; .*start anew"),
        opened(damaged, create=True) as broken,
    ):
        begun(broken)


def test_a_read_only_file(
    kept: tuple[Store, Job], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, job = kept
    before = content(file)
    store._db.execute("PRAGMA query_only = ON")  # permissions don't stop the superuser
    with pytest.raises(StoreError, match=r"trends.sqlite: can't be written to \(read-only\)"):
        store.write([page(job, 2)], Usage())
    assert content(file) == before


@pytest.mark.parametrize("count", [1, 20])  # SQLite itself undoes all for one, not for many
def test_a_full_disk(count: int, kept: tuple[Store, Job], file: Path) -> None:
    store, job = kept
    before = content(file)
    (pages,) = store.rows("PRAGMA page_count")[0]
    store._db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreError, match=r"the disk is full; what was stored before is safe"):
        store.write([page(job, 2, count, text="x" * 50_000)], Usage())
    assert content(file) == before
    store._db.execute("PRAGMA max_page_count = 100000")
    store.write([page(job, 2, count, text="x" * 50_000)], Usage())
    assert summarize(store).pages == 2


@pytest.mark.parametrize("kind", [transaction, undone])
def test_what_sqlite_has_rolled_back_already(kind: Any) -> None:
    with closing(in_memory()) as db:
        db.execute("INSERT INTO queries VALUES (1, 'music', '{}', 1)")
        with pytest.raises(sqlite3.IntegrityError), kind(db):  # a full disk may do the same
            db.execute("INSERT INTO queries VALUES (2, 'music', '1', 1)")
            db.execute("INSERT OR ROLLBACK INTO queries VALUES (3, 'music', '{}', 1)")
        assert db.execute("SELECT id FROM queries").fetchall() == [(1,)]


def test_two_crawls_on_one_file(kept: tuple[Store, Job], file: Path) -> None:
    assert "another crawl is running on it" in refused(file)
    with opened(file) as reader:
        assert summarize(reader).pages == 1


def test_another_name_for_the_file_has_the_same_lock(kept: tuple[Store, Job], file: Path) -> None:
    link = file.with_name("link.sqlite")
    link.symlink_to(file)
    assert "another crawl is running on it" in refused(link)


def test_a_lock_ends_with_its_crawl(file: Path) -> None:
    for _ in range(2):
        with opened(file, create=True):
            pass


def test_a_lock_that_cannot_be_made(file: Path) -> None:
    Path(f"{file}-lock").write_text("not a database, and no lock " * 99)
    with pytest.raises(StoreError, match="is not a SQLite database"), locked(file):
        pass


def test_errors_without_advice_are_passed_on(kept: tuple[Store, Job]) -> None:
    store, _ = kept
    with pytest.raises(StoreError, match=r"trends.sqlite: no such table: nowhere"):
        store.rows("SELECT * FROM nowhere")


def test_writing_elsewhere_is_said(kept: tuple[Store, Job], file: Path) -> None:
    store, job = kept
    store._db.execute("PRAGMA busy_timeout = 0")
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="another program is writing to it"):
            store.write([page(job, 2)], Usage())
