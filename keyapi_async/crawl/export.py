"""Gives a crawl away in forms that other tools open: JSONL, CSV, Parquet, a DuckDB database."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Literal, TextIO, TypeAlias

import attrs
from attrs import frozen

from keyapi_async.errors import ParameterError
from keyapi_async.queries import ENDPOINTS

from . import columns
from .columns import PLACE_KEY
from .database import Database, StoreError

FORMS: Final = (".jsonl", ".csv", ".parquet", ".duckdb")

_COPY: Final = {
    ".csv": "FORMAT CSV, HEADER",
    ".parquet": "FORMAT PARQUET, COMPRESSION ZSTD",
}
_OWN_PLACE: Final = re.compile(rf'(?<!\\)"{PLACE_KEY}"(?=\s*:)')
_HALF: Final = re.compile(r"\\u[dD][89a-fA-F]")
_LISTS = """
SELECT l.id, q.endpoint, q.params, l.snapshot FROM lists l JOIN queries q ON q.id = l.query
WHERE {where} ORDER BY l.id
"""
_ITEMS = """
SELECT p.page, i.position, p.retrieved_at, p.request_id, i.json FROM items i
JOIN pages p ON p.id = i.page
WHERE i.list = ? AND p.retrieved_at >= ? AND p.retrieved_at < ? ORDER BY i.id
"""


SnapshotChoice: TypeAlias = int | Literal["latest", "all"]


@frozen(kw_only=True)
class Selection:
    """Which items to export; by default all of the newest snapshot.

    Attributes:
        endpoints: Only those of these endpoints.
        regions: Only those of queries with these regions.
        periods: Only those of queries with these periods.
        since: Only those that came at this Unix time or later.
        until: Only those that came before this Unix time.
        snapshot: Those of this snapshot: its number, `latest` or `all`.
    """

    endpoints: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    periods: tuple[int, ...] = ()
    since: float | None = None
    until: float | None = None
    snapshot: SnapshotChoice = "latest"

    def lists(self) -> tuple[str, list[object]]:
        """Which lists: an SQL condition and its values."""
        terms: list[str] = []
        values: list[object] = []
        if self.snapshot == "latest":
            terms.append("l.snapshot = (SELECT max(id) FROM snapshots)")
        elif self.snapshot != "all":
            terms.append("l.snapshot = ?")
            values.append(self.snapshot)
        for column, wanted in (
            ("q.endpoint", self.endpoints),
            ("json_extract(q.params, '$.region')", self.regions),
            ("json_extract(q.params, '$.period')", tuple(map(str, self.periods))),
        ):
            if wanted:
                terms.append(f"{column} IN ({', '.join('?' * len(wanted))})")
                values += wanted
        return " AND ".join(terms) or "true", values


@frozen
class Exported:
    """One file that was written (None for a stream), and how many items are in it."""

    path: Path | None
    items: int


def export(db: Database, path: Path, selection: Selection) -> list[Exported]:
    """Write what is selected to files; each gets its name when it is complete.

    A CSV or Parquet file holds one table: where several endpoints are selected, each gets a file
    of its own, such as `out.hashtags.parquet`.

    Args:
        db: The crawl's file.
        path: The file; how its name ends decides the form, one of `FORMS`.
        selection: Which items.

    Raises:
        ParameterError: The name ends in nothing known.
        StoreError: The crawl can't be read, the file not be written, or DuckDB is missing.
    """
    form = path.suffix.lower()
    if form not in FORMS:
        raise ParameterError("output", path.name, f"a name that ends in one of {' '.join(FORMS)}")
    try:
        if form == ".jsonl":
            return [_file(path, lambda part: _write_jsonl(db, part, selection))]
        return _export_tables(db, path, selection, form)
    except OSError as error:
        raise StoreError(f"{path}: can't be written: {error.strerror or error}") from None


@frozen
class FoundItem:
    """One item of the export, and where it was found."""

    endpoint: str
    params: str
    snapshot: int
    page: int
    position: int
    at: float
    request_id: str | None
    item: str


def write_lines(db: Database, selection: Selection, stream: TextIO) -> int:
    """Write what is selected as JSON lines; returns how many items there were."""
    count = 0
    for found in find_items(db, selection):
        place = {
            "endpoint": found.endpoint,
            "query": _filters(found.params),
            "page": found.page,
            "position": found.position,
            "retrieved_at": _moment(found.at),
            "request_id": found.request_id,
        }
        stream.write(_with_place(found.item, place))
        count += 1
    return count


def _write_jsonl(db: Database, part: Path, selection: Selection) -> int:
    with part.open("w", encoding="utf-8", newline="\n") as stream:
        return write_lines(db, selection, stream)


def find_items(db: Database, selection: Selection) -> Iterator[FoundItem]:
    """What is selected, list by list."""
    # List by list: nothing larger than one list is ever sorted.
    since = -math.inf if selection.since is None else selection.since
    until = math.inf if selection.until is None else selection.until
    where, values = selection.lists()
    for number, *query in db.each(_LISTS.format(where=where), *values):
        for row in db.each(_ITEMS, number, since, until):
            yield FoundItem(*query, *row)


def _filters(params: str) -> dict[str, str]:
    return {k: v for k, v in json.loads(params).items() if k not in ("page", "limit")}


def _moment(at: float) -> str:
    moment = datetime.fromtimestamp(at, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _with_place(item: str, place: object) -> str:
    """An item and its place on one line: what was received stays letter for letter.

    A line break becomes a space: JSON has them between values only. A `_keyapi` of the item's own
    becomes `__keyapi`.
    """
    if PLACE_KEY in item:
        item = _OWN_PLACE.sub(f'"_{PLACE_KEY}"', item)
    body = item[:-1].replace("\r", " ").replace("\n", " ")
    comma = "" if body.strip() == "{" else ","
    text = json.dumps(place, ensure_ascii=False, separators=(",", ":"))
    return f'{body}{comma}"{PLACE_KEY}":{text}}}\n'


def _file(path: Path, write: Callable[[Path], int]) -> Exported:
    """Write a part file, then give it its name."""
    path = Path(os.path.realpath(path))
    with _workshop(path) as folder:
        part = folder / "part"
        count = write(part)
        part.replace(path)
    return Exported(path, count)


@contextmanager
def _workshop(path: Path) -> Iterator[Path]:
    """A folder beside a file, for nobody else to meet; gone afterwards, whatever happens."""
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(
                TemporaryDirectory(
                    prefix=f"{path.name}.",
                    suffix=".part",
                    dir=path.parent,
                    ignore_cleanup_errors=True,
                )
            )
        )
        try:
            str(folder).encode()
        except UnicodeEncodeError:  # DuckDB takes no name that isn't UTF-8: it gets another
            link = Path(stack.enter_context(TemporaryDirectory(prefix="keyapi-"))) / "folder"
            link.symlink_to(folder.resolve(), target_is_directory=True)
            folder = link
        yield folder


# -- tables, by DuckDB -------------------------------------------------------------------------


def _export_tables(db: Database, path: Path, selection: Selection, form: str) -> list[Exported]:
    duckdb = _import_duckdb()
    # These and no others: a running crawl may come upon its first detail meanwhile.
    selection = attrs.evolve(selection, endpoints=tuple(_endpoints(db, path, selection)))
    with _workshop(path) as folder:
        raw = {name: folder / f"{name}.jsonl" for name in selection.endpoints}
        counts = _write_raw(db, selection, raw)
        try:
            return _tables(path, form, raw, counts)
        except duckdb.Error as error:
            problem = str(error)
        except RuntimeError:  # what DuckDB makes of a signal
            raise KeyboardInterrupt from None
    raise StoreError(f"{path}: DuckDB could not write it: {problem}")


def _tables(path: Path, form: str, raw: dict[str, Path], counts: dict[str, int]) -> list[Exported]:
    if form == ".duckdb":
        return [_file(path, partial(_write_database, raw, counts))]
    written = []
    for name, file in raw.items():
        target = path if len(raw) == 1 else path.with_suffix(f".{name}{path.suffix}")
        query = columns.select(name, file, nested=form == ".parquet")
        written.append(_file(target, partial(_write_table, query, _COPY[form], counts[name])))
    return written


def _endpoints(db: Database, path: Path, selection: Selection) -> list[str]:
    """The endpoints of the tables, whether anything is selected of them or not."""
    known = [name for (name,) in db.rows("SELECT DISTINCT endpoint FROM queries")]
    wanted = selection.endpoints or known
    found = [name for name in ENDPOINTS if name in known and name in wanted]
    if not found:
        raise StoreError(f"{path}: nothing to export: {db.path} has no {', '.join(wanted)}")
    return found


def _import_duckdb() -> Any:
    try:
        import duckdb  # noqa: PLC0415 - an extra
    except ModuleNotFoundError:
        raise StoreError(
            "this form needs DuckDB: pip install 'keyapi-async[export]' (.jsonl needs nothing)"
        ) from None
    return duckdb


def _write_raw(db: Database, selection: Selection, raw: dict[str, Path]) -> dict[str, int]:
    """Write the rows of each endpoint as JSON lines for DuckDB to read."""
    counts = dict.fromkeys(raw, 0)
    with ExitStack() as stack:
        streams = {
            name: stack.enter_context(file.open("w", encoding="utf-8", newline="\n"))
            for name, file in raw.items()
        }
        for found in find_items(db, selection):
            place: dict[str, object] = {
                f"query_{name}": value for name, value in _filters(found.params).items()
            }
            place |= {"page": found.page, "position": found.position, "snapshot": found.snapshot}
            place |= {"retrieved_at": _moment(found.at)[:-1], "request_id": found.request_id}
            streams[found.endpoint].write(_with_place(_readable(found.item), place))
            counts[found.endpoint] += 1
    return counts


def _readable(item: str) -> str:
    """An item without half characters (lone surrogates), which no table takes."""
    if not _HALF.search(item):
        return item
    text = json.dumps(json.loads(item), ensure_ascii=False)
    return text.encode(errors="replace").decode()


def _write_table(query: str, options: str, count: int, part: Path) -> int:
    with _duck() as db:
        db.execute(f"COPY ({query}) TO {columns.text(str(part))} ({options})")
    return count


def _write_database(raw: dict[str, Path], counts: dict[str, int], part: Path) -> int:
    with _duck(str(part)) as db:
        for name, file in raw.items():
            db.execute(f"CREATE TABLE {name} AS {columns.select(name, file, nested=True)}")
    return sum(counts.values())


def _duck(path: str = ":memory:") -> Any:
    # All that is needed is in the package: nothing is to be fetched from anywhere.
    return _import_duckdb().connect(path, config={"autoinstall_known_extensions": "false"})
