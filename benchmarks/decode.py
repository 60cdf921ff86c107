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
from keyapi_async import models
from keyapi_async.pages import page_from
from keyapi_async.protocol import Answer, Response, decode, fitted
from keyapi_async.queries import HashtagsQuery, ListQuery, MusicQuery, VideosQuery
from keyapi_async.trending import hashtag_detail_from, music_detail_from

ROUNDS = 40
SECONDS = 0.01  # of each contender in each round

_plain = make_converter()


@frozen
class Shape:
    """One kind of answer.

    Attributes:
        endpoint: Which endpoint sends it.
        model: Our class of an item, or of the whole.
        peer: What pydantic validates it as.
        data: Our class of `data`.
        typed: What the client makes of the answer.
        query: For a list, its query class.
        within: For a detail, where in `data` it stands.
    """

    endpoint: str
    model: type[Any]
    peer: type[peers.Envelope[Any]]
    data: type[Any]
    typed: Callable[[Answer[Any]], Any]
    query: type[ListQuery] | None = None
    within: str = ""

    def made(self, body: bytes, status: int = 200) -> Any:
        """What the client makes of the bytes."""
        answer = decode(Response(status=status, body=body), self.data, secret="a-key")
        return self.typed(fitted(answer, self.data))

    def cattrs(self, data: Any) -> Any:
        """What cattrs out of the box makes of `data`."""
        if self.query:
            items: Any = tuple[self.model, ...]  # type: ignore[name-defined]
            return _plain.structure(data[self.query.list_key], items)
        return _plain.structure(data[self.within] if self.within else data, self.model)


def _page(query: type[ListQuery]) -> Callable[[Answer[Any]], Any]:
    return lambda answer: page_from(answer, query.list_key)


SHAPES = (
    Shape(
        "hashtags",
        models.Hashtag,
        peers.Envelope[peers.Hashtags],
        models.HashtagList,
        _page(HashtagsQuery),
        HashtagsQuery,
    ),
    Shape(
        "videos",
        models.Video,
        peers.Envelope[peers.Videos],
        models.VideoList,
        _page(VideosQuery),
        VideosQuery,
    ),
    Shape(
        "music",
        models.Sound,
        peers.Envelope[peers.Sounds],
        models.SoundList,
        _page(MusicQuery),
        MusicQuery,
    ),
    Shape(
        "hashtag_detail",
        models.HashtagDetail,
        peers.Envelope[peers.HashtagInfo],
        models.HashtagInfo,
        hashtag_detail_from,
        within="info",
    ),
    Shape(
        "music_detail",
        models.MusicDetail,
        peers.Envelope[peers.MusicDetail],
        models.MusicDetail,
        music_detail_from,
    ),
)
OURS = "keyapi_async"
TOUCHED = "keyapi_async, .extra of each item read"
PYDANTIC = "pydantic, extra=allow"
CATTRS = "json.loads, cattrs out of the box"


def ways(shape: Shape) -> dict[str, Callable[[bytes], object]]:
    """All ways to decode the bytes of an answer."""

    def touched(body: bytes) -> list[object]:
        made = shape.made(body)
        return [item.extra for item in (made.items if shape.query else (made,))]

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
