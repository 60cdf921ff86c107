"""Whole calls over loopback: CPU of this process for one page of hashtags, 8 calls in flight."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import aiohttp
import httpx
import niquests
import orjson

from benchmarks import decode, peers
from benchmarks.bodies import page
from benchmarks.measure import Rounds, alternate_calls, in_flight, median, ratio, spread
from benchmarks.report import Goal, Table
from benchmarks.server import PAGES, Server, serving
from keyapi_async import KeyAPIClient
from keyapi_async.queries import HashtagsQuery

ROUNDS = 40
CALLS = 160  # of each contender in each round
IN_FLIGHT = 8

OURS = "keyapi_async"
BARE = "aiohttp, read() alone"
BY_HAND = "aiohttp + json.loads to a dict"
ORJSON = "aiohttp + orjson to a dict"
HTTPX = "httpx + pydantic"
NIQUESTS = "niquests + orjson to a dict"
DECODING = "aiohttp + keyapi_async's decoding"

_PATH = HashtagsQuery.path
_QUERY = {
    "page": "1",
    "limit": "20",
    "period": "7",
    "region": "all_regions",
    "industry_id": "nothing",
    "new_to_top_100": "false",
}
_HEADERS = {"Authorization": "Bearer a-key"}


async def run() -> list[Table]:
    """Measure all contenders, and how busy the server is."""
    with serving() as server:
        rounds = await _measure(server)
        limits = await _server_limits(server)
    session = [a - b for a, b in zip(rounds[OURS], rounds[DECODING], strict=True)]
    names = [OURS, ORJSON, BY_HAND, NIQUESTS, HTTPX, BARE, DECODING]
    rows: list[tuple[object, ...]] = [
        (name, median(rounds[name]), spread(rounds[name]), ratio(rounds, name, BY_HAND))
        for name in names
    ]
    rows.append(("the session: first line less the last", median(session), spread(session), ""))
    size = len(page("hashtags", 1, pages=PAGES)) / 1000
    times = Table(
        "calls",
        f"One call for {size:.1f} kB over loopback, {IN_FLIGHT} in flight",
        ("", "us of CPU (median)", "± %", "x by hand"),
        tuple(rows),
        notes=(f"{ROUNDS} rounds in turn; `qps=math.inf`; the server is a process of its own.",),
        goals=(
            Goal("call / aiohttp + json.loads by hand", ratio(rounds, OURS, BY_HAND), 1.3),
            Goal("call / httpx + pydantic", ratio(rounds, OURS, HTTPX), 0.25),
            Goal("session, us a request", median(session), 25),
        ),
    )
    return [times, limits]


async def _measure(server: Server) -> Rounds:
    url = server.url + _PATH
    envelope = peers.Envelope[peers.Hashtags]
    shape = decode.SHAPES[0]
    async with (
        KeyAPIClient("a-key", base_url=server.url, qps=math.inf) as client,
        aiohttp.ClientSession(headers=_HEADERS) as http,
        httpx.AsyncClient(headers=_HEADERS) as other,
        niquests.AsyncSession(headers=_HEADERS) as third,
    ):

        async def bare() -> bytes:
            async with http.get(url, params=_QUERY) as response:
                return await response.read()

        async def by_hand() -> object:
            async with http.get(url, params=_QUERY) as response:
                return json.loads(await response.read())

        async def with_orjson() -> object:
            return orjson.loads(await bare())

        async def with_niquests() -> object:
            response = await third.get(url, params=_QUERY)
            return orjson.loads(response.content or b"")

        async def with_httpx() -> object:
            response = await other.get(url, params=_QUERY)
            return envelope.model_validate_json(response.content)

        async def decoding() -> object:
            return shape.made(await bare())

        contenders: dict[str, Callable[[], Awaitable[object]]] = {
            OURS: client.trending.hashtags,
            BARE: bare,
            BY_HAND: by_hand,
            ORJSON: with_orjson,
            NIQUESTS: with_niquests,
            HTTPX: with_httpx,
            DECODING: decoding,
        }
        return await alternate_calls(contenders, ROUNDS, CALLS, IN_FLIGHT)


async def _server_limits(server: Server) -> Table:
    """How busy the server is, and how fast it answers somebody who only counts bytes."""
    async with KeyAPIClient("a-key", base_url=server.url, qps=math.inf) as client:
        raw = _RawClient(server.url)
        rows = [
            await _load(server, OURS, client.trending.hashtags),
            await _load(server, "a client that only counts bytes", raw.get),
        ]
        raw.close()
    return Table(
        "server",
        "The server is not the bottleneck",
        ("client", "requests/s", "server's CPU, us a request", "server busy, %"),
        tuple(rows),
    )


async def _load(
    server: Server, name: str, call: Callable[[], Awaitable[object]]
) -> tuple[str, float, float, float]:
    await in_flight(call, 100, IN_FLIGHT)
    before, start = server.stats(), time.perf_counter()
    await in_flight(call, 5000, IN_FLIGHT)
    after, seconds = server.stats(), time.perf_counter() - start
    cpu = after.cpu - before.cpu
    requests = after.requests - before.requests
    return name, requests / seconds, cpu / requests * 1e6, cpu / seconds * 100


class _RawClient:
    """Sends a request made beforehand, and waits for as many bytes as the first answer had."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self._host, self._port = address.hostname or "", address.port or 0
        self._free: list[_Counter] = []
        query = "&".join(f"{name}={value}" for name, value in _QUERY.items())
        self._request = f"GET {_PATH}?{query} HTTP/1.1\r\nHost: x\r\n\r\n".encode()

    async def get(self) -> None:
        counter = self._free.pop() if self._free else await self._connect()
        await counter.exchange(self._request)
        self._free.append(counter)

    def close(self) -> None:
        for counter in self._free:
            counter.transport.close()

    async def _connect(self) -> _Counter:
        loop = asyncio.get_running_loop()
        return (await loop.create_connection(_Counter, self._host, self._port))[1]


class _Counter(asyncio.Protocol):
    transport: asyncio.Transport
    _missing = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def exchange(self, request: bytes) -> asyncio.Future[None]:
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._missing = 0
        self.transport.write(request)
        return self._done

    def data_received(self, data: bytes) -> None:
        if not self._missing:
            head, _, _ = data.partition(b"\r\n\r\n")
            length = head.rpartition(b"Content-Length: ")[2]
            self._missing = len(head) + 4 + int(length)
        self._missing -= len(data)
        if not self._missing:
            self._done.set_result(None)
