"""What is billed, and what is set aside."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import aiohttp
import pytest

from keyapi_async.sandbox import Fault, RecordedRequest
from keyapi_async.sandbox.answers import Answer
from keyapi_async.sandbox.days import FIRST_DAY
from keyapi_async.sandbox.ledger import Ledger
from keyapi_async.sandbox.settings import Settings
from tests.sandbox.bare_client import Http, open_http, wait_until


async def test_an_empty_account_is_402() -> None:
    async with open_http(credits=5) as http:
        statuses = [(await http.get())[0] for _ in range(3)]
        assert statuses == [200, 200, 402]
        assert (await http.get(page="0"))[1]["message"] == "apiKey quota is not enough"
        assert http.sandbox.credits_spent == 4


async def test_requests_under_way_are_paid_for_already() -> None:
    async with open_http(credits=4, latency=0.01) as http:
        answers = await asyncio.gather(*(http.get() for _ in range(5)))
        assert sorted(status for status, _ in answers) == [200, 200, 402, 402, 402]
        assert http.sandbox.credits_spent == 4


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
    async with open_http(bill_faults=bill) as http:
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
    ledger = Ledger(Settings(bill_faults=True))
    record = RecordedRequest(
        time=0.0, day=FIRST_DAY, path="", query="", params={}, headers={}, authorized=True
    )
    ledger.record_answer(record, Answer.success(b"{}", "id"))
    ledger.record_loss(record)
    assert (record.credits, ledger.spent) == (2, 2)


@pytest.mark.parametrize("bill", [True, False])
@pytest.mark.parametrize("fault", [Fault.stall(), Fault.drip(), None])
async def test_a_client_that_goes_away(fault: Fault | None, bill: bool) -> None:
    async with open_http(bill_faults=bill, latency=0.0 if fault else 60.0, credits=2) as http:
        if fault:
            http.sandbox.fail(fault)
        task = asyncio.create_task(http.send())
        await wait_until(lambda: bool(http.sandbox.requests))
        if fault == Fault.drip():
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
        # The price is set aside until the server has noticed.
        await wait_until(lambda: http.sandbox._ledger._held == 0)
        assert http.sandbox.credits_spent == (2 if bill else 0)
        assert http.sandbox.requests[0].status is None


async def test_a_scripted_429_counts_as_refused(http: Http) -> None:
    http.sandbox.fail(Fault.status(429, retry_after="3"), Fault.status(429, http=200))
    assert (await http.send())[2]["Retry-After"] == "3"
    assert (await http.get())[0] == 200
    assert http.sandbox.refused == 2
