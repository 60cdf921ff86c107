"""Every fault over real sockets: what it sends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress

import aiohttp
import pytest

from keyapi_async.sandbox import Fault, Sandbox
from tests.sandbox.bare_client import HASHTAGS, Http, address, open_http


@pytest.mark.parametrize(
    ("fault", "status", "code", "message"),
    [
        (Fault.status(500), 500, 500, "Internal server error"),
        (Fault.status(503), 503, 503, "Service Unavailable"),
        (Fault.status(401, http=200), 200, 401, "apiKey is null"),
        (Fault.status(400, "bad"), 400, 400, "bad"),
        (Fault.status(500, code=1234), 500, 1234, "error"),
        (Fault.status(400), 400, 400, "Missing required parameter: handle"),
    ],
)
async def test_error_envelopes(
    http: Http, fault: Fault, status: int, code: int, message: str
) -> None:
    http.sandbox.fail(fault)
    expected = (status, {"code": code, "data": None, "message": message})
    assert await http.get() == expected
    [record] = http.sandbox.requests
    assert (record.status, record.code, record.fault) == (status, code, "status")


@pytest.mark.parametrize("status", [200, 429, 502])
async def test_html(http: Http, status: int) -> None:
    http.sandbox.fail(Fault.html(status))
    got, body, headers = await http.send()
    assert (got, body[:6]) == (status, b"<html>")
    assert headers["Content-Type"].startswith("text/html")
    assert http.sandbox.requests[0].code is None


@pytest.mark.parametrize(
    ("body", "code", "price"),
    [
        (b'{"code":0,"data":{}}', 0, 2),
        (b'{"code":true}', None, 0),
        (b"[1]", None, 0),
        (b"", None, 0),
        (b"\xff", None, 0),
    ],
)
async def test_any_body(http: Http, body: bytes, code: int | None, price: int) -> None:
    http.sandbox.fail(Fault.body(body, headers={"X-Odd": "1"}))
    status, got, headers = await http.send()
    assert (status, got, headers["X-Odd"]) == (200, body, "1")
    assert (http.sandbox.requests[0].code, http.sandbox.credits_spent) == (code, price)


@pytest.mark.parametrize("value", [None, {}, [], {"list": None}])
async def test_any_data(http: Http, value: object) -> None:
    http.sandbox.fail(Fault.data(value))
    assert (await http.get())[1]["data"] == value
    assert http.sandbox.credits_spent == 2


async def test_redirect(http: Http) -> None:
    http.sandbox.fail(Fault.redirect("https://example.com/"))
    status, _, headers = await http.send()
    assert (status, headers["Location"]) == (302, "https://example.com/")


async def test_bomb(http: Http) -> None:
    size = 5_000_000
    http.sandbox.fail(Fault.bomb(size))
    _, body, headers = await http.send()
    assert len(body) == size
    assert int(headers["Content-Length"]) < size / 500


async def test_truncated(http: Http) -> None:
    http.sandbox.fail(Fault.truncated())
    with pytest.raises(aiohttp.ClientPayloadError):
        await http.send()
    [record] = http.sandbox.requests
    assert (record.status, record.code, record.credits) == (200, None, 0)
    assert (await http.get())[0] == 200


async def test_half_json(http: Http) -> None:
    http.sandbox.fail(Fault.half_json())
    status, body, _ = await http.send()
    assert (status, body[:8]) == (200, b'{"code":')
    with pytest.raises(ValueError, match=r"."):
        json.loads(body)
    assert http.sandbox.requests[0].code is None


async def raw_request(sandbox: Sandbox) -> bytes:
    reader, writer = await asyncio.open_connection(*address(sandbox))
    try:
        head = f"GET {HASHTAGS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {sandbox.api_key}"
        writer.write(head.encode() + b"\r\n\r\n")
        return await reader.read()
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def test_reset_and_disconnect(http: Http) -> None:
    http.sandbox.fail(Fault.reset(), Fault.disconnect())
    with pytest.raises(ConnectionResetError):
        await raw_request(http.sandbox)
    assert await raw_request(http.sandbox) == b""
    assert [record.status for record in http.sandbox.requests] == [None, None]
    assert [record.fault for record in http.sandbox.requests] == ["reset", "disconnect"]


@pytest.mark.parametrize("fault", [Fault.stall(0.01), Fault.drip(0.01)])
async def test_late_answers_are_whole_and_billed(http: Http, fault: Fault) -> None:
    http.sandbox.fail(fault)
    assert (await http.get())[0] == 200
    [record] = http.sandbox.requests
    assert (record.status, record.code, record.credits) == (200, 0, 2)


async def test_drip_sends_half_at_once(http: Http) -> None:
    http.sandbox.fail(Fault.drip())
    headers = {"Authorization": "Bearer sandbox-key"}
    async with http.session.get(http.sandbox.url + HASHTAGS, headers=headers) as response:
        assert response.status == 200
        assert await response.content.readexactly(100)
        assert http.sandbox.requests[0].status is None
        response.close()


async def test_endless(http: Http) -> None:
    http.sandbox.fail(Fault.endless(), times=None)
    pages = [await http.page(number) for number in (1, 5, 6, 99)]
    truth = http.sandbox.items("hashtags")
    assert [listed for listed, _ in pages] == [truth[:20], *[truth[80:]] * 3]
    assert all(end["has_more"] for _, end in pages)
    assert [end["page"] for _, end in pages] == [1, 5, 6, 99]
    assert http.sandbox.credits_spent == 8


async def test_endless_list_of_nothing() -> None:
    async with open_http(totals={"hashtags": 0}) as http:
        http.sandbox.fail(Fault.endless())
        assert (await http.page(1))[0] == []


async def test_endless_and_fresh() -> None:
    async with open_http(totals={"hashtags": 25}) as http:
        http.sandbox.fail(Fault.endless(fresh=True), times=None)
        pages = [await http.page(number) for number in range(1, 5)]
        listed = [item for items, _ in pages for item in items]
        assert listed[:25] == http.sandbox.items("hashtags")
        assert len({item["hashtag_id"] for item in listed}) == 80
        assert [item["rank"] for item in listed] == list(range(1, 81))


async def test_repeat_page(http: Http) -> None:
    truth = http.sandbox.items("hashtags")
    http.sandbox.fail(Fault.repeat_page(), times=2)
    assert (await http.page(1))[0] == truth[:20]
    listed, end = await http.page(5)
    assert listed == truth[60:80]
    assert (end["page"], end["has_more"]) == (5, False)


async def test_wrong_page(http: Http) -> None:
    http.sandbox.fail(Fault.wrong_page(), page=3)
    listed, end = await http.page(3)
    assert (listed, end["page"]) == (http.sandbox.items("hashtags")[:20], 1)


async def test_shift(http: Http) -> None:
    truth = http.sandbox.items("hashtags")
    http.sandbox.fail(Fault.shift(3), times=2)
    assert (await http.page(2))[0] == truth[17:37]
    assert (await http.page(1))[0] == truth[:20]


async def test_wrong_total_and_empty(http: Http) -> None:
    http.sandbox.fail(Fault.wrong_total(7), Fault.empty())
    listed, end = await http.page(1)
    assert (len(listed), end["total"], end["has_more"]) == (20, 7, True)
    listed, end = await http.page(5)
    assert (listed, end["total"], end["has_more"]) == ([], 100, True)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Fault.status(99), "status must be from 200 to 599; got 99"),
        (lambda: Fault.stall(-1), "seconds must be above 0; got -1"),
        (lambda: Fault.shift(0), "ranks must be above 0; got 0"),
        (lambda: Sandbox().fail(Fault.reset(), times=0), "times must be above 0; got 0"),
        (lambda: Sandbox().fail(Fault.reset(), path="/"), "path must be .*; got '/'"),
    ],
)
def test_wrong_faults(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_faults_are_values() -> None:
    assert {Fault.shift(2), Fault.shift(2)} == {Fault.shift(2)} != {Fault.shift(3)}
    assert "5000 bytes" in repr(Fault.body(b"x" * 5000))
