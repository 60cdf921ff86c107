"""The sandbox's faults over real sockets: what each sends, what it costs, whom it strikes."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress

import aiohttp
import pytest
from sandboxes import BASE, DETAIL, HASHTAGS, Http, eventually, opened

from keyapi_async.sandbox import Fault, Recorded, Sandbox
from keyapi_async.sandbox.answers import Answer
from keyapi_async.sandbox.ledger import Ledger

# Faults: other answers


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


async def test_a_scripted_429_counts_as_refused(http: Http) -> None:
    http.sandbox.fail(Fault.status(429, retry_after="3"), Fault.status(429, http=200))
    assert (await http.send())[2]["Retry-After"] == "3"
    assert (await http.get())[0] == 200
    assert http.sandbox.refused == 2


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


# Faults: broken connections


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
    host, port = sandbox.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
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


@pytest.mark.parametrize("bill", [True, False])
@pytest.mark.parametrize("fault", [Fault.stall(), Fault.drip(), None])
async def test_a_client_that_goes_away(fault: Fault | None, bill: bool) -> None:
    async with opened(bill_faults=bill, latency=0.0 if fault else 60.0, credits=2) as http:
        if fault:
            http.sandbox.fail(fault)
        task = asyncio.create_task(http.send())
        await eventually(lambda: bool(http.sandbox.requests))
        if fault == Fault.drip():
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
        # The price is set aside until the server has noticed.
        await eventually(lambda: http.sandbox._ledger._held == 0)
        assert http.sandbox.credits_spent == (2 if bill else 0)
        assert http.sandbox.requests[0].status is None


async def test_drip_sends_half_at_once(http: Http) -> None:
    http.sandbox.fail(Fault.drip())
    headers = {"Authorization": "Bearer sandbox-key"}
    async with http.session.get(http.sandbox.url + HASHTAGS, headers=headers) as response:
        assert response.status == 200
        assert await response.content.readexactly(100)
        assert http.sandbox.requests[0].status is None
        response.close()


@pytest.mark.parametrize("bill", [True, False])
async def test_whether_failures_are_billed_is_a_setting(bill: bool) -> None:
    maybe = [
        *(Fault.status(500), Fault.status(503, http=200), Fault.html(200), Fault.html(502)),
        *(Fault.body(b"?"), Fault.truncated(), Fault.half_json(), Fault.reset()),
        *(Fault.disconnect(), Fault.bomb(10)),
    ]
    never = [
        *(Fault.status(code) for code in (400, 401, 402, 403, 404, 429)),
        *(Fault.status(429, http=200), Fault.html(429), Fault.redirect("/")),
    ]
    async with opened(bill_faults=bill) as http:
        http.sandbox.fail(*maybe, *never)
        # Not one call for each: aiohttp by itself sends a request again whose connection is lost.
        while len(http.sandbox.requests) < len(maybe) + len(never):
            with suppress(aiohttp.ClientError):
                await http.send()
        kinds = [fault.kind for fault in (*maybe, *never)]
        assert [record.fault for record in http.sandbox.requests] == kinds
        prices = [record.credits for record in http.sandbox.requests]
        assert prices == [2 if bill else 0] * len(maybe) + [0] * len(never)
        assert http.sandbox.credits_spent == sum(prices)


def test_nothing_is_billed_twice() -> None:
    ledger = Ledger(bill_faults=True)
    record = Recorded(time=0.0, path="", query="", params={}, headers={}, authorized=True)
    ledger.answered(record, Answer.success(b"{}", "id"))
    ledger.lost(record)
    assert (record.credits, ledger.spent) == (2, 2)


# Faults: lies about pages


async def test_endless(http: Http) -> None:
    http.sandbox.fail(Fault.endless(), times=None)
    pages = [await http.page(number) for number in (1, 5, 6, 99)]
    truth = http.sandbox.items("hashtags")
    assert [listed for listed, _ in pages] == [truth[:20], *[truth[80:]] * 3]
    assert all(end["has_more"] for _, end in pages)
    assert [end["page"] for _, end in pages] == [1, 5, 6, 99]
    assert http.sandbox.credits_spent == 8


async def test_endless_list_of_nothing() -> None:
    async with opened(totals={"hashtags": 0}) as http:
        http.sandbox.fail(Fault.endless())
        assert (await http.page(1))[0] == []


async def test_endless_and_fresh() -> None:
    async with opened(totals={"hashtags": 25}) as http:
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


async def test_details_are_spared_from_lies() -> None:
    async with opened(faults=[Fault.empty()], fault_rate=1.0) as http:
        http.sandbox.fail(Fault.shift())
        assert (await http.get(DETAIL))[0] == 200
        await http.get()
        await http.get()
        assert [record.fault for record in http.sandbox.requests] == [None, "shift", "empty"]


# The script


async def test_the_script_is_followed_in_order(http: Http) -> None:
    http.sandbox.fail(Fault.status(500), Fault.status(503), times=2)
    http.sandbox.fail(Fault.status(504), path="videos")
    http.sandbox.fail(Fault.status(502), page=2)
    # Refusals use up nothing.
    assert (await http.get(page="0"))[0] == 400
    statuses = [(await http.get())[0] for _ in range(5)]
    assert statuses == [500, 500, 503, 503, 200]
    assert (await http.get(page="2"))[0] == 502
    assert (await http.get(BASE + "videos"))[0] == 504
    assert (await http.get(BASE + "videos"))[0] == 200


async def test_heal(http: Http) -> None:
    http.sandbox.fail(Fault.status(500), times=None)
    assert [(await http.get())[0] for _ in range(3)] == [500] * 3
    http.sandbox.heal()
    assert (await http.get())[0] == 200


async def test_chance_faults_depend_on_the_seed() -> None:
    async def outcome(seed: int) -> list[str | None]:
        mix = [Fault.status(500), Fault.html(502)]
        async with opened(seed=seed, faults=mix, fault_rate=0.5) as http:
            for _ in range(40):
                await http.send()
            http.sandbox.heal()
            return [record.fault for record in http.sandbox.requests]

    first = await outcome(1)
    assert set(first) == {None, "status", "html"}
    assert first == await outcome(1) != await outcome(2)
