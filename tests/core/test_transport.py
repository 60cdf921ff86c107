"""One attempt over a real socket: what is sent, what is taken, how long it takes."""

from __future__ import annotations

import asyncio
import gzip
import json
import tracemalloc
import zlib
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest

from keyapi_async import InvalidResponseError, RequestTimeoutError, RetryPolicy, __version__
from keyapi_async.sandbox import Fault
from keyapi_async.transport import MAX_BODY
from tests.core.audited_sandbox import opened
from tests.core.calls import CALLS, TRENDING, Call, failing, lasting, spending
from tests.core.leaks import in_use
from tests.core.scripted_server import CLOSE, EVER, KEY, OK, RESET, Step, envelope, http, scripted

ONCE = RetryPolicy(unsent=0, unavailable=0, maybe_billed=0)


# What is sent


@pytest.mark.parametrize(
    ("endpoint", "query"),
    [
        (
            "hashtags",
            "page=1&limit=20&period=7&region=all_regions&industry_id=nothing&new_to_top_100=false",
        ),
        ("hashtag/detail", "period=7&region=all_regions&hashtag_name=ufc324"),
        ("videos", "page=1&period=7&limit=20&region=US&order_by=vv"),
        (
            "music",
            (
                "search_keyword=FALSE&page=1&limit=20&period=7&region=US"
                "&new_to_top_100=false&commercial_music=false"
            ),
        ),
        ("music/detail", "period=7&region=US&clip_id=6703723351497508865"),
    ],
)
async def test_a_default_call_sends_the_documented_request(endpoint: str, query: str) -> None:
    async with scripted(envelope(404)) as server, server.client() as client:
        await failing(CALLS[endpoint](client))
        [request] = server.requests
        assert request.head.startswith(f"GET {TRENDING}{endpoint}?{query} HTTP/1.1\r\n".encode())
        assert request.headers == {
            "host": server.url.removeprefix("http://"),
            "authorization": f"Bearer {KEY}",
            "user-agent": f"keyapi-async/{__version__}",
            "accept": "application/json",
            "accept-encoding": "gzip, deflate",
        }


@pytest.mark.parametrize(
    "name", ["a#b", "two words", "😀", "r&b=c", "100%", "c++", "%23", "a/b?c", "کتاب", "~-._x"]
)
async def test_any_name_arrives_as_given(name: str) -> None:
    async with opened() as (client, sandbox):
        await client.trending.hashtag_detail(name)
        [request] = sandbox.requests
        assert request.query.endswith(f"&hashtag_name={quote(name, safe='')}")
        assert request.params["hashtag_name"] == name


async def test_base_url_may_have_a_path() -> None:
    async with scripted(OK) as server, server.client(base_url=server.url + "/api/") as client:
        await client.trending.hashtag_detail()
        assert server.requests[0].target.startswith(f"/api{TRENDING}hashtag/detail?period=7&")


async def test_calls_in_a_row_share_a_connection_and_no_cookies() -> None:
    answer = envelope(Set_Cookie="track=me", Connection="keep-alive")
    async with scripted(answer) as server:
        named = server.url.replace("127.0.0.1", "localhost")  # an address alone gets no cookies
        async with server.client(base_url=named, qps=1000) as client:
            for _ in range(5):
                await client.trending.hashtag_detail()
        assert (len(server.requests), server.connections) == (5, 1)
        assert not any("cookie" in request.headers for request in server.requests)


async def test_the_client_has_no_connection_limit_of_its_own() -> None:
    async with opened({"latency": 5}, qps=float("inf"), timeout=6) as (client, sandbox):
        with lasting(5, 8):
            await asyncio.gather(*(client.trending.hashtag_detail() for _ in range(150)))
        assert len(sandbox.requests) == 150


# What is taken

PADDED = OK.partition(b"\r\n\r\n")[2]


def packed(body: bytes, encoding: str) -> bytes:
    pack = gzip.compress if encoding == "gzip" else zlib.compress
    return http(200, pack(body), Content_Encoding=encoding)


@pytest.mark.parametrize(
    "answer",
    [
        OK,
        http(200, PADDED, Content_Type="text/html; charset=klingon"),
        http(201, PADDED),
        packed(PADDED, "gzip"),
        packed(PADDED, "deflate"),
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n"
        % (len(PADDED), PADDED),
        (b"HTTP/1.0 200 OK\r\n\r\n" + PADDED, CLOSE),
        http(200, PADDED + b" " * (MAX_BODY - len(PADDED))),
        packed(PADDED + b" " * (MAX_BODY - len(PADDED)), "gzip"),
    ],
    ids=[
        "plain",
        "html",
        "201",
        "gzip",
        "deflate",
        "103",
        "chunked",
        "1.0",
        "16 MiB",
        "16 MiB gzip",
    ],
)
async def test_the_body_decides(answer: Step) -> None:
    async with scripted(answer) as server, server.client() as client:
        assert (await client.trending.hashtag_detail()).hashtag_id == "1"
        assert spending(client) == (2, 0)


