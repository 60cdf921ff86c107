"""Starting and stopping the server, here or in a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from functools import partial
from typing import TypeAlias

from aiohttp import web

Handler: TypeAlias = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_BACKLOG = 1024  # a crawler may well open hundreds of connections at once


@asynccontextmanager
async def listening(
    handler: Handler, host: str, port: int, keepalive: float
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
        for site in runner.sites:
            await site.stop()
        # A graceful shutdown would wait for stalled requests.
        for connection in server.connections:
            if connection.transport is not None:
                connection.transport.abort()
        await runner.cleanup()


@contextmanager
def in_thread(served: AbstractAsyncContextManager[object]) -> Iterator[None]:
    """Keep an async context open in a thread with an event loop of its own."""
    started: Future[Callable[[], object]] = Future()

    async def main() -> None:
        stop = asyncio.Event()
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(served)
            except BaseException as error:  # noqa: BLE001 - handed to the thread that waits for it
                started.set_exception(error)
                return
            loop = asyncio.get_running_loop()
            started.set_result(partial(loop.call_soon_threadsafe, stop.set))
            await stop.wait()

    # A daemon: a test that never leaves the context must not keep the interpreter from exiting.
    thread = threading.Thread(
        target=lambda: asyncio.run(main()), name="keyapi-sandbox", daemon=True
    )
    thread.start()
    try:
        stop_serving = started.result()
        try:
            yield
        finally:
            stop_serving()
    finally:
        thread.join()
