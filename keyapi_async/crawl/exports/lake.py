"""A lake: a folder of Parquet files that DuckDB, polars and pandas read as one table."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import attrs

from keyapi_async.crawl.columns import quote_text, select
from keyapi_async.crawl.database import Database
from keyapi_async.files import PartFile

from .duckdb_writer import open_duckdb, read_metadata
from .meter import Exported, Meter
from .rows import check_items, find_rows
from .selection import Selection, find_snapshots, read_endpoints
from .tables import write_parquet

_KEY: Final = "keyapi_async"
"""Under this key a file's metadata tells what it was made of."""

_LISTS: Final = """
SELECT q.endpoint, l.snapshot, l.id, l.state, l.stop_reason, l.pages, l.items
FROM lists l JOIN queries q ON q.id = l.query WHERE {where} ORDER BY l.id
"""


def write_lake(
    dbs: Sequence[Database], folder: Path, selection: Selection, meter: Meter
) -> list[Exported]:
    """Write a file for each crawl's file, endpoint and snapshot, unless it is there.

    Each is `ENDPOINT/day=YYYY-MM-DD/NAME.parquet`, where the name is made of the crawl's file and
    the number of the snapshot. Those of other crawls' files are left alone, and those of snapshots
    of which nothing is selected.

    Args:
        dbs: The crawls' files.
        folder: The folder; made if it isn't there.
        selection: Which items; all snapshots unless it says otherwise.
        meter: Counts the items.

    Returns:
        The files that were new or had changed.

    Raises:
        StoreError: A crawl can't be read, or a file not be written.
    """
    written = []
    check = partial(check_items, dbs, attrs.evolve(selection, snapshot=selection.snapshot or "all"))
    with open_duckdb(folder, check) as connection:
        for db in dbs:
            for target, chosen, state in _partitions(db, folder, selection):
                is_there = target.exists()
                if is_there and read_metadata(connection, target, _KEY) == state:
                    continue
                (endpoint,) = chosen.endpoints
                rows = find_rows([db], chosen)
                first = next(rows, None)
                if first is None and is_there:  # older than `since`, perhaps: it stays
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                with PartFile(target, hidden=True) as file:
                    # The day is in the folder's name; some readers refuse to have it twice.
                    query = partial(select, endpoint, without="day")
                    pages = meter.count(itertools.chain([first] if first else [], rows))
                    write_parquet(
                        connection, query, pages, file.part, f"{_KEY}: {quote_text(state)}"
                    )
                written.append(meter.take(target))
    return written


def _partitions(
    db: Database, folder: Path, selection: Selection
) -> Iterator[tuple[Path, Selection, str]]:
    """The Parquet files of a crawl's file, with the selection and the state of each."""
    name = _name(db.path, find_snapshots(db, "all")[0].started_at)
    snapshots = {one.number: one for one in find_snapshots(db, selection.snapshot or "all")}
    read_endpoints(db)  # refuses a file with one that is unknown
    where, values = selection.lists(snapshots.values())
    found: dict[tuple[str, int], Any] = {}
    for endpoint, number, *rest in db.each(_LISTS.format(where=where), *values):
        if (endpoint, number) not in found:
            begun = snapshots[number].started_at
            chosen = attrs.evolve(selection, endpoints=endpoint, snapshot=number)
            made_by = begun, chosen, select(endpoint, "")
            found[endpoint, number] = chosen, hashlib.sha256(repr(made_by).encode())
        found[endpoint, number][1].update(repr(rest).encode())
    for (endpoint, number), (chosen, digest) in found.items():
        day = f"day={snapshots[number].day}"
        yield folder / endpoint / day / f"{name}-{number}.parquet", chosen, digest.hexdigest()


def _name(path: Path, begun: float) -> str:
    """A name for a crawl's file that no other one has, and that no reader passes over.

    It has the moment at which the crawl began: files of two machines may have the same path, and
    a file may be moved.
    """
    stem = re.sub(r"[^\w.-]+", "_", path.stem).lstrip("._")
    digest = hashlib.sha256(os.fsencode(path.stem) + repr(begun).encode()).hexdigest()
    return f"{stem}-{digest[:8]}"