HEAD = b"HTTP/1.1 200 OK\r\n"
UNUSABLE: dict[str, tuple[Step, str]] = {
    "empty": (http(), "the body is empty"),
    "html": (http(200, b"<html>"), "the body is not JSON"),
    "list": (http(200, b"[]"), "not KeyAPI's envelope"),
    "half": (http(200, PADDED[:40]), "the body is not JSON"),
    "truncated": ((HEAD + b"Content-Length: 999\r\n\r\n" + PADDED, CLOSE), "cut off or garbled"),
    "reset in body": ((HEAD + b"Content-Length: 999\r\n\r\n{", 0.1, RESET), "cut off or garbled"),
    "chunks cut": ((HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{", CLOSE), "cut off"),
    "chunks bad": (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", "not HTTP"),
    "not gzip": (http(200, PADDED, Content_Encoding="gzip"), "cut off or garbled"),
    "half gzip": (
        http(200, gzip.compress(PADDED)[:30], Content_Encoding="gzip"),
        "the body is",
    ),
    "too long": (http(200, PADDED + b" " * MAX_BODY), "longer than 16777216 bytes"),
    "not http": (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "the answer is not HTTP"),
    "bad header": (HEAD + b"no colon\r\n\r\n", "the answer is not HTTP"),
    "giant header": (HEAD + b"X-Big: " + b"x" * 100_000 + b"\r\n\r\n", "the answer is not HTTP"),
    "many headers": (HEAD + b"X-Many: 1\r\n" * 10_000 + b"\r\n", "the answer is not HTTP"),
    "giant status": (b"HTTP/1.1 200 " + b"x" * 100_000 + b"\r\n\r\n", "the answer is not HTTP"),
}


@pytest.mark.parametrize("fault", UNUSABLE)
async def test_an_unusable_200_is_one_attempt_that_may_be_billed(fault: str) -> None:
    step, text = UNUSABLE[fault]
    async with scripted(step, OK) as server, server.client() as client:
        error = await failing(client.trending.hashtag_detail(), InvalidResponseError)
        assert text in str(error)
        assert (error.attempts, error.maybe_billed, len(error.body) <= 1000) == (1, True, True)
        assert (len(server.requests), spending(client), in_use(client)) == (1, (0, 2), 0)
        await client.trending.hashtag_detail()
        assert (len(server.requests), spending(client)) == (2, (2, 2))


async def test_data_that_is_no_text_is_paid_for_all_the_same() -> None:
    body = b'{"code": 0, "data": {"info": {"hashtag_id": "1", "hashtag_name": "\xff"}}}'
    async with scripted(http(200, body)) as server, server.client() as client:
        error = await failing(client.trending.hashtag_detail(), InvalidResponseError)
        assert (error.path, error.body) == ("data", body)
        assert (len(server.requests), spending(client)) == (1, (2, 0))


async def test_a_gzip_bomb_is_cut_off() -> None:
    async with opened() as (client, sandbox):
        sandbox.fail(Fault.bomb(400_000_000))
        tracemalloc.start()
        error = await failing(client.trending.hashtags(), InvalidResponseError)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert error.attempts == 1
        assert peak < 4 * MAX_BODY
        assert (await client.trending.hashtags()).items


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_refused(status: int) -> None:
    async with scripted(OK) as elsewhere:
        away = http(status, Location=elsewhere.url)
        async with scripted(away) as server, server.client() as client:
            error = await failing(client.trending.hashtag_detail(), InvalidResponseError)
            assert (error.status, error.attempts) == (status, 1)
            assert (len(server.requests), elsewhere.requests) == (1, [])


# Time limits


@pytest.mark.parametrize(
    "stall", [EVER, (HEAD + b"Content-Length: 9\r\n\r\n{", EVER)], ids=["headers", "body"]
)
async def test_an_attempt_has_a_time_limit(stall: Step) -> None:
    async with scripted(stall, OK) as server, server.client(timeout=7, retry=ONCE) as client:
        with lasting(7):
            error = await failing(client.trending.hashtag_detail(), RequestTimeoutError)
        assert "no answer within 7 s" in str(error)
        assert (error.attempts, error.maybe_billed, spending(client)) == (1, True, (0, 2))
        assert in_use(client) == 0
        await client.trending.hashtag_detail()


async def test_connecting_counts_towards_the_time_limit_and_is_free() -> None:
    async with scripted(OK) as server:  # which never answers a TLS handshake
        url = server.url.replace("http:", "https:")
        async with server.client(base_url=url, timeout=7, retry=ONCE) as client:
            with lasting(7):
                error = await failing(client.trending.hashtag_detail(), RequestTimeoutError)
            assert (error.maybe_billed, spending(client), client.usage.requests) == (
                False,
                (0, 0),
                0,
            )


async def test_waiting_for_the_pace_is_not_counted() -> None:
    async with opened({"latency": 0.5}, qps=1, margin=0, timeout=1) as (client, sandbox):
        with lasting(9.4, 12):
            await asyncio.gather(*(client.trending.hashtag_detail() for _ in range(10)))
        assert len(sandbox.requests) == 10


@pytest.mark.parametrize("stage", ["pace", "answer", "backoff", "pause"])
async def test_a_time_limit_around_a_call_is_honoured(stage: str) -> None:
    async with opened(qps=0.01 if stage == "pace" else 10) as (client, sandbox):
        if stage == "pace":
            await client.trending.hashtags()
        fault = {
            "answer": Fault.stall(),
            "backoff": Fault.status(503, retry_after="20"),
            "pause": Fault.status(429, retry_after="20"),
        }
        sandbox.fail(fault.get(stage, Fault.stall()))
        with lasting(5), pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await client.trending.hashtags()
        assert client.usage.credits_at_risk == 2 * (stage in ("answer", "backoff"))
        sandbox.heal()


# A borrowed session


async def nosy(_: aiohttp.ClientResponse) -> None:
    raise AssertionError("not asked for")


async def meddling(request: aiohttp.ClientRequest, handler: Any) -> Any:
    request.headers["Authorization"] = "Bearer theirs"
    return await handler(request)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"headers": {"authorization": "Bearer theirs", "user-agent": "theirs", "X-Theirs": "1"}},
        {"headers": {"Host": "elsewhere.example", "Accept": "text/html"}},
        {"cookies": {"theirs": "1"}},
        {"auth": ("user", "password")},
        {"raise_for_status": True},
        {"raise_for_status": nosy},
        {"base_url": "http://elsewhere.example/"},
        {"timeout": aiohttp.ClientTimeout(total=0.001)},
        {"auto_decompress": False},
        {"skip_auto_headers": ["User-Agent"]},
        {"middlewares": [meddling]},
    ],
    ids=lambda options: next(iter(options), "plain"),
)
@pytest.mark.filterwarnings("ignore:(BasicAuth|The 'auth' parameter):DeprecationWarning")
async def test_nothing_of_a_borrowed_session_changes_what_is_sent(options: dict[str, Any]) -> None:
    if "auth" in options:
        options = {"auth": aiohttp.BasicAuth(*options["auth"])}
    if "cookies" in options:
        options = {**options, "cookie_jar": aiohttp.CookieJar(unsafe=True)}
    answers = (1.0, packed(PADDED, "gzip")), envelope(404, Set_Cookie="set=1"), OK
    async with scripted(*answers) as server, aiohttp.ClientSession(**options) as http:
        async with server.client(session=http, qps=100) as client:
            await client.trending.hashtag_detail()
            assert (await failing(client.trending.hashtag_detail())).status == 404
            await client.trending.hashtag_detail()
        assert not http.closed
        expected = {
            "host": server.url.removeprefix("http://"),
            "authorization": f"Bearer {KEY}",
            "user-agent": f"keyapi-async/{__version__}",
            "accept": "application/json",
            "accept-encoding": "gzip, deflate",
        }
        assert [request.headers for request in server.requests] == [expected] * 3


@pytest.mark.parametrize("borrowed", [False, True])
async def test_trace_configs_are_called_and_may_add_headers(borrowed: bool) -> None:
    trace, heard = aiohttp.TraceConfig(), list[str]()

    async def on_start(_: Any, __: Any, params: aiohttp.TraceRequestStartParams) -> None:
        params.headers["traceparent"] = "00-aa-bb-01"  # as OpenTelemetry does
        heard.append("start")

    async def on_end(_: Any, __: Any, params: aiohttp.TraceRequestEndParams) -> None:
        heard.append(f"end {params.response.status}")

    trace.on_request_start.append(on_start)
    trace.on_request_end.append(on_end)
    async with scripted(OK) as server:
        session = aiohttp.ClientSession(trace_configs=[trace]) if borrowed else None
        options = {"session": session} if borrowed else {"trace_configs": [trace]}
        async with server.client(**options) as client:
            await client.trending.hashtag_detail()
        if session is not None:
            await session.close()
        assert heard == ["start", "end 200"]
        assert server.requests[0].headers["traceparent"] == "00-aa-bb-01"
        assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_each_endpoint_works_over_a_socket(call: Call) -> None:
    async with opened() as (client, sandbox):
        assert await call(client)
        assert (len(sandbox.requests), spending(client)) == (1, (2, 0))
        json.dumps(sandbox.requests[0].params)
