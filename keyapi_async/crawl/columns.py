"""The columns of a crawl's views and exports, from the endpoints' descriptors and models."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import attrs
from attrs import frozen

from keyapi_async.models import Model
from keyapi_async.queries import ENDPOINTS

LIST: Final[Mapping[str, str]] = {
    "day": "DATE",
    "list_complete": "BOOLEAN",
    "snapshot": "BIGINT",
    "snapshot_started_at": "TIMESTAMP",
}
"""Columns of a whole list, beside the parameters of its query."""

PAGE: Final[Mapping[str, str]] = {
    "page": "BIGINT",
    "retrieved_at": "TIMESTAMP",
    "request_id": "VARCHAR",
}
"""Columns of the items of one answer."""

_SCALARS: Final[Mapping[Any, str]] = {
    bool: "BOOLEAN",
    int: "BIGINT",
    float: "DOUBLE",
    str: "VARCHAR",
}


@frozen
class Field:
    """A column that is a field of an item.

    Attributes:
        path: Where it is in the item: its name, perhaps after that of a model within the item.
        kind: Its DuckDB type.
        is_key: Whether it identifies the item.
    """

    path: tuple[str, ...]
    kind: str
    is_key: bool

    @property
    def name(self) -> str:
        """The name of the column."""
        return self.path[-1]


@frozen
class Filter:
    """A column that is a parameter of a query.

    Attributes:
        name: The parameter.
        kind: Its DuckDB type.
        nothing: What the wire has for no filter; None where there always is one.
    """

    name: str
    kind: str
    nothing: str | None


@cache
def fields(endpoint: str) -> Mapping[str, Field]:
    """The columns for the fields of an endpoint's items, by name.

    A main model within an item, as a sound in its detail, is flattened into columns.
    """
    query = ENDPOINTS[endpoint]
    found = {}
    for name, hint in _hints(query.item).items():
        paths: dict[tuple[str, ...], Any] = {(name,): hint}
        if isinstance(hint, type) and issubclass(hint, Model):
            paths = {(name, inner): one for inner, one in _hints(hint).items()}
        for path, one in paths.items():
            found[path[-1]] = Field(path, duckdb_type(one), ".".join(path) == query.item_key)
    return found


@cache
def filters(endpoint: str) -> Mapping[str, Filter]:
    """The columns for the parameters of an endpoint, by name: all but page and limit."""
    query = ENDPOINTS[endpoint]
    hints = typing.get_type_hints(query)
    return {
        f"query_{one.name}": Filter(
            one.name,
            duckdb_type(hints[one.name]),
            one.converter(None) if one.default is None else None,
        )
        for one in attrs.fields(query)
        if one.name not in ("page", "limit")
    }


@cache
def known_names(endpoint: str) -> Mapping[str, frozenset[str]]:
    """The names of an item's known fields, each with the known names within it.

    There are none within what is one column.
    """
    names: dict[str, set[str]] = {}
    for field in fields(endpoint).values():
        names.setdefault(field.path[0], set()).update(field.path[1:])
    return {name: frozenset(inner) for name, inner in names.items()}


def column_names(endpoint: str) -> list[str]:
    """All columns of an endpoint's table, in order."""
    return [*column_types(endpoint)]


def column_types(endpoint: str) -> dict[str, str]:
    """All columns of an endpoint's table, in order, with their DuckDB types."""
    return {name: kind for name, (_, kind) in _sources(endpoint).items()}


def duckdb_type(hint: Any) -> str:
    """The DuckDB type for a type of a model's field: ids are text, though the wire has both."""
    options = _options(hint)
    if str in options:
        return "VARCHAR"
    (option,) = options
    if typing.get_origin(option) is tuple:
        return f"{duckdb_type(typing.get_args(option)[0])}[]"
    if attrs.has(option):
        members = _hints(option).items()
        return f"STRUCT({', '.join(f'{quote_name(n)} {duckdb_type(one)}' for n, one in members)})"
    return _SCALARS[option]


