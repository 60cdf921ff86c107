"""Exports line by line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from keyapi_async.converter import wire_params
from keyapi_async.raw import loads

from .selection import FoundList, FoundPage, Texts, damaged

PLACE_KEY: Final = "_keyapi"
"""Under this key a JSON line tells where its item was found."""

_Fields = dict[str, msgspec.Raw]
_decode: Final = msgspec.json.Decoder(_Fields).decode
dump: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def json_lines(pages: Iterable[FoundPage[Texts]]) -> Iterator[str]:
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
            of_list, before = page.source, dump(_describe_list(page.source))[:-1]
        offset = page.place(0)
        answer = {"retrieved_at": format_time(page.retrieved_at), "request_id": page.request_id}
        for position, text in page.items:
            place = "null" if offset is None else offset + position
            fields = _fields(page, text)
            whole = _object(_rename(fields)) if PLACE_KEY in fields else text
            comma = "," if fields else ""
            yield (
                f'{_one_line(whole)[:-1]}{comma}"{PLACE_KEY}":{before},"page":{page.number},'
                f'"position":{position},"place":{place},{dump(answer)[1:]}}}\n'
            )


def _rename(fields: _Fields) -> _Fields:
    return {f"_{name}" if name == PLACE_KEY else name: value for name, value in fields.items()}


def _describe_list(found: FoundList) -> dict[str, object]:
    wire = wire_params(found.query)
    return {
        "endpoint": found.query.name,
        "query": {name: value for name, value in wire.items() if name not in ("page", "limit")},
        **describe_snapshot(found),
    }


def describe_snapshot(found: FoundList) -> dict[str, object]:
    """What tells the snapshot, and how far the list got."""
    return {
        "day": found.snapshot.day.isoformat(),
        "snapshot": found.snapshot.number,
        "snapshot_started_at": format_time(found.snapshot.started_at),
        "list_complete": found.is_complete,
    }


def _fields(page: FoundPage[Texts], text: str) -> _Fields:
    try:
        return _decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        pass  # a lone surrogate in a name, or worse
    found = _load(page, text)
    return {name: msgspec.Raw(json.dumps(value).encode()) for name, value in found.items()}


def _load(page: FoundPage[Texts], text: str) -> dict[str, Any]:
    """The slow way, which takes lone surrogates."""
    try:
        found = loads(text.encode())
    except ValueError as error:
        raise damaged(page.source.file, f"an item of its list {page.source.id}", error) from None
    if not isinstance(found, dict):
        raise damaged(page.source.file, f"an item of its list {page.source.id}", "it is no object")
    return found


def _object(fields: _Fields) -> str:
    pairs = (f"{json.dumps(name)}:{_text(value)}" for name, value in fields.items())
    return f"{{{','.join(pairs)}}}"


def _text(value: msgspec.Raw) -> str:
    return str(value, "utf-8")


def _one_line(text: str) -> str:
    return text.replace("\r", " ").replace("\n", " ").strip()


def format_time(at: float) -> str:
    """A Unix time in ISO 8601, in UTC."""
    text = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
