"""What was received: kept as the bytes it came in, parsed only when somebody asks for it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from typing import Any, NoReturn

import msgspec


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


@cache
def _texts_decoder(name: str) -> msgspec.json.Decoder[Any]:
    """Of a body whose data has a list of that name; it skips all else."""
    data = msgspec.defstruct("Data", [(name, list[msgspec.Raw])])
    return msgspec.json.Decoder(msgspec.defstruct("Body", [("data", data)]))


class Source:
    """The `data` of one answer, decoded when somebody asks for what a model was made from.

    Each model has its place there: the index of an item of the list, the name of an object, or
    WHOLE. Of a body, items are decoded together, all else by itself: who changes what it gave for
    a page or a detail changes nothing for what is in there.

    Args:
        data: The whole body as it came, or decoded data.
        items: The name of the list in the data, if it has one.
        request_id: The server's id of the answer.
        retrieved_at: When it came, in Unix seconds.
        from_cache: Whether it took no request of its own.
    """

    __slots__ = (
        "_data",
        "_is_sound",
        "_list",
        "_parts",
        "_texts",
        "from_cache",
        "request_id",
        "retrieved_at",
    )

    def __init__(
        self,
        data: Any,
        items: str = "",
        *,
        request_id: str | None = None,
        retrieved_at: float | None = None,
        from_cache: bool = False,
    ) -> None:
        self._data = data
        self._is_sound = isinstance(data, bytes)  # till its texts can't be told
        self._list = items
        self._parts: dict[int | str, Any] = {}
        self._texts: list[msgspec.Raw] | None = None
        self.request_id = request_id
        self.retrieved_at = retrieved_at
        self.from_cache = from_cache

    def part(self, place: int | str) -> Any:
        """What stands at a place, decoded."""
        if place not in self._parts:
            data = self._decode()
            if isinstance(place, int):
                self._parts.update(enumerate(data[self._list]))
            else:
                self._parts[place] = data[place] if place else data
        return self._parts[place]

    def _decode(self) -> Any:
        body = self._data
        if not isinstance(body, bytes):
            return body
        try:
            return loads(body)["data"]
        except ValueError:  # a field nobody knows, and nobody checked, holds something odd
            part = bytes(msgspec.json.decode(body, type=_Body).data)
        try:
            return loads(part)
        except ValueError:
            return json.loads(part.decode(errors="replace"))

    def text(self, place: int | str) -> str:
        """The same as JSON, letter for letter where its bytes are there."""
        if self._is_sound:
            try:
                return str(self._bytes(self._data, place), "utf-8")
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                self._is_sound = False  # or each item would try again, with the whole body
        part = self.part(place)
        try:
            return msgspec.json.encode(part).decode()
        except (msgspec.MsgspecError, ValueError, OverflowError):
            return json.dumps(part, separators=(",", ":"))  # half an emoji, a very long number

    def _bytes(self, body: bytes, place: int | str) -> msgspec.Raw:
        if not isinstance(place, int):
            if not place:
                return msgspec.json.decode(body, type=_Body).data
            return msgspec.json.decode(body, type=_Fields).data[place]
        texts = self._texts
        if texts is None:  # all at once: who wants one item's text wants its neighbours'
            texts = getattr(_texts_decoder(self._list).decode(body).data, self._list)
            self._texts = texts
        return texts[place]


WHOLE = ""


class Received:
    """Base of what is made of an answer: knows the JSON it was made from."""

    __slots__ = ("_origin",)
    _origin: tuple[Source, int | str]

    @property
    def raw(self) -> dict[str, Any]:
        """The JSON object this was made from, exactly as received; empty if made by hand.

        Not in eq, hash or repr.
        """
        source, place = _origin_of(self)
        raw: dict[str, Any] = source.part(place)
        return raw

    @property
    def raw_json(self) -> str:
        """The same as JSON text: letter for letter, but of a copy, or with half an emoji in it."""
        source, place = _origin_of(self)
        return source.text(place)

    def __reduce__(self) -> tuple[Any, ...]:
        fields = {a.alias: getattr(self, a.name) for a in type(self).__attrs_attrs__}  # type: ignore[attr-defined]
        source = source_of(self)
        answer = (source.request_id, source.retrieved_at, source.from_cache)
        return _rebuild, (type(self), fields, self.raw, answer)


_put_origin = vars(Received)["_origin"].__set__  # models are frozen


def attach(received: Received, source: Source, place: int | str = WHOLE) -> None:
    """Tell a model what it was made from."""
    _put_origin(received, (source, place))


def attach_items(items: Iterable[Received], source: Source) -> None:
    """Tell each item of a list what it was made from."""
    for index, item in enumerate(items):
        _put_origin(item, (source, index))


def source_of(received: Received) -> Source:
    """What a model was made from."""
    return _origin_of(received)[0]


def position_of(received: Received) -> int:
    """Where in its list an item stood, from 1."""
    place = _origin_of(received)[1]
    return place + 1 if isinstance(place, int) else 1


def _origin_of(received: Received) -> tuple[Source, int | str]:
    """What a model was made from, and its place there."""
    try:
        return received._origin  # noqa: SLF001
    except AttributeError:  # made by hand
        return Source({}), WHOLE


def _rebuild(
    cls: type[Received],
    fields: dict[str, Any],
    raw: dict[str, Any],
    answer: tuple[str | None, float | None, bool],
) -> Received:
    made = cls(**fields)
    request_id, at, from_cache = answer
    attach(made, Source(raw, request_id=request_id, retrieved_at=at, from_cache=from_cache))
    return made
