"""Decoding: from the bytes of an answer to its typed objects, beside parsers and peers."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

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
from keyapi_async.protocol import Response, decode, fit
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


SHAPES = (
    Shape(HashtagsQuery(), peers.Envelope[peers.Hashtags]),
    Shape(VideosQuery(), peers.Envelope[peers.Videos]),
    Shape(MusicQuery(), peers.Envelope[peers.Sounds]),
    Shape(HashtagDetailQuery(), peers.Envelope[peers.HashtagInfo]),
    Shape(MusicDetailQuery(), peers.Envelope[peers.MusicDetail]),
)
OURS = "keyapi_async"
TOUCHED = "keyapi_async, .extra of each item read"
PYDANTIC = "pydantic, extra=allow"
CATTRS = "json.loads, cattrs out of the box"


def ways(shape: Shape) -> dict[str, Callable[[bytes], object]]:
    """All ways to decode the bytes of an answer."""

    def touched(body: bytes) -> list[object]:
        made = shape.made(body)
        return [item.extra for item in (made.items if shape.is_list else (made,))]

    return {
        OURS: shape.made,
        TOUCHED: touched,
        "orjson.loads": orjson.loads,
        "msgspec.json.decode": msgspec.json.decode,
        "json.loads": json.loads,
        PYDANTIC: shape.peer.model_validate_json,
        CATTRS: lambda body: shape.cattrs(json.loads(body)["data"]),
    }


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
        notes=("Lists have 20 items; a hashtag has 7 trend points and 3 creators.",),
    )
    ratios = Table(
        "decode-ratios",
        "Decoding: keyapi_async beside the others (medians of paired rounds)",
        ("keyapi_async /", *(shape.endpoint for shape in SHAPES)),
        tuple(
            (to, *(ratio(found[shape], OURS, to) for shape in SHAPES))
            for to in ("orjson.loads", "json.loads", PYDANTIC, CATTRS)
        ),
        goals=tuple(
            Goal(f"decode {shape.endpoint} / {to}", ratio(found[shape], OURS, to), limit)
            for shape in SHAPES
            for to, limit in (("orjson.loads", 2.6), (PYDANTIC, 0.7))
        ),
    )
    return [times, ratios]


def _measure(shape: Shape, wire: bytes) -> Rounds:
    contenders = {name: partial(way, wire) for name, way in ways(shape).items()}
    slowest = median(alternate({CATTRS: contenders[CATTRS]}, 3, 20)[CATTRS])
    return alternate(contenders, ROUNDS, max(1, int(SECONDS * 1e6 / slowest)))
