"""A sandbox's lists, and which pages of them were asked for."""

from __future__ import annotations

from keyapi_async.sandbox import Sandbox


def ids(sandbox: Sandbox, name: str = "hashtags", key: str = "hashtag_id") -> list[str]:
    return [item[key] for item in sandbox.items(name)]


def pages_asked(sandbox: Sandbox) -> list[int | None]:
    return [request.page for request in sandbox.requests]
