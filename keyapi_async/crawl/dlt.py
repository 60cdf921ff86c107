"""A dlt source that loads crawls' files into a warehouse. It never calls the API.

What was delivered is noted in dlt's state, which dlt stores together with the data: a load that
fails, or is killed, loses nothing.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from keyapi_async.errors import ParameterError
from keyapi_async.queries import ENDPOINTS

from .columns import column_types, fields, known_names
from .database import Database, parsing, reading
from .exports.rows import decode_columns, describe_list, describe_page, read_rows
from .exports.selection import Selection, find_lists, find_snapshots, read_endpoints
from .plan import query_json
from .views import COMPLETE

try:
    import dlt
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "loading into a warehouse needs dlt: pip install 'keyapi-async[dlt]'", name=error.name
    ) from None
if TYPE_CHECKING:
    from dlt.extract import DltResource

KEY: Final = ("snapshot", "snapshot_started_at", "query", "item_id")
"""What identifies a row. Numbers of snapshots are their file's; the time tells files apart, and
stays when a file is moved."""

_BLOCK: Final = 64
"""So many lists share a mark in the state, and are delivered again if one of them changed."""

_LISTS: Final = f"""
SELECT l.snapshot, l.id / {_BLOCK}, l.id, l.items, {COMPLETE}
FROM lists l JOIN queries q ON q.id = l.query
WHERE q.endpoint = ? AND l.items ORDER BY l.snapshot, l.id
"""  # noqa: S608
_TYPES: Final = {
    "BIGINT": "bigint",
    "BOOLEAN": "bool",
    "DATE": "date",
    "DOUBLE": "double",
    "TIMESTAMP": "timestamp",
    "VARCHAR": "text",
}
"""dlt's names for DuckDB's types; lists and structs are JSON."""


@dlt.source(name="trends", max_table_nesting=0)
def trends(*files: str | PathLike[str]) -> Iterator[DltResource]:
    """The items of one or more crawls' files, with a resource (a table) for each endpoint.

    The columns are those of the exports, and `query`. Times have a time zone, lists and objects
    are JSON. Each run delivers what is new or has changed since the last one.

    Args:
        files: The crawls' files; they are only read, and may be being crawled.

    Raises:
        ParameterError: No file is named.
        StoreError: A file can't be read, or holds no crawl.

    Example:
        >>> pipeline = dlt.pipeline("tiktok", destination="duckdb", dataset_name="trends")
        >>> pipeline.run(trends("trends.sqlite"))  # doctest: +SKIP
    """
    if not files:
        raise ParameterError("files", files, "at least one crawl's file")
    paths = [Path(file) for file in files]
    for path in paths:
        with reading(path) as db, parsing(path):
            find_snapshots(db, "all")
            read_endpoints(db)
    for endpoint in ENDPOINTS:
        resource = dlt.resource(
            _deliver,
            name=endpoint,
            write_disposition="merge",
            primary_key=KEY,
            columns=_columns(endpoint),
        )
        yield resource(paths, endpoint)


def _columns(endpoint: str) -> Any:
    kinds = {**column_types(endpoint), "query": "VARCHAR"}
    types = {name: _TYPES.get(kind, "json") for name, kind in kinds.items()}
    return {name: {"data_type": one} for name, one in {**types, "extra": "json"}.items()}


def _deliver(paths: Sequence[Path], endpoint: str) -> Iterator[list[dict[str, Any]]]:
    """What wasn't delivered yet, some rows at a time."""
    delivered = dlt.current.resource_state()
    for path in paths:
        with reading(path) as db, parsing(path):
            # Read before the rows: what a crawl stores meanwhile is delivered by the next run.
            marks = _marks(db, endpoint)
            for snapshot in find_snapshots(db, "all"):
                found = marks[snapshot.number]
                key = f"{snapshot.number} {snapshot.started_at}"
                before = delivered.get(key, {})
                changed = {block for block in found if found[block] != before.get(block)}
                if changed:
                    yield from _rows(db, endpoint, snapshot.number, changed)
                    delivered[key] = found


def _marks(db: Database, endpoint: str) -> defaultdict[int, dict[str, str]]:
    """What the rows of each block of lists depend on, by snapshot, as short hashes."""
    marks, columns = defaultdict[int, dict[str, str]](dict), column_types(endpoint)
    for (snapshot, block), lists in groupby(db.each(_LISTS, endpoint), itemgetter(0, 1)):
        state = repr((columns, [tuple(one) for one in lists]))
        marks[snapshot][str(block)] = hashlib.sha256(state.encode()).hexdigest()[:16]
    return marks


def _rows(
    db: Database, endpoint: str, snapshot: int, blocks: set[str]
) -> Iterator[list[dict[str, Any]]]:
    selection = Selection(endpoints=endpoint, snapshot=snapshot)
    for found in find_lists(db, selection):
        if str(found.id // _BLOCK) in blocks:
            of_list = {**describe_list(found), "query": query_json(found.query)}
            for page in read_rows(db, found, selection):
                head, columns = {**of_list, **describe_page(page)}, decode_columns(page.items)
                each = zip(columns.position, columns.extra, columns.item, strict=True)
                yield [
                    _row(
                        endpoint,
                        item,
                        {**head, "position": at, "place": page.place(at), "extra": rest},
                    )
                    for at, rest, item in each
                ]


_NULL: Final = msgspec.Raw(b"null")
_decode_object: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def _row(endpoint: str, found: msgspec.Raw, row: dict[str, Any]) -> dict[str, Any]:
    """Complete a row by the fields of its item."""
    item = _decode_object(found)
    known = known_names(endpoint).items()
    flattened = {name: _decode_object(item[name]) for name, inside in known if inside}
    for name, field in fields(endpoint).items():
        raw = flattened.get(field.path[0], item).get(field.path[-1], _NULL)
        row[name] = _value(raw, field.kind)
        if field.is_key:
            row["item_id"] = row[name]
    if row.get("rank") is None:
        row["rank"] = row["place"]
    return row


def _value(raw: msgspec.Raw, kind: str) -> Any:
    """A field's value as its column has it; a number that doesn't fit is null."""
    value = msgspec.json.decode(raw)
    if value is None or (kind == "BIGINT" and not -(2**63) <= value < 2**63):
        return None
    is_as_received = kind not in _TYPES or (kind == "VARCHAR" and not isinstance(value, str))
    return str(raw, "utf-8") if is_as_received else value
