"""CSV and Parquet files, and tables in a DuckDB database."""

from __future__ import annotations

import itertools
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, TypeAlias

import attrs

from keyapi_async.crawl.columns import column_names, filters, quote_name, quote_text, select
from keyapi_async.crawl.database import Database, StoreError
from keyapi_async.files import PartFile

from .duckdb_writer import feed, is_plain, open_duckdb, plain_name
from .meter import Exported, Meter
from .rows import check_items, find_rows, table_rows
from .selection import FoundPage, Selection, find_endpoints

MakeSQL: TypeAlias = Callable[[str], str]
"""Makes a query of the name of the file that has the rows."""

# Without DuckDB's own temporary file, which would replace our part file and lose its mode.
_PARQUET: Final = "FORMAT PARQUET, COMPRESSION ZSTD, USE_TMP_FILE false, ROW_GROUP_SIZE"
_CSV: Final = "FORMAT CSV, HEADER, USE_TMP_FILE false"
_GROUP: Final = 20_000
"""So many rows Parquet has in a group, all of which are in memory at once."""
_GROUP_BYTES: Final = 40_000_000
"""There are fewer where their JSON is longer than this."""
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
    check = partial(check_items, dbs, selection)
    with ExitStack() as stack, open_duckdb(path, check) as connection:
        for endpoint in find_endpoints(dbs, selection):
            file = stack.enter_context(PartFile(path.with_suffix(f".{endpoint}{path.suffix}")))
            query = partial(select, endpoint, for_csv=is_csv)
            pages = meter.count(find_rows(dbs, attrs.evolve(selection, endpoints=endpoint)))
            if is_csv:
                _copy(connection, query, table_rows(pages), file.part, _CSV)
            else:
                write_parquet(connection, query, pages, file.part)
            written.append(meter.take(file.path))
    return written


def write_parquet(
    connection: Any,
    query: MakeSQL,
    pages: Iterator[FoundPage[bytes]],
    part: Path,
    metadata: str = "",
) -> None:
    """Let DuckDB write a Parquet file.

    Args:
        connection: DuckDB.
        query: Makes the query for what to write.
        pages: The items.
        part: The file to write.
        metadata: What it is to say of itself, in SQL.
    """
    first = next(pages, None)
    group = min(_GROUP, _GROUP_BYTES * first.count // len(first.items)) if first else _GROUP
    options = f"{_PARQUET} {group}" + (f", KV_METADATA {{{metadata}}}" if metadata else "")
    rows = table_rows(itertools.chain([first] if first else [], pages))
    _copy(connection, query, rows, part, options)


def _copy(connection: Any, query: MakeSQL, rows: Iterable[bytes], part: Path, options: str) -> None:
    with plain_name(part) as name:
        feed(
            connection, lambda file: f"COPY ({query(file)}) TO {quote_text(name)} ({options})", rows
        )


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
            one of our names that no export made.
    """
    endpoints = find_endpoints(dbs, selection)
    check = partial(check_items, dbs, selection)
    with _place(path) as name, open_duckdb(path, check, name) as connection:
        connection.execute("SET memory_limit = '256MB'")  # else it keeps all that it wrote
        connection.execute("BEGIN")
        for endpoint in endpoints:
            _check_ours(connection, path, endpoint)
            pages = meter.count(find_rows(dbs, attrs.evolve(selection, endpoints=endpoint)))
            feed(connection, partial(_create, endpoint), table_rows(pages))
        connection.execute("COMMIT")
    return [meter.take(path)]


def _create(endpoint: str, file: str) -> str:
    return f"CREATE OR REPLACE TABLE {quote_name(endpoint)} AS {select(endpoint, file)}"


@contextmanager
def _place(path: Path) -> Iterator[str]:
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
            copy = Path(folder, "database")  # of a link, DuckDB would take the target's name
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
