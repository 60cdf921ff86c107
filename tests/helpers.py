"""What the socket tests share: a scripted server, audited books, the inside of an error."""

from __future__ import annotations

import asyncio
import json
import pickle
import socket
import ssl
import struct
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
import trustme
from attrs import define, field, frozen

from keyapi_async import KeyAPIClient, KeyAPIError, RequestEvent
from keyapi_async.sandbox import Sandbox

KEY = "sk-0123456789abcdef"
TRENDING = "/v1/tiktok/trending/"
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
        await served.stop()
    await no_task_left()


@asynccontextmanager
async def opened(
    settings: dict[str, Any] | None = None, **options: Any
) -> AsyncIterator[tuple[KeyAPIClient, Sandbox]]:
    """A client and its sandbox, audited at every turn of the loop; nothing is left of them."""
    async with (
        Sandbox(api_key=KEY, **settings or {}) as sandbox,
        sandbox.client(**options) as client,
    ):
        with audited(client, sandbox):
            yield client, sandbox
        assert in_use(client) == 0
    await no_task_left()


@contextmanager
def audited(client: KeyAPIClient, sandbox: Sandbox) -> Iterator[None]:
    """Hold the client's books against the server's at every single turn of the event loop."""
    limit = client._session._max_credits
    wrong = list[str]()

    def audit() -> None:
        usage, bill = client.usage, sandbox.credits_spent
        most = usage.credits_spent + usage.credits_at_risk
        if not usage.credits_spent <= bill <= most or most > (most if limit is None else limit):
            wrong.append(f"{bill} billed, {usage}")

    selector = asyncio.get_running_loop()._selector  # type: ignore[attr-defined]
    select = selector.select
    selector.select = lambda timeout=None: (audit(), select(timeout))[1]
    try:
        yield
    finally:
        selector.select = select
    audit()
    assert not wrong, wrong[0]


async def no_task_left() -> None:
    """Everything else that ran on the loop has ended."""
    for _ in range(10):  # what was just closed is called back
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


def in_use(client: KeyAPIClient) -> int:
    """How many connections the client's requests hold at the moment."""
    session = client._session._transport._http
    return 0 if session is None or session.connector is None else len(session.connector._acquired)


def spending(client: KeyAPIClient) -> tuple[int, int]:
    return client.usage.credits_spent, client.usage.credits_at_risk


@contextmanager
def lasting(low: float, high: float | None = None) -> Iterator[None]:
    """What happens here takes that long on the driven clock."""
    clock = asyncio.get_running_loop().time
    start = clock()
    yield
    took = clock() - start
    assert low - 0.01 <= took <= (low + 0.9 if high is None else high), took


async def failing(call: Any, kind: type[KeyAPIError] = KeyAPIError) -> Any:
    """The error a call ends with; exactly of that class unless any will do."""
    with pytest.raises(kind) as caught:
        await call
    assert kind is KeyAPIError or caught.type is kind
    return caught.value


async def outcomes(calls: Iterator[Any] | list[Any]) -> list[Any]:
    """What each of these calls, made at once, returns or raises."""
    return await asyncio.gather(*calls, return_exceptions=True)


class Events(list[RequestEvent]):
    """An `on_event` that writes down what it is told."""

    def __call__(self, event: RequestEvent) -> None:
        self.append(event)

    @property
    def kinds(self) -> str:
        return " ".join(event.kind for event in self)


def insides(error: BaseException) -> str:
    """All that can be read off an error: texts, pickles, our frames' variables, its chain."""
    told = traceback.format_exception(error)
    chain: list[BaseException | None] = [error]
    for one in chain:  # grows on the way
        if one is None:
            continue
        chain += [other for other in (one.__cause__, one.__context__) if other not in chain]
        told += [str(one), repr(one), repr(one.args), repr(vars(one))]
        if isinstance(one, KeyAPIError):
            told += [pickle.dumps(one).decode("utf-8", "replace"), repr(one.__reduce__())]
        for frame, _ in traceback.walk_tb(one.__traceback__):
            if frame.f_globals["__name__"] in ("keyapi_async.session", "keyapi_async.transport"):
                told += map(repr, frame.f_locals.values())
    return "\n".join(told)


@frozen
class Pki:
    """A certificate authority nobody trusts, until told to."""

    authority: trustme.CA = field(factory=trustme.CA)

    def server(self, name: str = "127.0.0.1") -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.authority.issue_cert(name).configure_cert(context)
        return context

    def trusting(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        return context


Call = Callable[[KeyAPIClient], Any]
CALLS: dict[str, Call] = {
    "hashtags": lambda client: client.trending.hashtags(),
    "hashtag/detail": lambda client: client.trending.hashtag_detail(),
    "videos": lambda client: client.trending.videos(),
    "music": lambda client: client.trending.music(),
    "music/detail": lambda client: client.trending.music_detail(),
}
"""A default call of each endpoint."""
