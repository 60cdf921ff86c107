"""The client over one answer, without a server: what it makes of any body, and what it asks."""

from __future__ import annotations

import json
from typing import Any

from keyapi_async import APIError, InvalidResponseError
from keyapi_async.protocol import Answer, Response, decode, fit
from keyapi_async.queries import Query
from keyapi_async.trending import Trending
from tests.core.documented_bodies import ENDPOINTS, LISTS, example


class OneAnswer:
    """Stands where the session does: any query gets this answer; the query is kept."""

    def __init__(self, body: bytes, *, status: int = 200, secret: str = "") -> None:
        self.response = Response(status=status, body=body)
        self.secret = secret
        self.query: Query[Any] | None = None

    async def fetch(self, query: Query[Any]) -> Answer[Any]:
        self.query = query
        return fit(decode(self.response, query.shape, secret=self.secret), query.shape)


def envelope(data: object) -> bytes:
    return json.dumps({"code": 0, "data": data, "requestId": "req-1"}).encode()


def trending(session: OneAnswer | None = None) -> Trending:
    """The five endpoints, all of which get that answer."""
    return Trending(session or OneAnswer(envelope({})))  # type: ignore[arg-type]


def finish(coroutine: Any) -> Any:
    """The result of a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    coroutine.close()
    raise AssertionError("it waits for something")


def read_body(endpoint: str, body: bytes, *, status: int = 200, secret: str = "") -> Any:
    """What a call of the endpoint gives for this body."""
    session = OneAnswer(body, status=status, secret=secret)
    return finish(getattr(trending(session), endpoint)())


def outcome(endpoint: str, body: bytes, *, status: int = 200, secret: str = "") -> Any:
    """The same, or the documented error it raises."""
    try:
        return read_body(endpoint, body, status=status, secret=secret)
    except (APIError, InvalidResponseError) as error:
        return error


def read(endpoint: str, data: object) -> Any:
    """What a call of the endpoint gives for this `data`."""
    return read_body(endpoint, envelope(data))


def query_of(endpoint: str, *args: Any, **params: Any) -> Query[Any]:
    """The query that a call sends."""
    session = OneAnswer(envelope(example(endpoint)["data"]))
    finish(getattr(trending(session), endpoint)(*args, **params))
    assert session.query is not None
    return session.query


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
