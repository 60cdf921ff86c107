"""Decoding: from the bytes of an answer to its typed objects, beside parsers and peers."""

from __future__ import annotations

import json
import operator
import typing
from collections.abc import Callable
from functools import partial, reduce
from typing import Any

import attrs
import msgspec
import orjson
from attrs import frozen
from cattrs.preconf.json import make_converter

from benchmarks import peers
from benchmarks.bodies import body
from benchmarks.measure import Rounds, alternate, median, ratio, spread
from benchmarks.report import Goal, Table
from keyapi_async import (
    DetailQuery,
    HashtagDetailQuery,
    HashtagsQuery,
    ListQuery,
    MusicDetailQuery,
    MusicQuery,
    VideosQuery,
)
from keyapi_async.pages import page_from
from keyapi_async.protocol import Envelope, Response, decode, fit
from keyapi_async.trending import detail_from

ROUNDS = 40
SECONDS = 0.01  # of each contender in each round

_plain = make_converter()


@frozen
class Shape:
    """One kind of answer.

    Attributes:
        query: What was asked.
        peer: What pydantic validates the answer as.
    """

    query: ListQuery[Any] | DetailQuery[Any]
    peer: type[peers.Envelope[Any]]

    @property
    def endpoint(self) -> str:
        """Which endpoint sends it."""
        return self.query.name

    @property
    def is_list(self) -> bool:
        """Whether the answer is a page."""
        return isinstance(self.query, ListQuery)

    def made(self, body: bytes, status: int = 200) -> Any:
        """What the client makes of the bytes."""
        query = self.query
        response = Response(status=status, body=body)
        answer = fit(decode(response, query.shape, secret="a-key"), query.shape)
        if isinstance(query, ListQuery):
            return page_from(answer, query)
        return detail_from(answer, query)

    def cattrs(self, data: Any) -> Any:
        """What cattrs out of the box makes of `data`."""
        query = self.query
        kind: Any = tuple[query.item, ...] if self.is_list else query.item  # type: ignore[name-defined]
        return _plain.structure(data[query.data_key] if query.data_key else data, kind)

    def things(self, data: Any) -> tuple[Any, ...]:
        """The items of a peer's `data`, or the one thing a detail is about."""
        key = self.query.data_key
        found = getattr(data, key) if key else data
        return found if self.is_list else (found,)


SHAPES = (
    Shape(HashtagsQuery(), peers.Envelope[peers.Hashtags]),
    Shape(VideosQuery(), peers.Envelope[peers.Videos]),
    Shape(MusicQuery(), peers.Envelope[peers.Sounds]),
    Shape(HashtagDetailQuery(), peers.Envelope[peers.HashtagInfo]),
    Shape(MusicDetailQuery(), peers.Envelope[peers.MusicDetail]),
)
OURS = "keyapi_async"
EXTRA = "keyapi_async, .extra of each item read"
BARE = "msgspec into bare attrs classes"
STRUCT = "msgspec into Structs"
PYDANTIC = "pydantic, extra=allow"
PYDANTIC_EXTRA = "pydantic, .model_extra of each item read"
CATTRS = "json.loads, cattrs out of the box"


def ways(shape: Shape) -> dict[str, Callable[[bytes], object]]:
    """All ways to decode the bytes of an answer."""
    peer = shape.peer.model_validate_json

    def extra(body: bytes) -> list[object]:
        made = shape.made(body)
        return [item.extra for item in (made.items if shape.is_list else (made,))]

    def pydantic_extra(body: bytes) -> list[object]:
        return [item.model_extra for item in shape.things(peer(body).data)]

    return {
        OURS: shape.made,
        EXTRA: extra,
        BARE: msgspec.json.Decoder(twin(Envelope, _bare, data=shape.query.shape)).decode,
        STRUCT: msgspec.json.Decoder(twin(Envelope, _struct, data=shape.query.shape)).decode,
        "orjson.loads": orjson.loads,
        "msgspec.json.decode": msgspec.json.decode,
        "json.loads": json.loads,
        PYDANTIC: peer,
        PYDANTIC_EXTRA: pydantic_extra,
        CATTRS: lambda body: shape.cattrs(json.loads(body)["data"]),
    }


def twin(cls: type[Any], make: Callable[[str, dict[str, Any]], Any], **given: Any) -> Any:
    """A class with the fields of another and nothing else, and so all the classes within it."""

    def other(kind: Any) -> Any:
        if attrs.has(kind):
            return twin(kind, make)
        if typing.get_origin(kind) is tuple:
            return tuple[other(typing.get_args(kind)[0]), ...]  # type: ignore[misc]
        members = typing.get_args(kind)
        return reduce(operator.or_, map(other, members)) if members else kind

    types = typing.get_type_hints(cls) | given
    fields = {a.name: (other(types[a.name]), a.default) for a in attrs.fields(cls)}
    return make(cls.__name__, fields)


def _bare(name: str, fields: dict[str, Any]) -> Any:
    made = {field: attrs.field(type=t, default=d) for field, (t, d) in fields.items()}
    return attrs.make_class(name, made, frozen=True, slots=True, kw_only=True)


def _struct(name: str, fields: dict[str, Any]) -> Any:
    made = [(field, t, *[d] * (d is not attrs.NOTHING)) for field, (t, d) in fields.items()]
    return msgspec.defstruct(name, made, frozen=True, kw_only=True)


async def run() -> list[Table]:
    """Measure all shapes."""
    bodies = {shape: body(shape.endpoint) for shape in SHAPES}
    found = {shape: _measure(shape, wire) for shape, wire in bodies.items()}
    hashtags = found[SHAPES[0]]
    times = Table(
        "decode",
        "Decoding an answer: us of CPU (medians)",
        ("", *(f"{s.endpoint}, {len(bodies[s]) / 1000:.1f} kB" for s in SHAPES), "± % (hashtags)"),
        tuple(
            (name, *(median(found[shape][name]) for shape in SHAPES), spread(hashtags[name]))
            for name in hashtags
        ),
        notes=(
            "Lists have 20 items; a hashtag has 7 trend points and 3 creators.",
            "Every hashtag has an unknown field, of the videos and sounds one in twenty.",
        ),
    )
    others = (BARE, STRUCT, "orjson.loads", "json.loads", PYDANTIC, CATTRS)
    ratios = Table(
        "decode-ratios",
        "Decoding: keyapi_async beside the others (medians of paired rounds)",
        ("", *(shape.endpoint for shape in SHAPES)),
        tuple(
            (f"{of} / {to}", *(ratio(found[shape], of, to) for shape in SHAPES))
            for of, to in (*((OURS, to) for to in others), (EXTRA, PYDANTIC_EXTRA))
        ),
        goals=tuple(
            Goal(f"{of}, {shape.endpoint} / {to}", ratio(found[shape], of, to), limit)
            for shape in SHAPES
            for of, to, limit in (
                (OURS, "orjson.loads", 2.6),
                (OURS, PYDANTIC, 0.7),
                (EXTRA, PYDANTIC_EXTRA, 1.0),
                *([(OURS, BARE, 1.35)] if shape.is_list else []),
            )
        ),
    )
    return [times, ratios]


def _measure(shape: Shape, wire: bytes) -> Rounds:
    contenders = {name: partial(way, wire) for name, way in ways(shape).items()}
    slowest = median(alternate({CATTRS: contenders[CATTRS]}, 3, 20)[CATTRS])
    return alternate(contenders, ROUNDS, max(1, int(SECONDS * 1e6 / slowest)))
