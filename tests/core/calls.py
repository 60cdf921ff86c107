"""Calls of every endpoint, and what becomes of them: results, errors, credits, time, events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from keyapi_async import KeyAPIClient, KeyAPIError, RequestEvent

TRENDING = "/v1/tiktok/trending/"
Call = Callable[[KeyAPIClient], Any]
CALLS: dict[str, Call] = {
    "hashtags": lambda client: client.trending.hashtags(),
    "hashtag/detail": lambda client: client.trending.hashtag_detail(),
    "videos": lambda client: client.trending.videos(),
    "music": lambda client: client.trending.music(),
    "music/detail": lambda client: client.trending.music_detail(),
}
"""A default call of each endpoint."""

PAGERS: dict[str, Call] = {
    "hashtags": lambda client: client.trending.iter_hashtags(max_pages=2).collect(),
    "videos": lambda client: client.trending.iter_videos(max_pages=2).collect(),
    "music": lambda client: client.trending.iter_music(max_pages=2).collect(),
}
"""Two pages of each list."""


async def failing(call: Any, kind: type[KeyAPIError] = KeyAPIError) -> Any:
    """The error a call ends with; exactly of that class unless any will do."""
    with pytest.raises(kind) as caught:
        await call
    assert kind is KeyAPIError or caught.type is kind
    return caught.value


async def outcomes(calls: Iterator[Any] | list[Any]) -> list[Any]:
    """What each of these calls, made at once, returns or raises."""
    return await asyncio.gather(*calls, return_exceptions=True)


def spending(client: KeyAPIClient) -> tuple[int, int]:
    return client.usage.credits_spent, client.usage.credits_at_risk


@contextmanager
def lasting(low: float, high: float | None = None) -> Iterator[None]:
    """What happens here takes that long on the driven clock."""
    clock = asyncio.get_running_loop().time
    start = clock()
    yield
    took = clock() - start
    assert low - 0.01 <= took <= (low + 0.9 if high is None else high), took


class Events(list[RequestEvent]):
    """An `on_event` that writes down what it is told."""

    def __call__(self, event: RequestEvent) -> None:
        self.append(event)

    @property
    def kinds(self) -> str:
        return " ".join(event.kind for event in self)
