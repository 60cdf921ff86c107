"""Connections: none to be had, none to be trusted, lost and made again."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import aiohttp
import pytest

from keyapi_async import KeyAPIClient, TransportError
from tests.core.audited_sandbox import opened
from tests.core.calls import failing, spending
from tests.core.certificates import Pki
from tests.core.scripted_server import CLOSE, KEY, OK, RESET, http, scripted


@pytest.fixture(scope="module")
def pki() -> Pki:
    return Pki()


# Connecting


async def refused_port() -> str:
    async with scripted(OK) as server:
        return server.url


async def test_a_refused_connection_is_tried_four_times_for_nothing() -> None:
    async with KeyAPIClient(KEY, base_url=await refused_port()) as client:
        error = await failing(client.trending.hashtag_detail(), TransportError)
        assert re.match(
            r"could not connect: 127\.0\.0\.1:\d+ ssl:default \[.*\] \[GET ", str(error)
        )
        assert (error.attempts, error.maybe_billed, error.permanent) == (4, False, False)
        assert (client.usage.requests, client.usage.retries, spending(client)) == (0, 0, (0, 0))


def insecure(pki: Pki, why: str) -> tuple[Any, Any]:
    """A server's TLS context, and a connector of a client that can't accept it."""
    if why == "pin":
        return pki.server(), aiohttp.TCPConnector(ssl=aiohttp.Fingerprint(b"0" * 32))
    if why == "name":
        return pki.server("elsewhere.example"), aiohttp.TCPConnector(ssl=pki.trusting())
    return pki.server(), None


@pytest.mark.parametrize("why", ["authority", "name", "pin"])
async def test_a_bad_certificate_is_final_and_costs_nothing(pki: Pki, why: str) -> None:
    tls, connector = insecure(pki, why)
    async with scripted(OK, tls=tls) as server, aiohttp.ClientSession(connector=connector) as http:
        client = server.client(session=http)
        error = await failing(client.trending.hashtag_detail(), TransportError)
        assert "certificate was not accepted" in str(error)
        assert (error.attempts, error.maybe_billed, error.permanent) == (1, False, True)
        assert (spending(client), client.usage.requests, server.requests) == ((0, 0), 0, [])


async def test_a_certificate_one_trusts_is_accepted(pki: Pki) -> None:
    async with (
        scripted(OK, tls=pki.server()) as server,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=pki.trusting())) as http,
    ):
        assert await server.client(session=http).trending.hashtag_detail()


async def test_a_server_without_tls_is_a_failure_to_connect() -> None:
    async with scripted(OK, greeting=b"220 mail.example ESMTP\r\n") as server:
        url = server.url.replace("http:", "https:")
        async with server.client(base_url=url) as client:
            error = await failing(client.trending.hashtag_detail(), TransportError)
            assert "could not connect" in str(error)
            assert (error.attempts, error.maybe_billed, spending(client)) == (4, False, (0, 0))


async def test_a_proxy_that_refuses_is_final(pki: Pki) -> None:
    async with (
        scripted((http(407), CLOSE)) as proxy,
        aiohttp.ClientSession(proxy=proxy.url) as session,
    ):
        client = proxy.client(session=session, base_url="https://api.keyapi.example")
        error = await failing(client.trending.hashtag_detail(), TransportError)
        assert "the proxy refused with status 407" in str(error)
        assert (error.attempts, error.permanent, spending(client)) == (1, True, (0, 0))
        assert KEY not in proxy.requests[0].head.decode()


# aiohttp's own re-sends


async def test_a_connection_that_dies_when_reused_is_retried_by_us_alone() -> None:
    async with scripted(OK, CLOSE, OK) as server, server.client() as client:
        for _ in range(2):
            await client.trending.hashtag_detail()
        assert [request.connection for request in server.requests] == [1, 1, 2]
        assert (client.usage.requests, client.usage.retries, spending(client)) == (3, 1, (4, 2))


@pytest.mark.parametrize("death", [CLOSE, RESET])
async def test_a_lost_connection_is_sent_again_once(death: str) -> None:
    async with scripted(death) as server, server.client() as client:
        error = await failing(client.trending.hashtag_detail(), TransportError)
        assert "the connection was lost" in str(error)
        assert (error.attempts, error.maybe_billed, len(server.requests)) == (2, True, 2)
        assert (client.usage.requests, spending(client)) == (2, (0, 4))


async def test_the_books_hold_when_idle_connections_close_under_load() -> None:
    async with opened({"keepalive": 0.5, "latency": (0, 0.1)}, qps=20) as (client, sandbox):
        for pause in (0.49, 0.5, 0.501, 0.51):
            await asyncio.gather(*(client.trending.hashtag_detail() for _ in range(20)))
            await asyncio.sleep(pause)
        assert client.usage.credits_spent == sandbox.credits_spent == 160
        # What was written to a connection just closing never came to be a request.
        lost = client.usage.requests - len(sandbox.requests)
        assert len(sandbox.requests) == 80
        assert client.usage.credits_at_risk == 2 * lost == 2 * client.usage.retries
