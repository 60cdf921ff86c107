"""A server of raw bytes over a real socket: it sends what the test says, whatever is asked."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from attrs import define, field, frozen

from keyapi_async import KeyAPIClient
from keyapi_async.sandbox.lifecycle import wait_for_transports
from tests.core.leaks import no_task_left

KEY = "sk-0123456789abcdef"
DETAIL = {"info": {"hashtag_id": "1", "hashtag_name": "ufc324"}}
EVER = 1e6
"""Seconds that no test sits out."""

CLOSE, RESET = "close", "reset"
Step = bytes | float | str | tuple[bytes | float | str, ...]
"""What a scripted server does upon a request: send bytes, wait seconds, close, reset."""


def http(status: int = 200, body: bytes = b"", **headers: str) -> bytes:
    """A whole answer; `_` in a header's name stands for `-`."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def envelope(
    code: int = 0, message: str = "success", *, status: int | None = None, **headers: str
) -> bytes:
    """An answer as documented: a success, or the error of that code."""
    body = {"code": code, "message": message, "data": None if code else DETAIL, "requestId": "r-1"}
    return http(status or code or 200, json.dumps(body).encode(), **headers)


OK = envelope()


@frozen
class Seen:
    """One request that reached the scripted server."""

    head: bytes
    time: float
    connection: int

    @property
    def target(self) -> str:
        return self.head.decode().split(" ")[1]

    @property
    def headers(self) -> dict[str, str]:
        lines = self.head.decode().strip().split("\r\n")[1:]
        return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}


@define(eq=False)
class Scripted:
    """A server of raw bytes: one step per request; the last one goes on for ever."""

    steps: list[Step]
    greeting: bytes = b""
    requests: list[Seen] = field(factory=list)
    connections: int = 0
    url: str = ""
    _serving: set[asyncio.Task[None] | None] = field(factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._serving.add(asyncio.current_task())
        self.connections += 1
        number = self.connections
        writer.write(self.greeting)
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                self.requests.append(Seen(head, asyncio.get_running_loop().time(), number))
                step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
                for action in step if isinstance(step, tuple) else (step,):
                    await _perform(action, writer)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
            pass  # the client has gone, or doesn't speak HTTP
        except asyncio.CancelledError:
            pass  # `stop`; asyncio's own callback would report it as an error
        finally:
            writer.transport.abort()

    async def stop(self) -> None:
        tasks = [task for task in self._serving if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def client(self, **options: Any) -> KeyAPIClient:
        return KeyAPIClient(**{"api_key": KEY, "base_url": self.url, **options})


async def _perform(action: bytes | float | str, writer: asyncio.StreamWriter) -> None:
    match action:
        case bytes():
            writer.write(action)
            await writer.drain()
        case "close":
            writer.close()
        case "reset":
            connection: socket.socket = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        case seconds:
            await asyncio.sleep(float(seconds))


@asynccontextmanager
async def scripted(
    *steps: Step, tls: ssl.SSLContext | None = None, greeting: bytes = b""
) -> AsyncIterator[Scripted]:
    """A scripted server; afterwards nothing of it, or of its clients, may still run."""
    served = Scripted(list(steps), greeting)
    server = await asyncio.start_server(served.serve, "127.0.0.1", ssl=tls, backlog=1024)
    served.url = f"http{'s' if tls else ''}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield served
        await wait_for_transports()
        server.close()
        await served.stop()
    await no_task_left()
