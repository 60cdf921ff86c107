"""Shares for tests: files, a Redis server, and clients that share by the driven clock."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import redis

from keyapi_async import KeyAPIClient
from keyapi_async.sandbox import Sandbox
from keyapi_async.shared_state import Store
from keyapi_async.sharing import SharedPace
from tests.core.leaks import no_task_left
from tests.core.scripted_server import KEY

REDIS = shutil.which("redis-server") or shutil.which("redis-server", path="/usr/bin:/usr/sbin")


@attrs.define
class RedisServer:
    """A Redis server of our own, which keeps nothing; it can be stopped and started again."""

    folder: str
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def connect(self) -> Any:
        return redis.Redis(port=self.port)

    def start(self, *options: str) -> None:
        if not self.port:
            with socket.create_server(("127.0.0.1", 0)) as probe:
                self.port = probe.getsockname()[1]
        command = [REDIS, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.folder]
        command += ["--save", "", "--appendonly", "no", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        self._wait()

    def _wait(self) -> None:
        for _ in range(500):
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                    return
            except OSError:
                time.sleep(0.01)
        raise RuntimeError("redis-server did not start")

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@contextmanager
def redis_server(*options: str) -> Iterator[RedisServer]:
    """Run a Redis server, or skip the test where there is none."""
    if REDIS is None:
        pytest.skip("redis-server is not installed")
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(folder)
        server.start(*options)
        try:
            yield server
        finally:
            server.stop()


class DrivenStore:
    """A store that takes the driven clock for the time; that clock stops while it is asked."""

    def __init__(self, store: Any) -> None:
        self.store = store
        store._clock = asyncio.get_running_loop().time

    def __getattr__(self, name: str) -> Any:
        method: Callable[..., Any] = getattr(self.store, name)

        async def call(*arguments: Any) -> Any:
            loop: Any = asyncio.get_running_loop()
            loop.held += 1
            try:
                return await method(*arguments)
            finally:
                loop.held -= 1

        return call


def pace_of(client: KeyAPIClient) -> SharedPace:
    limit: Any = client._session.pool.pacer._limit
    return limit


def store_of(client: KeyAPIClient) -> Store:
    return pace_of(client)._store


def drive(client: KeyAPIClient) -> KeyAPIClient:
    """Have what a client shares go by the driven clock."""
    pace: Any = pace_of(client)
    pace._store = DrivenStore(pace._store)
    return client


@asynccontextmanager
async def sharing(
    share: str, settings: dict[str, Any] | None = None, *options: dict[str, Any]
) -> AsyncIterator[Any]:
    """A sandbox, and clients that share what `share` names: each stands for a process."""
    async with Sandbox(api_key=KEY, **settings or {}) as sandbox, AsyncExitStack() as stack:
        clients = [drive(sandbox.client(share=share, **each)) for each in options]
        for client in clients:
            await stack.enter_async_context(client)
        yield sandbox, *clients
    await no_task_left()


def file_share(folder: Path) -> str:
    return f"file:{folder / 'pace.share'}"
