"""CSV and Parquet files, and tables in a DuckDB database."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import attrs

from keyapi_async.files import PartFile

from .columns import column_names, filters, quoted, select, text
from .database import Database, StoreError
from .duck import duck, feed, is_plain, plain_name
from .lines import table_rows
from .meter import Exported, Meter
from .selection import Selection, find_endpoints, find_pages

# Without a temporary file of DuckDB's own, which would take the place, and the mode, of ours.
PARQUET: Final = "FORMAT PARQUET, COMPRESSION ZSTD, ROW_GROUP_SIZE 20000, USE_TMP_FILE false"
_CSV: Final = "FORMAT CSV, HEADER, USE_TMP_FILE false"
_MARKS: Final = frozenset({"page", "position", "retrieved_at", "request_id", "snapshot"})
"""Columns that every table of ours has had from the beginning, beside those of its query."""


def write_files(
    dbs: Sequence[Database], path: Path, selection: Selection, meter: Meter
) -> list[Exported]:
    """Write a CSV or Parquet file for each endpoint; they appear when all are complete.

    Args:
        dbs: The crawls' files.
        path: The name without the endpoint: `out.csv` makes `out.hashtags.csv`.
        selection: Which items.
        meter: Counts them.

    Raises:
        StoreError: A crawl can't be read, or a file not be written.
    """
    is_csv = path.suffix.lower() == ".csv"
    written = []
    with ExitStack() as stack, duck(path) as connection:
        for endpoint in find_endpoints(dbs, selection):
            file = stack.enter_context(PartFile(path.with_suffix(f".{endpoint}{path.suffix}")))
            query = partial(select, endpoint, nested=not is_csv, defused=is_csv)
            pages = find_pages(dbs, attrs.evolve(selection, endpoints=endpoint))
            options = _CSV if is_csv else PARQUET
            copy(connection, query, table_rows(meter.count(pages)), file.part, options)
            written.append(meter.take(file.path))
    return written


def copy(
    connection: Any,
    query: Callable[[str], str],
    rows: Iterable[bytes],
    part: Path,
    options: str,
) -> None:
    """Let DuckDB write a file.

    Args:
        connection: DuckDB.
        query: Gives what to write, for the name of the file that has the rows.
        rows: JSON lines.
        part: The file to write.
        options: Those of `COPY`.
    """
    with plain_name(part) as name:
        feed(connection, lambda file: f"COPY ({query(file)}) TO {text(name)} ({options})", rows)


def write_database(
    dbs: Sequence[Database], path: Path, selection: Selection, meter: Meter
) -> list[Exported]:
    """Write a table for each endpoint into a DuckDB database, all in one transaction.

    What else is in the database stays as it is.

    Args:
        dbs: The crawls' files.
        path: The database; made if it isn't there.
        selection: Which items.
        meter: Counts them.

    Raises:
        StoreError: A crawl can't be read, or the database not be written; or it holds a table of
            one of our names that somebody else made.
    """
    endpoints = find_endpoints(dbs, selection)
    with _database(path) as name, duck(path, name) as connection:
        connection.execute("BEGIN")
        for endpoint in endpoints:
            _check_ours(connection, path, endpoint)
            pages = find_pages(dbs, attrs.evolve(selection, endpoints=endpoint))
            feed(connection, partial(_create, endpoint), table_rows(meter.count(pages)))
        connection.execute("COMMIT")
    return [meter.take(path)]


def _create(endpoint: str, file: str) -> str:
    query = select(endpoint, file, nested=True, defused=False)
    return f"CREATE OR REPLACE TABLE {quoted(endpoint)} AS {query}"


@contextmanager
def _database(path: Path) -> Iterator[str]:
    """The name under which DuckDB opens a database: one that is there stays where it is."""
    path = Path(os.path.realpath(path))
    is_there = path.exists() and path.stat().st_size > 0
    if is_there and is_plain(path):
        yield str(path)
        return
    with PartFile(path) as file:
        if is_plain(file.part):
            mode = file.part.stat().st_mode
            file.part.unlink()  # DuckDB takes no empty file
            yield str(file.part)
            file.part.chmod(stat.S_IMODE(mode))
            return
        with TemporaryDirectory(prefix="keyapi-") as folder:
            copy = Path(folder, "database")
            if is_there:
                shutil.copyfile(path, copy)
            yield str(copy)
            shutil.copyfile(copy, file.part)


def _check_ours(connection: Any, path: Path, endpoint: str) -> None:
    """Raise if a table, or a view, of that name is not one of ours."""
    found = connection.execute(
        "SELECT table_type, column_name FROM information_schema.tables "
        "JOIN information_schema.columns USING (table_catalog, table_schema, table_name) "
        "WHERE table_catalog = current_database() AND table_schema = current_schema() "
        "AND lower(table_name) = ?",
        [endpoint],
    ).fetchall()
    have = {column for _, column in found}
    is_ours = {*filters(endpoint), *_MARKS} <= have <= {*column_names(endpoint)}
    if found and not (is_ours and found[0][0] == "BASE TABLE"):
        raise StoreError(
            f"{path}: has a table {endpoint} that no export made; nothing was changed: "
            "rename that table, or choose another file"
        )
