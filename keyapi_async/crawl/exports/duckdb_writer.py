"""DuckDB, reading rows as this process makes them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from keyapi_async.crawl.database import StoreError

_PIPES: Final = Path("/dev/fd")
_BUFFER: Final = 2**18
"""Bytes on their way to DuckDB. With a pipe's usual 64 kB, threads change places all the time."""


@contextmanager
def open_duckdb(
    target: Path, check: Callable[[], None], database: str = ":memory:"
) -> Iterator[Any]:
    """Open DuckDB; its errors say what could not be written.

    Args:
        target: What is to be written.
        check: Raises an error that tells more, where DuckDB can't read rows.
        database: The database's file.

    Raises:
        StoreError: There is no DuckDB, or it fails.
    """
    duckdb = _import_duckdb()
    config = {"threads": "1", "autoinstall_known_extensions": "false"}  # fetch nothing
    try:
        connection = duckdb.connect(database, config=config)
    except duckdb.Error as error:
        raise StoreError(
            f"{target}: DuckDB can't open it; nothing was changed: choose another name, "
            f"or close what has it open ({_first_line(error)})"
        ) from None
    try:
        with connection:
            yield connection
    except duckdb.Error as error:
        if isinstance(error, (duckdb.InvalidInputException, duckdb.DataError)):
            check()
        raise StoreError(f"{target}: DuckDB could not write it: {_first_line(error)}") from None


def feed(connection: Any, statement: Callable[[str], str], rows: Iterable[bytes]) -> None:
    """Let DuckDB read rows as they are made: they are never all in memory, or on the disk.

    Args:
        connection: DuckDB.
        statement: Makes the statement to execute of the name of the file that has the rows.
        rows: JSON lines.
    """
    if not _PIPES.exists():
        feed_file(connection, statement, rows)
        return
    source, sink = os.pipe()
    with suppress(AttributeError, OSError):  # not Linux, or the user has too many large pipes
        import fcntl  # noqa: PLC0415 - Windows has none, and no pipes of this kind

        fcntl.fcntl(sink, fcntl.F_SETPIPE_SZ, _BUFFER)

    def read() -> None:
        try:
            connection.execute(statement(f"{_PIPES}/{source}"))
        finally:
            os.close(source)

    # DuckDB runs in the other thread, so that signals and progress aren't held up here.
    with ThreadPoolExecutor(1, thread_name_prefix="keyapi-duckdb") as pool:
        reading = pool.submit(read)
        try:
            with suppress(BrokenPipeError), os.fdopen(sink, "wb", _BUFFER) as stream:
                stream.writelines(rows)
            reading.result()
        except BaseException:
            connection.interrupt()
            raise


def feed_file(connection: Any, statement: Callable[[str], str], rows: Iterable[bytes]) -> None:
    """The same on a system without `/dev/fd`, by a file."""
    with TemporaryDirectory(prefix="keyapi-") as folder:
        file = Path(folder, "rows")
        with file.open("wb") as stream:
            stream.writelines(rows)
        connection.execute(statement(str(file)))


def read_metadata(connection: Any, path: Path, key: str) -> str | None:
    """What a Parquet file says of itself under a key; None if it says nothing, or is damaged."""
    sql = "SELECT decode(value) FROM parquet_kv_metadata(?) WHERE decode(key) = ?"
    with plain_name(path) as name:
        try:
            rows = connection.execute(sql, [name, key]).fetchall()
        except _import_duckdb().Error:
            return None
    return rows[0][0] if rows else None


def is_plain(path: Path) -> bool:
    """Whether DuckDB can take the name of a file: UTF-8, and no pattern."""
    return not any(char in "*?[" or 0xD800 <= ord(char) <= 0xDFFF for char in str(path))


@contextmanager
def plain_name(path: Path) -> Iterator[str]:
    """A name for a file that DuckDB can take."""
    if is_plain(path):
        yield str(path)
        return
    with TemporaryDirectory(prefix="keyapi-") as folder:
        link = Path(folder, "link")
        link.symlink_to(path)
        yield str(link)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _import_duckdb() -> Any:
    try:
        import duckdb  # noqa: PLC0415 - an extra
    except ModuleNotFoundError:
        raise StoreError(
            "this form needs DuckDB: pip install 'keyapi-async[export]' (.jsonl needs nothing)"
        ) from None
    return duckdb
