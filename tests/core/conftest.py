"""A sandbox, a client of it that no pace holds up, and what clients can share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis import Redis

from benchmarks.redis_server import RedisServer, find_redis, redis_server
from keyapi_async import KeyAPIClient
from keyapi_async.sandbox import Sandbox
from tests.core.shares import file_share


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(totals={"music": 99}) as sandbox:
        yield sandbox


@pytest.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[KeyAPIClient]:
    async with sandbox.client(qps=1000) as client:
        yield client


@pytest.fixture(scope="session")
def running_redis() -> Iterator[RedisServer]:
    if find_redis() is None:
        pytest.skip("redis-server is not installed")
    with redis_server() as server:
        yield server


@pytest.fixture
def empty_redis(running_redis: RedisServer) -> RedisServer:
    with Redis(port=running_redis.port) as connection:
        connection.flushall()
    return running_redis


@pytest.fixture(params=["file", "redis"])
def share(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """What to give to `share=`; nobody else uses it."""
    if request.param == "file":
        return file_share(tmp_path)
    server: RedisServer = request.getfixturevalue("empty_redis")
    return server.url


@pytest.fixture
def server(running_redis: RedisServer) -> Iterator[RedisServer]:
    """A Redis server that the test may stop."""
    del running_redis  # there is none: skip
    with redis_server() as server:
        yield server
