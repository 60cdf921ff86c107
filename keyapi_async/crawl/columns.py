"""The tabular forms of a crawl: one table per endpoint, its columns taken from the models."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from keyapi_async.models import Model
from keyapi_async.queries import ENDPOINTS

PLACE_KEY: Final = "_keyapi"
PLACE: Final[Mapping[str, str]] = {
    "page": "BIGINT",
    "position": "BIGINT",
    "retrieved_at": "TIMESTAMP",
    "request_id": "VARCHAR",
    "snapshot": "BIGINT",
}
"""Where an item was found; before these come the parameters of its query, as `query_region`."""

_SCALARS: Final[Mapping[Any, str]] = {
    bool: "BOOLEAN",
    int: "BIGINT",
    float: "DOUBLE",
    str: "VARCHAR",
}


def columns(endpoint: str) -> dict[str, str]:
    """Name and DuckDB type of what an item of an endpoint has, by its model."""
    return _fields(ENDPOINTS[endpoint].item)


def query_columns(endpoint: str) -> dict[str, str]:
    """Name and DuckDB type of the parameters of an endpoint's queries, without the page."""
    hints = typing.get_type_hints(ENDPOINTS[endpoint])
    return {
        f"query_{attribute.name}": duck_type(hints[attribute.name])
        for attribute in attrs.fields(ENDPOINTS[endpoint])
        if attribute.name not in ("page", "limit")
    }


def duck_type(hint: Any) -> str:
    """The DuckDB type for a type of a model's field: ids are text, though the wire has both."""
    options = _options(hint)
    if str in options:
        return "VARCHAR"
    (option,) = options
    if typing.get_origin(option) is tuple:
        return f"{duck_type(typing.get_args(option)[0])}[]"
    if attrs.has(option):
        return _struct(_fields(option))
    return _SCALARS[option]


def select(endpoint: str, rows: Path, *, nested: bool) -> str:
    """SQL that makes a table of raw rows; a value that its column can't hold becomes null.

    Args:
        endpoint: Name of the endpoint.
        rows: A file of JSON lines: items, each with its place under `PLACE_KEY`.
        nested: Whether the table may have lists and structs; else they become JSON.
    """
    place = {**query_columns(endpoint), **PLACE}
    chosen = [f"{PLACE_KEY}.{_quoted(name)}" for name in place]
    # Of a line that it can't read DuckDB would make a row of nulls.
    chosen[[*place].index("page")] = f"coalesce({PLACE_KEY}.page, error('not JSON')) AS page"
    kinds = columns(endpoint)
    for name, kind in kinds.items():
        inner = _inner_model(ENDPOINTS[endpoint].item, name)
        if inner is None:
            chosen.append(_column(_quoted(name), name, kind, nested=nested))
        else:  # its fields are columns of their own
            inside = _fields(inner).items()
            chosen += [_column(f"{name}.{_quoted(n)}", n, k, nested=nested) for n, k in inside]
    kinds[PLACE_KEY] = _struct(place)
    types = ", ".join(f"{text(name)}: {text(kind)}" for name, kind in kinds.items())
    source = f"{text(str(rows))}, format = 'newline_delimited', columns = {{{types}}}"
    source += ", ignore_errors = true"
    return f"SELECT {', '.join(chosen)} FROM read_json({source})"  # noqa: S608 - all is quoted


def _inner_model(model: type[Any], name: str) -> type[Any] | None:
    """The main model that stands in a field of another, as a sound in its detail."""
    hint = typing.get_type_hints(model)[name]
    return hint if isinstance(hint, type) and issubclass(hint, Model) else None


def _column(source: str, name: str, kind: str, *, nested: bool) -> str:
    is_nested = kind.endswith("]") or kind.startswith("STRUCT")
    value = f"to_json({source})" if is_nested and not nested else source
    return f"{value} AS {_quoted(name)}"


def _fields(model: type[Any]) -> dict[str, str]:
    hints = typing.get_type_hints(model)
    names = (attribute.name for attribute in attrs.fields(model))
    return {name: duck_type(hints[name]) for name in names if name != "raw"}


def _struct(fields: Mapping[str, str]) -> str:
    return f"STRUCT({', '.join(f'{_quoted(name)} {kind}' for name, kind in fields.items())})"


def _options(hint: Any) -> list[Any]:
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        nested = [_options(option) for option in typing.get_args(hint)]
        return [option for options in nested for option in options if option is not type(None)]
    return [hint]


def _quoted(name: str) -> str:
    return f'"{name}"'


def text(value: str) -> str:
    """A text as SQL has it."""
    return "'" + value.replace("'", "''") + "'"
