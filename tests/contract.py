"""The contract's five documented bodies, and a way to have the client read any other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

from keyapi_async.protocol import Answer, Response, decode, fitted
from keyapi_async.queries import Query
from keyapi_async.trending import Trending

_T = TypeVar("_T")

EXAMPLES = Path(__file__).parent / "examples"
LISTS = {"hashtags": "list", "videos": "videos", "music": "sound_list"}
DETAILS = {"hashtag_detail": "info", "music_detail": "sound"}
ENDPOINTS = {**LISTS, **DETAILS}


class OneAnswer:
    """Stands where the session does: any query gets this data; the query is kept."""

    def __init__(self, data: object) -> None:
        self.body = json.dumps({"code": 0, "data": data, "requestId": "req-1"}).encode()
        self.query: Query | None = None

    async def fetch(self, query: Query, shape: type[_T]) -> Answer[_T]:
        self.query = query
        return fitted(decode(Response(status=200, body=self.body), shape), shape)


def finish(coroutine: Any) -> Any:
    """The result of a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    coroutine.close()
    raise AssertionError("it waits for something")


def read(endpoint: str, data: object) -> Any:
    """What a call of the endpoint gives for this `data`."""
    return finish(getattr(Trending(OneAnswer(data)), endpoint)())  # type: ignore[arg-type]


def query_of(endpoint: str, *args: Any, **params: Any) -> Query:
    """The query that a call sends."""
    session = OneAnswer(example(endpoint)["data"])
    finish(getattr(Trending(session), endpoint)(*args, **params))  # type: ignore[arg-type]
    assert session.query is not None
    return session.query


def example(endpoint: str) -> Any:
    """A fresh copy of the documented body."""
    return json.loads((EXAMPLES / f"{endpoint}.json").read_bytes())


def example_item(endpoint: str) -> dict[str, Any]:
    """The documented item, or the object of a detail."""
    found = example(endpoint)["data"][ENDPOINTS[endpoint]]
    item: dict[str, Any] = found[0] if endpoint in LISTS else found
    return item


def read_item(endpoint: str, item: object) -> Any:
    """The model a call makes of one item (the only one of its page), or of a detail's object."""
    if endpoint not in LISTS:
        made = read(endpoint, {ENDPOINTS[endpoint]: item})
        return made.sound if endpoint == "music_detail" else made
    pagination = {"page": 1, "size": 20, "total": 1, "has_more": False}
    return read(endpoint, {LISTS[endpoint]: [item], "pagination": pagination}).items[0]


def item_path(endpoint: str) -> str:
    """Where that one item stands in the body."""
    return f"data.{ENDPOINTS[endpoint]}{'[0]' if endpoint in LISTS else ''}"
