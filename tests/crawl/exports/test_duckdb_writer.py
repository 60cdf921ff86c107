"""DuckDB reads rows as they are made: by a pipe, or by a file where there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from keyapi_async.crawl.exports.duckdb_writer import feed, feed_file, plain_name

ROWS = 300_000


def open_files() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())


def count(file: str) -> str:
    columns = "header = false, columns = {n: 'INT'}"
    return f"CREATE TABLE t AS SELECT * FROM read_csv('{file}', {columns})"


@pytest.mark.parametrize("way", [feed, feed_file])
def test_rows_arrive(way: Callable[..., None]) -> None:
    with duckdb.connect() as connection:
        way(connection, count, (b"%d\n" % number for number in range(ROWS)))
        found = connection.execute("SELECT count(*), sum(n) FROM t").fetchall()
    assert found == [(ROWS, ROWS * (ROWS - 1) // 2)]


@pytest.mark.parametrize("way", [feed, feed_file])
def test_rows_that_fail(way: Callable[..., None]) -> None:
    def rows() -> Iterator[bytes]:
        yield b"1\n" * ROWS
        raise ZeroDivisionError

    before = open_files()
    with duckdb.connect() as connection, pytest.raises(ZeroDivisionError):
        way(connection, count, rows())
    assert open_files() == before


def test_a_reader_that_fails_ends_the_rows() -> None:
    made: list[int] = []

    def rows() -> Iterator[bytes]:
        for number in range(ROWS):
            made.append(number)
            yield b"x" * 100 + b"\n"

    before = open_files()
    with duckdb.connect() as connection, pytest.raises(duckdb.Error):
        feed(connection, lambda _: "SELECT no_such_thing", rows())
    assert 0 < len(made) < ROWS
    assert open_files() == before


@pytest.mark.parametrize("name", ["plain", "a*", "b?[1]", "c\udcff"])
def test_a_name_duckdb_can_take(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.touch()
    with plain_name(path) as plain:
        assert plain.isprintable()
        assert not set("*?[") & set(plain)
        Path(plain).write_text("x")
    assert path.read_text() == "x"
    assert Path(plain).exists() == (name == "plain")


def test_a_pipe_is_asked_for_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    with duckdb.connect() as connection:
        feed(connection, lambda file: seen.append(file) or count(file), [b"1\n"])
        connection.execute("DROP TABLE t")
        monkeypatch.setattr(
            "keyapi_async.crawl.exports.duckdb_writer._PIPES", Path("/no/such/folder")
        )
        feed(connection, lambda file: seen.append(file) or count(file), [b"1\n"])
    assert seen[0].startswith("/dev/fd/")
    assert not Path(seen[1]).exists()
    assert Path(seen[1]).name == "rows"
