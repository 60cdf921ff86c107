"""The guide's service under uvicorn, and its Redis cache with a redis-server."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import keyapi_async
from keyapi_async.sandbox import Fault, Sandbox

pytestmark = [pytest.mark.slow, pytest.mark.real_time]
GUIDE = Path(keyapi_async.__path__[0], "README.md").read_text(encoding="utf-8")
CACHE, SERVICE = re.findall(r"```py\n(.*?)```", GUIDE, re.DOTALL)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@contextmanager
def running(*command: Any, port: int, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A server in a process of its own, once it listens."""
    with subprocess.Popen(list(map(str, command)), **options) as server:
        try:
            for _ in range(300):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.05)
            yield server
        finally:
            server.terminate()


@asynccontextmanager
async def serving(
    tmp_path: Path, sandbox: Sandbox
) -> AsyncIterator[tuple[aiohttp.ClientSession, subprocess.Popen[bytes]]]:
    pytest.importorskip("fastapi")
    (tmp_path / "service.py").write_text(SERVICE)
    port, root = free_port(), str(Path(keyapi_async.__path__[0]).parent)
    env = {"KEYAPI_BASE_URL": sandbox.url, "KEYAPI_TOKEN": sandbox.api_key, "PYTHONPATH": root}
    command = [sys.executable, "-m", "uvicorn", "service:app", "--port", port]
    with running(*command, port=port, cwd=tmp_path, env=env) as server:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
            yield http, server


async def get(http: aiohttp.ClientSession, path: str) -> tuple[int, Any, str | None]:
    async with http.get(path) as answer:
        return answer.status, await answer.json(), answer.headers.get("Retry-After")


async def test_details_errors_and_deadlines(tmp_path: Path) -> None:
    with Sandbox() as sandbox:
        async with serving(tmp_path, sandbox) as (http, _):
            found = await asyncio.gather(*(get(http, "/hashtags/cats") for _ in range(20)))
            assert {(status, body["hashtag_name"]) for status, body, _ in found} == {(200, "cats")}
            assert len(sandbox.requests) == 1
            sandbox.fail(Fault.status(404))
            assert await get(http, "/hashtags/none") == (404, {"error": "NotFoundError"}, None)
            sandbox.fail(Fault.stall(60))
            began = time.monotonic()
            assert await get(http, "/hashtags/slow") == (504, {"error": "DeadlineError"}, None)
            assert time.monotonic() - began < 4
            sandbox.fail(Fault.status(429, retry_after="60"))
            assert await get(http, "/hashtags/a") == (503, {"error": "RateLimitError"}, "60")
            assert (await get(http, "/hashtags/b"))[:2] == (503, {"error": "RateLimitError"})
            assert len(sandbox.requests) == 4


async def test_a_stream_whose_reader_leaves_stops(tmp_path: Path) -> None:
    with Sandbox() as sandbox:
        async with serving(tmp_path, sandbox) as (http, _):
            async with http.get("/videos?region=GB") as answer:
                ids = [json.loads(line)["item_id"] async for line in answer.content]
            assert len(set(ids)) == 500
            sent = len(sandbox.requests)
            assert sent == 25
            async with http.get("/videos") as answer:
                await answer.content.readline()
            await asyncio.sleep(1)
            left = len(sandbox.requests)
            assert left < sent + 25
            await asyncio.sleep(1)
            assert len(sandbox.requests) == left


async def test_a_shutdown_lets_requests_end(tmp_path: Path) -> None:
    with Sandbox(latency=1.5) as sandbox:
        async with serving(tmp_path, sandbox) as (http, server):
            request = asyncio.create_task(get(http, "/hashtags/cats"))
            while not sandbox.requests:
                await asyncio.sleep(0.01)
            server.terminate()
            status, body, _ = await request
            assert (status, body["hashtag_name"]) == (200, "cats")
            assert server.wait(10) in (0, -15)


@pytest.mark.skipif(not shutil.which("redis-server"), reason="there is no redis-server")
async def test_the_redis_cache(tmp_path: Path) -> None:
    pytest.importorskip("redis")
    names: dict[str, Any] = {}
    exec(CACHE, names)
    port = free_port()
    command = ["redis-server", "--port", port, "--save", "", "--dir", tmp_path]
    with running(*command, port=port, stdout=subprocess.DEVNULL):
        cache = names["RedisCache"](f"redis://127.0.0.1:{port}")
        with Sandbox() as sandbox:
            for number in range(2):
                async with sandbox.client(cache=cache) as client:
                    page = await client.trending.hashtags()
                    assert page.from_cache is bool(number)
            assert len(sandbox.requests) == 1
        [key] = await cache.redis.keys()
        assert 0 < await cache.redis.ttl(key) <= 300
        assert sandbox.api_key.encode() not in key
        cache.ttl = 0.05
        async with sandbox.client(cache=cache) as client:
            await client._session.options.cache._cache.set("short", b"x", 0.05)
        await asyncio.sleep(0.1)
        assert await cache.get("short") is None
        await cache.redis.aclose()
