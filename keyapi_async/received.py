"""What was received: kept as the bytes it came in, parsed only when somebody asks for it."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from typing import Any, NoReturn, Self

import msgspec


def loads(body: bytes) -> Any:
    """Decode JSON.

    msgspec is fast, but refuses lone surrogates, which a text cut in the middle of an emoji
    has; the standard library takes those, so that a page paid for isn't lost.

    Raises:
        ValueError: It is not JSON, or nested too deep.
    """
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return json.loads(body, parse_constant=_no_number, parse_float=_finite)
    except RecursionError:
        raise ValueError("nested too deep") from None


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _no_number(text)


class _Body(msgspec.Struct):
    data: msgspec.Raw


class _Fields(msgspec.Struct):
    data: dict[str, msgspec.Raw]


class Source:
    """The `data` of one answer, shared by all that was made of it.

    Args:
        data: The whole body as it came, or decoded data.
    """

    __slots__ = ("_data", "_items")

    def __init__(self, data: Any) -> None:
        self._data = data
        self._items: list[msgspec.Raw] | None = None

    @property
    def data(self) -> Any:
        """The decoded JSON."""
        body = self._data
        if isinstance(body, bytes):
            try:
                self._data = loads(body)["data"]
            except ValueError:  # a field nobody knows, and nobody checked, holds something odd
                part = bytes(msgspec.json.decode(body, type=_Body).data)
                try:
                    self._data = loads(part)
                except ValueError:
                    self._data = json.loads(part.decode(errors="replace"))
        return self._data

    def text(self, path: tuple[Any, ...] = ()) -> str:
        """The JSON at a place, letter for letter where its bytes are still there."""
        if isinstance(self._data, bytes):
            try:  # not `suppress`: a crawl comes here for every item
                return str(self._part(self._data, path), "utf-8")
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                pass
        part = _at(self.data, path)
        try:
            return msgspec.json.encode(part).decode()
        except (msgspec.MsgspecError, ValueError, OverflowError):
            return json.dumps(part, separators=(",", ":"))  # half an emoji, a very long number

    def count(self, key: str) -> int:
        """How many items the list of that name has."""
        if isinstance(self._data, bytes):
            with suppress(msgspec.MsgspecError, RecursionError):
                return len(self._raw_items(self._data, key))
        return len(self.data[key])

    def _part(self, body: bytes, path: tuple[Any, ...]) -> msgspec.Raw:
        if not path:
            return msgspec.json.decode(body, type=_Body).data
        key: str = path[0]
        position: int | None = path[1] if len(path) > 1 else None
        return _field(body, key) if position is None else self._raw_items(body, key)[position]

    def _raw_items(self, body: bytes, key: str) -> list[msgspec.Raw]:
        if self._items is None:  # all at once: who wants one item's text wants its neighbours'
            self._items = msgspec.json.decode(_field(body, key), type=list[msgspec.Raw])
        return self._items


def _field(body: bytes, key: str) -> msgspec.Raw:
    return msgspec.json.decode(body, type=_Fields).data[key]


def _at(data: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        data = data[step]
    return data


class Received:
    """Base of what is made of an answer: knows the JSON it was made from."""

    __slots__ = ("_path", "_source")

    @property
    def raw(self) -> dict[str, Any]:
        """The JSON object this was made from, exactly as received; empty if made by hand.

        Not in eq, hash or repr.
        """
        source, *path = self.origin
        raw: dict[str, Any] = _at(source.data, tuple(path))
        return raw

    @property
    def raw_json(self) -> str:
        """The same as JSON text, letter for letter as long as `raw` was not read."""
        text: str = getattr(self, "_source", _NOTHING).text(getattr(self, "_path", ()))
        return text

    def made_from(self, source: Source, *path: str | int) -> Self:
        """Remember where in an answer this came from; part of the making of what is frozen."""
        set_source(self, source)
        set_path(self, path)
        return self

    @property
    def origin(self) -> tuple[Any, ...]:
        """What `made_from` was told."""
        return (getattr(self, "_source", _NOTHING), *getattr(self, "_path", ()))

    def __reduce__(self) -> tuple[Any, ...]:
        fields = {a.alias: getattr(self, a.name) for a in type(self).__attrs_attrs__}  # type: ignore[attr-defined]
        return _rebuilt, (type(self), fields, self.raw)


_NOTHING = Source({})
set_source = vars(Received)["_source"].__set__
set_path = vars(Received)["_path"].__set__


def _rebuilt(cls: type[Received], fields: dict[str, Any], raw: dict[str, Any]) -> Received:
    return cls(**fields).made_from(Source(raw))
