"""What was received: kept as the bytes it came in, parsed only when somebody asks for it."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any, NoReturn

import msgspec

_set = object.__setattr__


def moment(seconds: float | None) -> datetime | None:
    """Unix seconds as a moment in UTC; none for none."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


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
        key: Where in the data the items are, or the object; empty for the data itself.
        request_id: The server's id of the answer.
        retrieved_at: When it came, in Unix seconds.
        from_cache: Whether it took no request of its own.
    """

    __slots__ = ("_data", "_items", "_key", "from_cache", "request_id", "retrieved_at")

    def __init__(
        self,
        data: Any,
        key: str = "",
        *,
        request_id: str | None = None,
        retrieved_at: float | None = None,
        from_cache: bool = False,
    ) -> None:
        self._data = data
        self._key = key
        self._items: list[msgspec.Raw] | None = None
        self.request_id = request_id
        self.retrieved_at = retrieved_at
        self.from_cache = from_cache

    def inside(self, key: str) -> Source:
        """The same answer, for the object of that name in its data, or for the data itself."""
        return Source(
            self._data,
            key,
            request_id=self.request_id,
            retrieved_at=self.retrieved_at,
            from_cache=self.from_cache,
        )

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

    def part(self, position: int | None) -> Any:
        """One of the items, or the object, decoded."""
        found = self.data[self._key] if self._key else self.data
        return found if position is None else found[position]

    def text(self, position: int | None) -> str:
        """The same as JSON, letter for letter where its bytes are still there."""
        if isinstance(self._data, bytes):
            try:
                return str(self._bytes(self._data, position), "utf-8")
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                pass
        part = self.part(position)
        try:
            return msgspec.json.encode(part).decode()
        except (msgspec.MsgspecError, ValueError, OverflowError):
            return json.dumps(part, separators=(",", ":"))  # half an emoji, a very long number

    def _bytes(self, body: bytes, position: int | None) -> msgspec.Raw:
        if not self._key:
            return msgspec.json.decode(body, type=_Body).data
        if position is None:
            return msgspec.json.decode(body, type=_Fields).data[self._key]
        if self._items is None:  # all at once: who wants one item's text wants its neighbours'
            found = msgspec.json.decode(body, type=_Fields).data[self._key]
            self._items = msgspec.json.decode(found, type=list[msgspec.Raw])
        return self._items[position]


_NOTHING = Source({})


class Received:
    """Base of what is made of an answer: knows the JSON it was made from."""

    __slots__ = ("_position", "_source")

    @property
    def raw(self) -> dict[str, Any]:
        """The JSON object this was made from, exactly as received; empty if made by hand.

        Not in eq, hash or repr.
        """
        raw: dict[str, Any] = source_of(self).part(getattr(self, "_position", None))
        return raw

    @property
    def raw_json(self) -> str:
        """The same as JSON text, letter for letter as long as `raw` was not read."""
        return source_of(self).text(getattr(self, "_position", None))

    def __reduce__(self) -> tuple[Any, ...]:
        fields = {a.alias: getattr(self, a.name) for a in type(self).__attrs_attrs__}  # type: ignore[attr-defined]
        source = source_of(self)
        told = (source.request_id, source.retrieved_at, source.from_cache)
        return _rebuild, (type(self), fields, self.raw, told)


def attach(received: Received, source: Source, position: int | None = None) -> None:
    """Tell a model, which is frozen, what it was made from."""
    _set(received, "_source", source)
    _set(received, "_position", position)


def source_of(received: Received) -> Source:
    """What a model was made from."""
    source: Source = getattr(received, "_source", _NOTHING)
    return source


def position_of(received: Received) -> int:
    """Where in its list an item stood, from 1."""
    position: int | None = getattr(received, "_position", None)
    return 1 if position is None else position + 1


def _rebuild(
    cls: type[Received],
    fields: dict[str, Any],
    raw: dict[str, Any],
    told: tuple[str | None, float | None, bool],
) -> Received:
    made = cls(**fields)
    request_id, at, from_cache = told
    attach(made, Source(raw, request_id=request_id, retrieved_at=at, from_cache=from_cache))
    return made
