"""A server in a process of its own that does next to nothing: `python -m benchmarks.server`.

It sends pages made beforehand, after a latency if asked, and tells at `/stats` what it did.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import subprocess
import sys
import time
import urllib.request
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from attrs import define, field, frozen

from benchmarks.bodies import body, endpoint_of, is_list, page

PAGES = 5
"""Of a list, unless it is told otherwise."""

_PAGE = re.compile(r"(?:^|&)page=(\d+)")
_HEAD = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"


@frozen
class Stats:
    """What the server did so far.

    Attributes:
        requests: Requests of pages.
        cpu: Seconds of CPU.
        seconds: Seconds from the first request of a page to the last.
        most: The most requests in any one second.
    """

    requests: int
    cpu: float
    seconds: float
    most: int

    @property
    def rate(self) -> float:
        """Requests a second, from the first to the last."""
        return (self.requests - 1) / self.seconds


@frozen
class Server:
    """A running server."""

    url: str

    def stats(self) -> Stats:
        """What it did so far."""
        with urllib.request.urlopen(f"{self.url}/stats") as answer:
            return Stats(**json.load(answer))


@contextmanager
def serving(
    *, pages: int = PAGES, total: int | None = None, latency: float = 0
) -> Iterator[Server]:
    """Run a server whose every list has so many pages.

    Args:
        pages: Pages of a list.
        total: How many items it says a list has; by default the truth.
        latency: Seconds before an answer.
    """
    options = [f"--pages={pages}", f"--latency={latency}"]
    options += [] if total is None else [f"--total={total}"]
    command = [sys.executable, "-m", "benchmarks.server", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield Server(process.stdout.readline().strip())
        finally:
            process.terminate()


@define
class _Lists:
    pages: int
    total: int | None
    latency: float
    requests: int = 0
    first: float = 0.0
    last: float = 0.0
    most: int = 0
    second: deque[float] = field(factory=deque)

    def connection(self) -> _Connection:
        return _Connection(self)

    def answer(self, target: str) -> bytes:
        if target == "/stats":
            stats = {
                "requests": self.requests,
                "cpu": time.process_time(),
                "seconds": self.last - self.first,
                "most": self.most,
            }
            return _http(b"200 OK", json.dumps(stats).encode())
        self.requests += 1
        self.last = time.monotonic()
        self.first = self.first or self.last
        self.second.append(self.last)
        while self.second[0] <= self.last - 1:
            self.second.popleft()
        self.most = max(self.most, len(self.second))
        path, _, query = target.partition("?")
        number = _PAGE.search(query)
        return _page(path, int(number[1]) if number else 1, self.pages, self.total)


@lru_cache(maxsize=64)
def _page(path: str, number: int, pages: int, total: int | None) -> bytes:
    name = endpoint_of(path)
    if name is None:
        return _http(b"404 Not Found", b"")
    if not is_list(name):
        return _http(b"200 OK", body(name))
    return _http(b"200 OK", page(name, number, pages=pages, total=total))


def _http(status: bytes, body: bytes) -> bytes:
    return _HEAD % (status, len(body), body)


class _Connection(asyncio.Protocol):
    def __init__(self, lists: _Lists) -> None:
        self._lists = lists
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        *requests, self._received = (self._received + data).split(b"\r\n\r\n")
        for request in requests:
            answer = self._lists.answer(request.split(b" ", 2)[1].decode())
            if self._lists.latency:
                loop = asyncio.get_running_loop()
                loop.call_later(self._lists.latency, self._transport.write, answer)
            else:
                self._transport.write(answer)


async def main() -> None:
    """Serve until killed; the address is the first line printed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pages", type=int, default=PAGES)
    parser.add_argument("--total", type=int)
    parser.add_argument("--latency", type=float, default=0)
    lists = _Lists(**vars(parser.parse_args()))
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lists.connection, "127.0.0.1", 0, backlog=2048)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
