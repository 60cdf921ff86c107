"""A seeded fuzz run of 60 s: whatever comes, only documented errors come out, and soon."""

from __future__ import annotations

import json
import math
import random
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable
from typing import Any

from benchmarks.bodies import body
from benchmarks.decode import SHAPES
from benchmarks.report import Goal, Table
from keyapi_async import APIError, Checkpoint, InvalidResponseError, to_dict
from keyapi_async.converter import wire_params
from keyapi_async.queries import HashtagsQuery, MusicDetailQuery, MusicQuery, VideosQuery

SECONDS = 60.0
SEED = 20261121

HOSTILE: tuple[Any, ...] = (
    None, True, 0, -1, 1.5, 2**63, 2**80, -(2**70), 1e308, "", "x", "\ud800", "7" * 4000,
    [], {}, [None], [[[[]]]], {"": {}}, "null", "2", [{}], {"raw": 1}, "\x00", "🐶" * 50,
)  # fmt: skip
QUERIES = (HashtagsQuery, VideosQuery, MusicQuery, MusicDetailQuery)


async def run() -> list[Table]:
    """Fuzz answers, checkpoints and parameters in turn."""
    rng = random.Random(SEED)
    tasks: tuple[Callable[[random.Random], str], ...] = (_answer, _answer, _checkpoint, _query)
    ends: Counter[str] = Counter()
    slowest = 0.0
    tracemalloc.start()
    stop = time.monotonic() + SECONDS
    while (began := time.monotonic()) < stop:
        ends[rng.choice(tasks)(rng)] += 1
        slowest = max(slowest, time.monotonic() - began)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    undocumented = sum(count for end, count in ends.items() if end.startswith("undocumented"))
    return [
        Table(
            "fuzz",
            f"A fuzz run of {SECONDS:g} s, seed {SEED}: how inputs ended",
            ("", "inputs"),
            tuple(sorted(ends.items())),
            notes=(f"Slowest {slowest * 1e3:.0f} ms; at most {peak / 2**20:.0f} MB at once.",),
            goals=(
                Goal("fuzz: undocumented errors", undocumented, 0),
                Goal("fuzz: slowest input, s", slowest, 1),
                Goal("fuzz: MB at once", peak / 2**20, 200),
            ),
        )
    ]


def _answer(rng: random.Random) -> str:
    shape = rng.choice(SHAPES)
    value = json.loads(body(shape.endpoint))
    for _ in range(rng.randint(0, 3)):
        _damage(value, rng)
    text = bytearray(json.dumps(value).encode())
    for _ in range(rng.choice((0, 0, 1, 5))):
        text[rng.randrange(len(text))] = rng.randrange(256)
    if rng.random() < 0.1:
        del text[rng.randrange(len(text)) :]
    status = rng.choice((200, 200, 200, 200, 302, 404, 429, 503))

    def read() -> None:
        made = shape.made(bytes(text), status)
        json.dumps(to_dict(made))
        json.dumps(made.raw)
        repr(made), hash(made), made.raw_json

    return _ending("answer", read, APIError, InvalidResponseError)


def _damage(value: Any, rng: random.Random) -> None:
    """Change one thing somewhere within decoded JSON."""
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not keys:
            return
        key = rng.choice(keys)
        if isinstance(value[key], dict | list) and rng.random() < 0.8:
            value = value[key]
        elif rng.random() < 0.3:
            del value[key]
            return
        else:
            value[key] = rng.choice(HOSTILE)
            return


def _checkpoint(rng: random.Random) -> str:
    parts = {"path": "/v1", "params": {"region": "US"}, "page": 3, "offset": 2, "seen": ["1"]}
    _damage(parts, rng)
    text = json.dumps(parts)
    text = text[: rng.randrange(len(text))] if rng.random() < 0.3 else text
    return _ending("checkpoint", lambda: str(Checkpoint.parse(text)), ValueError)


def _query(rng: random.Random) -> str:
    cls = rng.choice(QUERIES)
    values = (*HOSTILE, math.nan, math.inf, b"US", object(), 7, "30", "US", True, "true")
    names = [name for name in wire_params(cls()) if rng.random() < 0.4]
    given = {name: rng.choice(values) for name in names}
    return _ending("query", lambda: wire_params(cls(**given)), ValueError)


def _ending(what: str, call: Callable[[], object], *documented: type[Exception]) -> str:
    try:
        call()
    except documented as error:
        return f"{what}: {type(error).__name__}"
    except Exception as error:  # noqa: BLE001 - that is what it looks for
        return f"undocumented of {what}: {error!r:.200}"
    return f"{what}: fine"
