"""A sandbox, a client of it that no pace holds up, and what clients can share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from keyapi_async import KeyAPIClient
from keyapi_async.sandbox import Sandbox
from tests.core.shares import RedisServer, file_share, redis_server


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
    with redis_server() as server:
        yield server


@pytest.fixture
def empty_redis(running_redis: RedisServer) -> RedisServer:
    with running_redis.connect() as connection:
        connection.flushall()
    return running_redis


@pytest.fixture(params=["file", "redis"])
def share(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """What to give to `share=`; nobody else uses it."""
    if request.param == "file":
        return file_share(tmp_path)
    server: RedisServer = request.getfixturevalue("empty_redis")
    return server.url