def select(endpoint: str, rows: str, *, for_csv: bool = False, without: str = "") -> str:
    """SQL that makes a table of raw rows; a value that its column can't hold becomes null.

    For CSV, lists and structs become JSON, and text that a spreadsheet would run is escaped.

    Args:
        endpoint: Name of the endpoint.
        rows: Name of a file of lines as `rows.table_rows` makes them.
        for_csv: Whether the table is to become CSV.
        without: A column to leave out.
    """
    chosen = []
    for name, (source, kind) in _sources(endpoint).items():
        value = _csv_value(source, kind) if for_csv else source
        if name != without:
            chosen.append(f"{value} AS {quote_name(name)}")
    kinds = {name: one.kind for name, one in filters(endpoint).items()}
    item = _shape(ENDPOINTS[endpoint].item)
    of_items = {"position": ["BIGINT"], "extra": ["VARCHAR"], "item": [item]}
    of_page = {**PAGE, "places_before": "BIGINT"}
    shape = json.dumps({"list": {**kinds, **LIST}, "page": of_page, "rows": of_items})
    line = f"json_transform(line, {quote_text(shape)}) AS line"
    lines = f"SELECT {line} FROM read_csv({quote_text(rows)}, {_ONE_COLUMN})"  # noqa: S608
    each = ", ".join(f"unnest(line.rows.{name}) AS {name}" for name in of_items)
    items = f"SELECT line.list, line.page, {each} FROM ({lines})"  # noqa: S608
    place = "page.places_before + position AS place"
    return f"SELECT {', '.join(chosen)} FROM (SELECT *, {place} FROM ({items}))"  # noqa: S608


LONGEST_LINE: Final = 2**21
"""Bytes of a line that DuckDB reads."""

_ONE_COLUMN: Final = (
    "columns = {line: 'VARCHAR'}, auto_detect = false, header = false, quote = '', escape = '', "
    f"delim = '\x01', buffer_size = {LONGEST_LINE}, max_line_size = {LONGEST_LINE}"
)
"""Of lines of JSON. `read_json` would keep all that comes through a pipe in memory."""


def _sources(endpoint: str) -> dict[str, tuple[str, str]]:
    """The SQL expression of each column, and its type."""
    inside = {
        field.name: (".".join(map(quote_name, ("item", *field.path))), field.kind)
        for field in fields(endpoint).values()
    }
    (key,) = (field.name for field in fields(endpoint).values() if field.is_key)
    rank = f"coalesce({inside.pop('rank')[0]}, place)" if "rank" in inside else "place"
    return {
        "item_id": inside[key],
        "day": ("list.day", "DATE"),
        "rank": (rank, "BIGINT"),
        **{name: (f"list.{quote_name(name)}", one.kind) for name, one in filters(endpoint).items()},
        **{name: (f"list.{name}", LIST[name]) for name in LIST if name != "day"},
        "page": ("page.page", "BIGINT"),
        "position": ("position", "BIGINT"),
        "place": ("place", "BIGINT"),
        **{name: (f"page.{name}", PAGE[name]) for name in PAGE if name != "page"},
        **{name: source for name, source in inside.items() if name != "item_id"},
        "extra": ("extra", "VARCHAR"),
    }


def _csv_value(source: str, kind: str) -> str:
    """Lists and structs as JSON; an apostrophe before text that begins as a formula does."""
    if kind.endswith("]") or kind.startswith("STRUCT"):
        return f"to_json({source})"
    if kind != "VARCHAR":
        return source
    starts = "'=', '+', '-', '@', chr(9), chr(13)"
    return f"CASE WHEN left({source}, 1) IN ({starts}) THEN '''' || {source} ELSE {source} END"


def _hints(model: type[Any]) -> dict[str, Any]:
    hints = typing.get_type_hints(model)
    return {one.name: hints[one.name] for one in attrs.fields(model)}


def _shape(hint: Any) -> Any:
    """The structure of a JSON value, as DuckDB's `json_transform` takes it."""
    kind = duckdb_type(hint)
    if kind.endswith("]"):
        (many,) = _options(hint)
        return [_shape(typing.get_args(many)[0])]
    if kind.startswith("STRUCT"):
        (model,) = _options(hint)
        return {name: _shape(inner) for name, inner in _hints(model).items()}
    return kind


def _options(hint: Any) -> list[Any]:
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        nested = [_options(option) for option in typing.get_args(hint)]
        return [option for options in nested for option in options if option is not type(None)]
    return [hint]


def quote_name(name: str) -> str:
    """Quote a name for SQL."""
    return f'"{name}"'


def quote_text(value: str) -> str:
    """Quote a text for SQL."""
    return "'" + value.replace("'", "''") + "'"
