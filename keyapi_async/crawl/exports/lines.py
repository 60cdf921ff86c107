"""Exports line by line: JSON lines, and rows for DuckDB to read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from keyapi_async.converter import wire_params
from keyapi_async.crawl.columns import filters, known_names
from keyapi_async.crawl.database import StoreError
from keyapi_async.queries import ListQuery
from keyapi_async.raw import loads

from .selection import FoundList, FoundPage, damaged

PLACE_KEY: Final = "_keyapi"
"""Under this key a JSON line tells where its item was found."""

_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")
_LONGEST: Final = 500_000
"""Characters of an item: at most 2 MB, as `columns.select` lets DuckDB read."""
_Fields = dict[str, msgspec.Raw]
_decode: Final = msgspec.json.Decoder(_Fields).decode
_dump: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def json_lines(pages: Iterable[FoundPage]) -> Iterator[str]:
    """Items as received, each on one line, with their place as the last of their fields.

    What was received stays letter for letter, but for two things: a line break becomes a space
    (JSON has them between values only), and an item's own field of the place's name gets
    another.

    Raises:
        StoreError: An item is damaged.
    """
    of_list, before = None, ""
    for page in pages:
        if page.source is not of_list:
            of_list, before = page.source, _dump(_describe_list(page.source))[:-1]
        answer = {"retrieved_at": _format_time(page.retrieved_at), "request_id": page.request_id}
        for position, place, text in _items(page):
            fields = _fields(page, text)
            whole = _object(_rename(fields)) if PLACE_KEY in fields else text
            comma = "," if fields else ""
            yield (
                f'{_one_line(whole)[:-1]}{comma}"{PLACE_KEY}":{before},"page":{page.number},'
                f'"position":{position},"place":{place},{_dump(answer)[1:]}}}\n'
            )


def _rename(fields: _Fields) -> _Fields:
    return {f"_{name}" if name == PLACE_KEY else name: value for name, value in fields.items()}


def _describe_list(found: FoundList) -> dict[str, object]:
    wire = wire_params(found.query)
    return {
        "endpoint": found.query.name,
        "query": {name: value for name, value in wire.items() if name not in ("page", "limit")},
        **_describe_snapshot(found),
    }


def _describe_snapshot(found: FoundList) -> dict[str, object]:
    return {
        "day": found.snapshot.day.isoformat(),
        "snapshot": found.snapshot.number,
        "snapshot_started_at": _format_time(found.snapshot.started_at),
        "list_complete": found.is_complete,
    }


def table_rows(pages: Iterable[FoundPage]) -> Iterator[bytes]:
    """Rows as `columns.select` reads them, a page at a time.

    Raises:
        StoreError: An item is damaged.
    """
    of_list, before = None, ""
    for page in pages:
        if page.source is not of_list:
            of_list, before = page.source, _dump(_list_columns(page.source))
        answer = {"page": page.number, "retrieved_at": _format_time(page.retrieved_at)}
        head = f'{{"list":{before},"page":{_dump({**answer, "request_id": page.request_id})}'
        known = known_names(page.source.query.name)
        nested = {name: inside for name, inside in known.items() if inside}
        rows = []
        for position, place, text in _items(page):
            if len(text) > _LONGEST:
                raise StoreError(
                    f"{page.source.file}: an item of its list {page.source.id} is too long for a "
                    f"table ({len(text)} characters): write JSON lines (.jsonl)"
                )
            whole = _replace_surrogates(page, text)
            extra = _extra(page, _fields(page, whole), known, nested)
            rows.append(
                f'{head},"position":{position},"place":{place},"extra":{extra},'
                f'"item":{_one_line(whole)}}}\n'
            )
        yield "".join(rows).encode()


def _list_columns(found: FoundList) -> dict[str, object]:
    """What the columns hold that are the same for all items of a list."""
    columns = _describe_snapshot(found)
    for column, one in filters(found.query.name).items():
        value = getattr(found.query, one.name)
        columns[column] = None if value == one.nothing else value
    return columns


def _items(page: FoundPage) -> Iterator[tuple[int, int | str, str]]:
    """Position, place in the list, and text of each item; a detail has no place."""
    query = page.source.query
    if isinstance(query, ListQuery):
        offset = (page.number - 1) * query.limit
        return ((position, offset + position, text) for position, text in page.items)
    return ((position, "null", text) for position, text in page.items)


def _fields(page: FoundPage, text: str) -> _Fields:
    try:
        return _decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        pass  # a lone surrogate in a name, or worse
    found = _load(page, text)
    return {name: msgspec.Raw(json.dumps(value).encode()) for name, value in found.items()}


def _load(page: FoundPage, text: str) -> dict[str, Any]:
    """The slow way, which takes lone surrogates."""
    try:
        found = loads(text.encode())
    except ValueError as error:
        raise damaged(page.source.file, f"an item of its list {page.source.id}", error) from None
    if not isinstance(found, dict):
        raise damaged(page.source.file, f"an item of its list {page.source.id}", "it is no object")
    return found


def _replace_surrogates(page: FoundPage, text: str) -> str:
    """An item without lone surrogates (halves of an emoji), which no table takes."""
    if "\\u" not in text or not _SURROGATE.search(text):
        return text
    try:
        msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        whole = json.dumps(_load(page, text), ensure_ascii=False)
        return whole.encode(errors="replace").decode()
    return text


def _extra(
    page: FoundPage,
    fields: _Fields,
    known: Mapping[str, frozenset[str]],
    nested: Mapping[str, frozenset[str]],
) -> str:
    """The fields that have no column, as a JSON text within JSON; null if there are none."""
    unknown: _Fields = {}
    if not fields.keys() <= known.keys():
        unknown = {name: value for name, value in fields.items() if name not in known}
    for name in nested.keys() & fields.keys():
        inner = _fields(page, _text(fields[name]))
        more = {key: value for key, value in inner.items() if key not in nested[name]}
        if more:
            unknown[name] = msgspec.Raw(_object(more).encode())
    return _dump(_object(unknown)) if unknown else "null"


def _object(fields: _Fields) -> str:
    pairs = (f"{json.dumps(name)}:{_text(value)}" for name, value in fields.items())
    return f"{{{','.join(pairs)}}}"


def _text(value: msgspec.Raw) -> str:
    return str(value, "utf-8")


def _one_line(text: str) -> str:
    return text.replace("\r", " ").replace("\n", " ").strip()


def _format_time(at: float) -> str:
    """A Unix time in ISO 8601, in UTC."""
    text = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
