"""The API key is told to nobody: whatever a server echoes, whatever goes wrong."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import aiohttp
import pytest

from keyapi_async import KeyAPIClient, KeyAPIError, RetryPolicy
from tests.core.calls import Events, outcomes
from tests.core.certificates import Pki
from tests.core.error_contents import contents_of
from tests.core.scripted_server import CLOSE, DETAIL, EVER, RESET, Scripted, Step, http, scripted

KEYS = {"plain": "sk-Quizzical-Wombat-Jumps", "odd": "sk-Quiz\"zical\\Wom'bat-Jümps"}
PIECE = 5
"""So many characters of the key in a row would be too many."""


def leaked(key: str, *texts: str) -> list[str]:
    pieces = [key[start : start + PIECE] for start in range(3, len(key) - PIECE + 1)]
    return [piece for piece in pieces for text in texts if piece in text]


def told(key: str, **fields: Any) -> bytes:
    """An envelope with the key wherever there is room for it."""
    envelope = {"code": 0, "message": key, "data": None, "requestId": key, key: key, **fields}
    return json.dumps(envelope).encode()


def echoes(key: str) -> dict[str, Step]:
    """Every way of a server to say the key."""
    raw = key.encode()
    head = b"HTTP/1.1 200 OK\r\n"
    statuses = 400, 401, 402, 403, 404, 418, 429, 500, 502, 503
    headers = {"X_Key": key, "Retry_After": key, "Set_Cookie": f"key={key}", "Server": key}
    return {
        **{
            f"{status}{'' if envelope else ' page'}": http(
                status, told(key, code=status) if envelope else b"<p>" + raw, **headers
            )
            for status in statuses
            for envelope in (True, False)
        },
        "401 in a 200": http(200, told(key, code=401)),
        "long message": http(400, told(key, code=400, message="x" * 990 + key)),
        "long page": http(502, b"x" * 990 + raw),
        "long 200": http(200, b"x" * 990 + raw),
        "reason": b"HTTP/1.1 500 " + raw + b"\r\nContent-Length: 0\r\n\r\n",
        "redirect": http(302, raw, Location=f"https://example.org/{key}"),
        "no data": http(200, told(key, data=None)),
        "key as data": http(200, told(key, data=key)),
        "key as code": http(200, told(key, code=key)),
        "key as field": http(200, told(key, data={"info": key, key: key})),
        "key as id": http(200, told(key, data={"info": {"hashtag_id": {key: key}}})),
        "key as number": http(200, told(key, data={"info": DETAIL["info"] | {"video_views": key}})),
        "key as list": http(200, told(key, data={"info": DETAIL["info"] | {"trend": [[key]]}})),
        "truncated": (head + b"Content-Length: 9999\r\n\r\n" + raw + raw[:-1], CLOSE),
        "status line": b"HTTP/1.1 " + raw + b"\r\n\r\n",
        "no http": raw + b"\r\n\r\n",
        "header name": head + raw + b" x: 1\r\n\r\n",
        "header line": head + raw + b"\r\n\r\n",
        "header value": head + b"X-A: \x01" + raw + b"\r\n\r\n",
        "giant header": head + b"X-A: " + raw * 1000 + b"\r\n\r\n",
        "giant header cut": head + b"X-A: " + b"x" * 80 + raw * 1000 + b"\r\n\r\n",
        "giant name": head + raw * 1000 + b": 1\r\n\r\n",
        "length": head + b"Content-Length: " + raw + b"\r\n\r\n",
        "encoding": head + b"Content-Encoding: " + raw + b"\r\nContent-Length: 1\r\n\r\nx",
        "garbled": http(200, raw, Content_Encoding="gzip"),
        "transfer": head + b"Transfer-Encoding: " + raw + b"\r\n\r\n",
        "chunk": head + b"Transfer-Encoding: chunked\r\n\r\n" + raw + b"\r\n",
        "stall": EVER,
        "stall in body": (head + b"Content-Length: 99\r\n\r\n" + raw, EVER),
        "reset": RESET,
        "reset in body": (head + b"Content-Length: 99\r\n\r\n" + raw, 0.1, RESET),
    }


class Witness:
    """A client of that key, and everything it says aloud."""

    def __init__(self, key: str, server: Scripted, caplog: Any, **options: Any) -> None:
        caplog.set_level(logging.DEBUG)
        self.key, self.caplog, self.events = key, caplog, Events()
        policy = RetryPolicy(rate_limit_deadline=2)
        options = {"base_url": server.url, "retry": policy, "timeout": 3, **options}
        self.client = KeyAPIClient(key, on_event=self.events, **options)

    def check(self, error: BaseException) -> None:
        records = [f"{record.__dict__} {record.getMessage()}" for record in self.caplog.records]
        spoken = [contents_of(error), repr(self.events), *records, repr(self.client)]
        assert leaked(self.key, *spoken) == []
        assert self.events


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("echo", echoes(""))
async def test_no_echo_of_the_key_is_passed_on(
    echo: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    key = KEYS[kind]
    async with scripted(echoes(key)[echo]) as server:
        witness = Witness(key, server, caplog)
        async with witness.client as client:
            with pytest.raises(KeyAPIError) as caught:
                await client.trending.hashtag_detail()
            assert server.requests[0].headers["authorization"] == f"Bearer {key}"
        witness.check(caught.value)


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
async def test_an_echo_in_a_success_is_not_told_to_the_log(
    key: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with scripted(http(200, told(key, data=DETAIL))) as server:
        witness = Witness(key, server, caplog)
        async with witness.client as client:
            await client.trending.hashtag_detail()
        witness.check(KeyAPIError())


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
async def test_no_failure_to_connect_tells_the_key(
    key: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        scripted(EVER, tls=Pki().server()) as untrusted,
        scripted(http(407, key.encode(), X_Key=key)) as proxy,
        scripted(EVER, greeting=b"220 " + key.encode() + b"\r\n") as no_tls,
    ):
        for server in (untrusted, no_tls):
            url = server.url.replace("http:", "https:")
            witness = Witness(key, server, caplog, base_url=url)
            async with witness.client as client:
                [error] = await outcomes([client.trending.hashtag_detail()])
            witness.check(error)
        async with aiohttp.ClientSession(proxy=proxy.url) as session:
            witness = Witness(key, proxy, caplog, base_url="https://x.example", session=session)
            [error] = await outcomes([witness.client.trending.hashtag_detail()])
            witness.check(error)
    async with Witness(key, no_tls, caplog).client as client:  # which is gone
        [error] = await outcomes([client.trending.hashtag_detail()])
        witness.check(error)


@pytest.mark.parametrize("step", [EVER, (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", EVER)])
async def test_no_interruption_tells_the_key(step: Step, caplog: pytest.LogCaptureFixture) -> None:
    key = KEYS["plain"]
    async with scripted(http(500), step) as server:
        witness = Witness(key, server, caplog, timeout=30)
        async with witness.client as client:
            with pytest.raises(TimeoutError) as caught:
                async with asyncio.timeout(5):
                    await client.trending.hashtag_detail()
            witness.check(caught.value)
            call = asyncio.create_task(client.trending.hashtag_detail())
            await asyncio.sleep(1)
        with pytest.raises(KeyAPIError) as closed:
            await call
        witness.check(closed.value)


async def test_a_verdict_is_passed_on_without_the_key(caplog: pytest.LogCaptureFixture) -> None:
    key = KEYS["plain"]
    async with scripted(http(401, told(key, code=401))) as server:
        witness = Witness(key, server, caplog, qps=1)
        async with witness.client as client:
            errors = await outcomes([client.trending.hashtag_detail() for _ in range(3)])
        for error in errors:
            witness.check(error)
        assert len(server.requests) == 1
