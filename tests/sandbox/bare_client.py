"""A bare client for the tests of the sandbox, which don't trust the real one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from keyapi_async.sandbox import Sandbox

BASE = "/v1/tiktok/trending/"
HASHTAGS = BASE + "hashtags"
DETAIL = BASE + "hashtag/detail"


def address(sandbox: Sandbox) -> tuple[str, int]:
    """Where it listens, for a socket."""
    host, port = sandbox.url.removeprefix("http://").split(":")
    return host, int(port)


class Http:
    """A bare client, and the sandbox it talks to."""

    def __init__(self, session: aiohttp.ClientSession, sandbox: Sandbox) -> None:
        self.session, self.sandbox = session, sandbox

    async def send(
        self, path: str = HASHTAGS, *, method: str = "GET", key: str | None = None, **params: str
    ) -> tuple[int, bytes, Mapping[str, str]]:
        bearer = {"Authorization": f"Bearer {self.sandbox.api_key if key is None else key}"}
        url = self.sandbox.url + path
        async with self.session.request(
            method, url, params=params, headers=bearer if key != "" else {}, allow_redirects=False
        ) as response:
            return response.status, await response.read(), response.headers

    async def get(self, path: str = HASHTAGS, **params: str) -> tuple[int, Any]:
        status, body, _ = await self.send(path, **params)
        return status, json.loads(body)

    async def page(self, number: int, path: str = HASHTAGS) -> tuple[list[Any], dict[str, Any]]:
        data = (await self.get(path, page=str(number)))[1]["data"]
        return data["list"], data["pagination"]


@asynccontextmanager
async def open_http(**settings: Any) -> AsyncIterator[Http]:
    async with Sandbox(**settings) as sandbox, aiohttp.ClientSession() as session:
        yield Http(session, sandbox)


async def wait_until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)
