"""Clients that share a pace, by the driven clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from keyapi_async import KeyAPIClient
from keyapi_async.sandbox import Sandbox
from keyapi_async.shared_state import Claim, Reply, Store
from keyapi_async.sharing import SharedPace
from tests.core.leaks import no_task_left
from tests.core.scripted_server import KEY


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


class DistantStore:
    """A store whose answers to `reserve` take half a second to come back."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def reserve(self, claim: Claim) -> Reply:
        reply = await self._store.reserve(claim)
        await asyncio.sleep(0.5)
        return reply


def move_away(client: KeyAPIClient) -> None:
    """Have what a client shares be half a second away."""
    pace: Any = pace_of(client)
    pace._store = DistantStore(pace._store)
