"""Starting and stopping the server, here or in a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any

from aiohttp import web

_BACKLOG = 1024  # a crawler may well open hundreds of connections at once


@asynccontextmanager
async def serve(
    handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
    host: str,
    port: int,
    keepalive: float,
) -> AsyncIterator[tuple[str, int]]:
    """Serve from the running event loop; yields the address."""
    server = web.Server(
        handler,
        handler_cancellation=True,  # how the handler learns that its client went away
        access_log=None,
        keepalive_timeout=keepalive,
    )
    runner = web.ServerRunner(server, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=_BACKLOG).start()
        address: tuple[str, int] = runner.addresses[0][:2]
        yield address
    finally:
        try:
            await wait_for_transports()
        finally:
            for site in runner.sites:
                await site.stop()
        await asyncio.sleep(0)  # let new transports reach `connection_made`
        # A graceful shutdown would wait for stalled requests.
        for connection in server.connections:
            if connection.transport is not None:
                connection.transport.abort()
        await runner.cleanup()


async def wait_for_transports() -> None:
    """Wait until a server may close: all that it has accepted has a transport.

    If it closes before, asyncio drops such a connection without closing it.
    """
    # Timers run after sockets: this resumes before anything more is accepted.
    ready = asyncio.Event()
    asyncio.get_running_loop().call_at(0, ready.set)  # due at once, by any clock
    await ready.wait()


@contextmanager
def run_in_thread(context: AbstractAsyncContextManager[Any]) -> Iterator[None]:
    """Keep an async context open in a thread with an event loop of its own."""
    runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
    loop = runner.get_loop()

    def run() -> None:
        with runner:  # in the end it cancels what still runs
            loop.run_forever()

    # A daemon: a test that never leaves the context must not keep the interpreter from exiting.
    thread = threading.Thread(target=run, name="keyapi-sandbox", daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(context.__aenter__(), loop).result()
        try:
            yield
        finally:
            closing = context.__aexit__(None, None, None)
            asyncio.run_coroutine_threadsafe(closing, loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
