"""The sandbox over real sockets: answers, refusals, limits, addresses, threads, settings."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from sandboxes import BASE, DETAIL, HASHTAGS, Http, eventually, opened

from keyapi_async import CreditBudgetError
from keyapi_async.sandbox import Fault, Recorded, Sandbox
from keyapi_async.sandbox.limits import FixedWindow, LeakyBucket, SlidingWindow, make_limiter

EXAMPLES = Path(__file__).parent / "examples"

# Healthy answers


async def test_a_page_and_its_record(http: Http) -> None:
    before = asyncio.get_running_loop().time()
    status, body = await http.get(page="2", limit="10", who="café")
    assert status == 200
    assert (body["code"], body["message"]) == (0, "success")
    assert body["data"]["list"] == http.sandbox.items("hashtags")[10:20]
    pagination = {"page": 2, "size": 10, "total": 100, "has_more": True}
    assert body["data"]["pagination"].items() >= pagination.items()

    [record] = http.sandbox.requests
    assert isinstance(record, Recorded)
    assert before <= record.time <= asyncio.get_running_loop().time()
    assert (record.path, record.query) == (HASHTAGS, "page=2&limit=10&who=caf%C3%A9")
    assert record.params == {"page": "2", "limit": "10", "who": "café"}
    assert (record.status, record.code, record.credits) == (200, 0, 2)
    assert (record.authorized, record.page, record.fault) == (True, 2, None)
    assert record.headers["host"] == http.sandbox.url.removeprefix("http://")
    assert "sandbox-key" not in repr(record) + repr(http.sandbox)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.json")), ids=lambda path: path.stem)
async def test_the_envelope_is_as_documented(http: Http, path: Path) -> None:
    example = json.loads(path.read_text(encoding="utf-8"))
    route = BASE + path.stem.replace("_", "/")
    bodies = [(await http.get(route))[1] for _ in range(2)]
    assert bodies[0]["requestId"] != bodies[1]["requestId"]
    assert bodies[0]["data"] == bodies[1]["data"]
    body = bodies[0]
    assert body.keys() == example.keys()
    assert body["data"].keys() >= example["data"].keys()
    if "pagination" in example["data"]:
        assert body["data"]["pagination"].keys() >= example["data"]["pagination"].keys()


async def test_request_ids_depend_on_seed_and_number_only() -> None:
    ids = list[str]()
    for seed in (0, 0, 1):
        async with opened(seed=seed) as http:
            ids.append((await http.get())[1]["requestId"])
    assert ids[0] == ids[1] != ids[2]


async def test_a_larger_limit_is_20_but_echoed(http: Http) -> None:
    data = (await http.get(limit="50"))[1]["data"]
    assert len(data["list"]) == 20
    assert data["pagination"]["size"] == 50


async def test_pages_past_the_end_are_empty(http: Http) -> None:
    last, end = await http.page(5)
    assert (len(last), end["has_more"]) == (20, False)
    past, end = await http.page(6)
    assert (past, end["has_more"], end["total"]) == ([], False, 100)


async def test_a_page_weighs_what_the_real_one_does(http: Http) -> None:
    sizes = [len((await http.send(page=str(page)))[1]) for page in range(1, 6)]
    assert 28_000 < sum(sizes) / 5 < 36_000


async def test_odd_bytes_are_no_problem(http: Http) -> None:
    for query in ("hashtag_name=%ff", "hashtag_name=%ED%A0%80", "hashtag_name=%00%22"):
        async with http.session.get(
            f"{http.sandbox.url}{DETAIL}?{query}",
            headers={"Authorization": "Bearer sandbox-key"},
        ) as response:
            assert response.status == 200
    assert http.sandbox.credits_spent == 6


# Refusals


@pytest.mark.parametrize(
    ("path", "params"),
    [
        (HASHTAGS, {"page": "0"}),
        (HASHTAGS, {"page": "-1"}),
        (HASHTAGS, {"page": "1" * 19}),
        (HASHTAGS, {"page": "²"}),
        (HASHTAGS, {"limit": "0"}),
        (HASHTAGS, {"limit": "ten"}),
        (HASHTAGS, {"period": "365"}),
        (DETAIL, {"period": "8"}),
        (BASE + "music/detail", {"period": "1095"}),
        (BASE + "videos", {"order_by": "views"}),
        (HASHTAGS, {"new_to_top_100": "True"}),
        (BASE + "music", {"commercial_music": ""}),
        (BASE + "music", {"search_keyword": ""}),
        (BASE + "videos", {"region": ""}),
        (DETAIL, {"hashtag_name": ""}),
        (BASE + "music/detail", {"clip_id": ""}),
    ],
)
async def test_bad_parameters_are_named(http: Http, path: str, params: dict[str, str]) -> None:
    status, body = await http.get(path, **params)
    [name] = params
    assert status == 400
    assert body == {"code": 400, "data": None, "message": f"Invalid parameter: {name}"}
    [record] = http.sandbox.requests
    assert (record.code, record.credits, record.page) == (400, 0, None)


@pytest.mark.parametrize("key", ["", "another"])
async def test_another_key_is_refused(http: Http, key: str) -> None:
    status, body, _ = await http.send(key=key, page="0")
    assert status == 401
    assert json.loads(body) == {"code": 401, "data": None, "message": "apiKey is null"}
    assert not http.sandbox.requests[0].authorized
    assert http.sandbox.credits_spent == 0


async def test_what_does_not_exist_is_404(http: Http) -> None:
    assert (await http.get("/v1/else"))[0] == 404
    assert (await http.get(DETAIL, hashtag_name="missing-tag"))[0] == 404
    assert (await http.get(BASE + "music/detail", clip_id="missing"))[1]["code"] == 404
    assert http.sandbox.credits_spent == 0


async def test_only_get_is_allowed(http: Http) -> None:
    status, body, _ = await http.send(method="POST")
    assert (status, json.loads(body)["message"]) == (405, "Method Not Allowed")


async def test_forbidden_and_retired_endpoints() -> None:
    async with opened(forbidden=["videos"], retired=[DETAIL]) as http:
        assert (await http.get(BASE + "videos"))[0] == 403
        assert (await http.get(DETAIL))[1]["data"] is None
        assert (await http.get())[0] == 200
        assert http.sandbox.credits_spent == 4


async def test_an_empty_account_is_402() -> None:
    async with opened(credits=5) as http:
        statuses = [(await http.get())[0] for _ in range(3)]
        assert statuses == [200, 200, 402]
        assert (await http.get(page="0"))[1]["message"] == "apiKey quota is not enough"
        assert http.sandbox.credits_spent == 4


async def test_requests_under_way_are_paid_for_already() -> None:
    async with opened(credits=4, latency=0.01) as http:
        answers = await asyncio.gather(*(http.get() for _ in range(5)))
        assert sorted(status for status, _ in answers) == [200, 200, 402, 402, 402]
        assert http.sandbox.credits_spent == 4


async def test_the_limiter_comes_first() -> None:
    async with opened(qps=0.001, retry_after="7") as http:
        assert (await http.get())[0] == 200
        status, body, headers = await http.send(key="")
        assert (status, headers["Retry-After"]) == (429, "7")
        assert json.loads(body) == {"code": 429, "data": None, "message": "qps limit exceeded"}
        assert (http.sandbox.refused, http.sandbox.credits_spent) == (1, 2)


async def test_latency_is_drawn_from_the_range() -> None:
    async with opened(latency=(0.005, 0.01)) as http:
        loop = asyncio.get_running_loop()
        start = loop.time()
        await http.get()
        assert loop.time() - start >= 0.005


# Limiters, by a clock in hand


def verdicts(limiter: Any, *times: float) -> str:
    return "".join("+" if limiter.admits(now) else "-" for now in times)


def test_no_limit() -> None:
    assert verdicts(make_limiter(None, "sliding", 0), *[0.0] * 99) == "+" * 99


def test_sliding_window() -> None:
    limiter = make_limiter(2, "sliding", 0)
    assert limiter == SlidingWindow(capacity=2, seconds=1.0)
    assert verdicts(limiter, 0.0, 0.6, 0.9, 1.0, 1.5, 1.6) == "++-+-+"


def test_fixed_window() -> None:
    limiter = make_limiter(2.5, "fixed", 0)
    assert limiter == FixedWindow(capacity=2, seconds=0.8)
    assert verdicts(limiter, 0.0, 0.7, 0.75, 0.8, 0.8, 0.9, 1.6) == "++-++-+"


def test_leaky_bucket_is_nginx() -> None:
    assert verdicts(make_limiter(10, "leaky", 0), 5.0, 5.05, 5.1, 5.15, 5.3) == "+-+-+"
    limiter = make_limiter(10, "leaky", 2)
    assert isinstance(limiter, LeakyBucket)
    assert verdicts(limiter, *[0.0] * 4, 0.1, 0.1, 9.0, 9.0, 9.0, 9.0) == "+++-+-+++-"


def test_half_a_request_per_second_is_one_in_two() -> None:
    assert verdicts(make_limiter(0.5, "sliding", 0), 0.0, 1.9, 2.0) == "+-+"


# Starting and stopping


async def test_addresses() -> None:
    sandbox = Sandbox()
    with pytest.raises(RuntimeError, match="no address before it runs"):
        _ = sandbox.url
    async with sandbox:
        assert sandbox.url.startswith("http://127.0.0.1:")
        with pytest.raises(RuntimeError, match="running already"):
            await sandbox.__aenter__()
        with pytest.raises(RuntimeError, match="running already"):
            sandbox.__enter__()
    await sandbox.__aexit__()
    sandbox.__exit__()


async def test_ipv6() -> None:
    try:
        async with Sandbox(host="::1") as sandbox:
            assert sandbox.url.startswith("http://[::1]:")
    except OSError:  # pragma: no cover - depends on the machine
        pytest.skip("no IPv6 here")


async def test_a_sandbox_can_be_entered_again() -> None:
    sandbox = Sandbox()
    for _ in range(2):
        async with sandbox, aiohttp.ClientSession() as session:
            assert (await Http(session, sandbox).get())[0] == 200
    assert sandbox.credits_spent == 4


async def test_a_taken_port_is_an_os_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        sandbox = Sandbox(port=port)
        with pytest.raises(OSError, match=f"{port}.*address already in use"):
            await sandbox.__aenter__()
        with pytest.raises(OSError, match=f"{port}.*address already in use"):
            sandbox.__enter__()
    async with sandbox:
        assert sandbox.url.endswith(f":{port}")


async def test_closing_cuts_what_is_stalled() -> None:
    async with aiohttp.ClientSession() as session:
        sandbox = Sandbox()
        async with sandbox:
            sandbox.fail(Fault.stall())
            task = asyncio.create_task(Http(session, sandbox).send())
            await eventually(lambda: bool(sandbox.requests))
        with pytest.raises(aiohttp.ClientError):
            await task
        with pytest.raises(aiohttp.ClientConnectorError):
            await Http(session, sandbox).send()


async def test_idle_connections_are_closed() -> None:
    async with opened(keepalive=0.01) as http:
        host, port = http.sandbox.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


def test_in_a_thread(keyapi_sandbox: Sandbox) -> None:
    async def fetch() -> int:
        async with aiohttp.ClientSession() as session:
            return (await Http(session, keyapi_sandbox).send())[0]

    assert asyncio.run(fetch()) == 200
    keyapi_sandbox.fail(Fault.status(503))
    assert asyncio.run(fetch()) == 503
    assert (len(keyapi_sandbox.requests), keyapi_sandbox.credits_spent) == (2, 2)


def test_threads_end_even_with_a_request_stalled() -> None:
    with Sandbox() as sandbox:
        sandbox.fail(Fault.stall())
        host, port = sandbox.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as connection:
            head = f"GET {HASHTAGS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sandbox-key"
            connection.sendall(head.encode() + b"\r\n\r\n")
            while not sandbox.requests:
                pass
            sandbox.__exit__()
            assert connection.recv(1) == b""
    gc.collect()
    assert all(thread.name != "keyapi-sandbox" for thread in threading.enumerate())


# Settings, and the package


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"host": "0.0.0.0"}, "host must be a loopback address; got '0.0.0.0'"),
        ({"host": "example.com"}, "host must be a loopback address; got 'example.com'"),
        ({"port": 65_536}, "port must be from 0 to 65535; got 65536"),
        ({"qps": 0}, "qps must be above 0, or None; got 0"),
        ({"window": "hourly"}, "window must be one of sliding, fixed, leaky; got 'hourly'"),
        ({"burst": -1}, "burst must be 0 or more; got -1"),
        ({"latency": (2, 1)}, r"latency must be 0 or more, or a .*; got \(2, 1\)"),
        ({"latency": -1}, "latency must be 0 or more, .*; got -1"),
        ({"credits": -2}, "credits must be 0 or more, or None; got -2"),
        ({"totals": {"videos": -1}}, "totals must be 0 or more each; got {'videos': -1}"),
        ({"totals": {"music_detail": 1}}, "totals must be for lists; got 'music_detail'"),
        ({"fault_rate": 1.5}, "fault_rate must be from 0 to 1; got 1.5"),
        ({"fault_rate": 0.5}, r"faults must be given with fault_rate; got \(\)"),
        ({"keepalive": -1}, "keepalive must be 0 or more; got -1"),
        ({"forbidden": ["users"]}, "path must be the path of an endpoint .*; got 'users'"),
    ],
)
def test_wrong_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Sandbox(**settings)


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


async def test_client_knows_where_and_how() -> None:
    async with Sandbox(api_key="mine") as sandbox, sandbox.client(max_credits=2) as client:
        await client.trending.videos()
        with pytest.raises(CreditBudgetError):
            await client.trending.videos()
    assert [(r.authorized, r.credits) for r in sandbox.requests] == [(True, 2)]


def test_the_plugin_loads_no_sandbox_before_it_is_used() -> None:
    code = "import sys, keyapi_async.pytest_plugin; sys.exit('keyapi_async.sandbox' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
