"""Exports crawls to files that other tools open: JSONL, CSV, Parquet, DuckDB, a lake."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from os import PathLike
from pathlib import Path
from typing import Final, TextIO

from keyapi_async.crawl.database import Database, StoreError, reading
from keyapi_async.errors import ParameterError
from keyapi_async.files import PartFile, is_one_of

from .lake import write_lake
from .lines import json_lines
from .meter import Exported, Meter
from .selection import Selection, find_pages
from .tables import write_database, write_files


def export_files(
    paths: Iterable[str | PathLike[str]],
    output: str | PathLike[str] | TextIO,
    selection: Selection | None = None,
    *,
    progress: Callable[[int], None] | None = None,
) -> list[Exported]:
    """Write the items of one or more crawls' files to files that other tools open.

    The name decides the form. `out.jsonl` and `out.duckdb` are one file; `out.csv` and
    `out.parquet` are a file for each endpoint, such as `out.hashtags.csv`. What ends in `/`, or
    is a folder, becomes a lake: a file for each endpoint and snapshot, such as
    `lake/hashtags/day=2026-11-21/trends-0c8f1d2e-1.parquet`, of which only those are written that
    are new or have changed.

    Each file appears when it is complete. In a DuckDB database that is there, only our own tables
    are replaced.

    Args:
        paths: The crawls' files.
        output: The file or folder to write. A text stream gets JSON lines.
        selection: Which items; by default all of each file's newest snapshot, for a lake all of
            every snapshot.
        progress: Called now and then with how many items are written so far.

    Returns:
        The files written.

    Raises:
        ParameterError: The name ends in nothing known.
        StoreError: A crawl can't be read, a file can't be written, or DuckDB is missing.
    """
    selection = selection or Selection()
    meter = Meter(progress)
    with ExitStack() as stack:
        files: dict[str, Path] = {}  # one that is named twice is read once
        for path in paths:
            files.setdefault(os.path.realpath(path), Path(path))
        dbs = [stack.enter_context(reading(path)) for path in files.values()]
        if not isinstance(output, str | PathLike):
            output.writelines(json_lines(meter.count(find_pages(dbs, selection))))
            return [meter.take(None)]
        try:
            return _write(dbs, os.fspath(output), selection, meter)
        except OSError as error:
            raise StoreError(f"{output}: can't be written: {error.strerror or error}") from None


def _write(
    dbs: Sequence[Database], name: str, selection: Selection, meter: Meter
) -> list[Exported]:
    path = Path(name)
    if name.endswith(("/", os.sep)) or path.is_dir():
        return write_lake(dbs, path, selection, meter)
    write = _WRITERS.get(path.suffix.lower())
    if write is None:
        allowed = f"a name that ends in one of {' '.join(_WRITERS)}, or in / for a folder"
        raise ParameterError("output", path.name, allowed)
    if is_one_of(path, (db.path for db in dbs)):
        raise StoreError(f"{path}: is the crawl's own file; choose another name")
    return write(dbs, path, selection, meter)


def _write_jsonl(
    dbs: Sequence[Database], path: Path, selection: Selection, meter: Meter
) -> list[Exported]:
    with PartFile(path) as file, file.part.open("w", encoding="utf-8", newline="\n") as stream:
        stream.writelines(json_lines(meter.count(find_pages(dbs, selection))))
    return [meter.take(file.path)]


_WRITERS: Final = {
    ".jsonl": _write_jsonl,
    ".csv": write_files,
    ".parquet": write_files,
    ".duckdb": write_database,
}
"""By how the name of the file ends."""
