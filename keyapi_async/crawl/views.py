"""The views of a crawl's file, one for each endpoint: for `sqlite3`, Datasette and DuckDB."""

from __future__ import annotations

import sqlite3
from typing import Final

from keyapi_async.queries import ENDPOINTS

from .columns import Field, Filter, fields, filters, known_names

COMPLETE: Final = (
    "(l.state = 'done' AND (l.stop_reason IN ('max_items', 'max_pages') OR "
    "l.stop_reason = 'exhausted' AND NOT (l.duplicates AND coalesce(l.items < l.total, false))))"
)
"""Whether a list has all that was asked for, in SQL.

Items that came twice show that it changed while it was read; with fewer items than the server
counts, others moved onto pages that had been read already.
"""

_MARK: Final = "/* made by keyapi_async */"
"""Tells our views from the user's own."""

_PLACE: Final = "(p.page - 1) * json_extract(q.params, '$.limit') + i.position"
_FROM: Final = """
FROM items i JOIN lists l ON l.id = i.list JOIN queries q ON q.id = l.query
    JOIN snapshots s ON s.id = l.snapshot JOIN pages p ON p.id = i.page
"""


def make_views(connection: sqlite3.Connection) -> None:
    """Create the views, or replace those of another version of the package.

    Whatever the user created under the name of an endpoint stays as it is.
    """
    rows = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type IN ('table', 'view')")
    found = dict(rows.fetchall())
    for endpoint in ENDPOINTS:
        wanted, there = view_sql(endpoint), found.get(endpoint)
        if there == wanted or (there is not None and _MARK not in there):
            continue
        if there is not None:
            connection.execute(f'DROP VIEW "{endpoint}"')
        connection.execute(wanted)


def view_sql(endpoint: str) -> str:
    """The statement that makes the view of an endpoint."""
    inside = dict(fields(endpoint))
    rank = inside.pop("rank", None)
    chosen = {
        "item_id": "i.item_id",
        "day": "s.day",
        "rank": _PLACE,
        **{name: _filter(one) for name, one in filters(endpoint).items()},
        "list_complete": COMPLETE,
        "snapshot": "l.snapshot",
        "snapshot_started_at": _moment("s.started_at"),
        "page": "p.page",
        "position": "i.position",
        "place": _PLACE,
        "retrieved_at": _moment("p.retrieved_at"),
        "request_id": "p.request_id",
    }
    if rank is not None:
        chosen["rank"] = f"coalesce({_cell(rank)}, {_PLACE})"
    for name, field in inside.items():
        chosen[name] = "i.item_id" if field.is_key else _cell(field)
    chosen["extra"] = extra_sql(endpoint)
    columns = ",\n    ".join(f'{sql} AS "{name}"' for name, sql in chosen.items())
    where = f"WHERE q.endpoint = '{endpoint}'"
    return f'CREATE VIEW "{endpoint}" AS SELECT {_MARK}\n    {columns}{_FROM}{where}'


def _moment(seconds: str) -> str:
    return f"strftime('%Y-%m-%dT%H:%M:%fZ', {seconds}, 'unixepoch')"


def _cell(field: Field) -> str:
    value = f"json_extract(i.json, '$.{'.'.join(field.path)}')"
    return f"CAST({value} AS TEXT)" if field.kind == "VARCHAR" else value


def _filter(one: Filter) -> str:
    value = f"json_extract(q.params, '$.{one.name}')"
    if one.kind == "BOOLEAN":
        return f"{value} = 'true'"
    if one.nothing is not None:
        value = f"nullif({value}, '{one.nothing}')"
    return f"CAST({value} AS INTEGER)" if one.kind == "BIGINT" else value


def extra_sql(endpoint: str) -> str:
    """What is left of an item without its known fields; null if that is nothing."""
    known = known_names(endpoint)
    paths = [f"'$.{'.'.join(field.path)}'" for field in fields(endpoint).values()]
    left = f"json_remove(i.json, {', '.join(paths)})"
    for name, inside in known.items():
        if inside:
            rest = f"json_extract({left}, '$.{name}')"
            left = f"CASE {rest} WHEN '{{}}' THEN json_remove({left}, '$.{name}') ELSE {left} END"
    return f"nullif({left}, '{{}}')"
