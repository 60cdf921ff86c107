"""Regions that are misspelt, pages in a line, models made of data, the key however it is spelt."""

from __future__ import annotations

import html
import json
import math
import pickle
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest

from keyapi_async import (
    HashtagDetail,
    HashtagsQuery,
    InvalidResponseError,
    KeyAPIError,
    MusicDetail,
    ParameterError,
    RetryPolicy,
    TransportError,
    from_dict,
    to_dict,
)
from keyapi_async.protocol import echoes, redact
from keyapi_async.sandbox import Fault
from tests.core.audited_sandbox import opened
from tests.core.calls import CALLS, failing, lasting, spending
from tests.core.scripted_server import OK, http, scripted

# Regions


@pytest.mark.parametrize(
    ("given", "right"),
    [("us", "US"), ("usa", "US"), ("UK", "GB"), ("japan", "JP")],
)
async def test_a_misspelt_region_is_refused_with_the_right_one(given: str, right: str) -> None:
    async with opened() as (client, sandbox):
        error = await failing(client.trending.hashtags(region=given), ParameterError)
        assert (error.parameter, error.value) == ("region", given)
        assert repr(right) in str(error)
        with pytest.raises(ParameterError):
            client.trending.iter_videos(region=given)
        assert sandbox.requests == []


async def test_other_unknown_codes_pass_and_so_does_everything_on_request() -> None:
    async with opened(qps=math.inf, allow_unknown=True) as (client, sandbox):
        for region in ("us", "UK"):
            await client.with_options(timeout=5).trending.hashtags(region=region)
    async with opened(qps=math.inf) as (client, sandbox):
        await client.trending.hashtags(region="XX")
        await client.trending.page(HashtagsQuery(region="uk"))  # what a file or checkpoint holds
        pager = client.trending.iterate(HashtagsQuery(region="uk"))
        assert (await pager.collect())[0].raw
        assert len(sandbox.requests) == 7


# Models


async def test_details_and_pages_tell_where_they_come_from_and_survive_copies() -> None:
    async with opened(qps=math.inf) as (client, _):
        page = await client.trending.hashtags()
        assert repr(page) == "<Page 1: 20 items of 100, more to come>"
        detail = await client.trending.music_detail()
        for one in (detail, page):
            twin = pickle.loads(pickle.dumps(one))
            assert twin == one
            assert (twin.request_id, twin.retrieved_at) == (one.request_id, one.retrieved_at)
            assert one.request_id
        assert json.loads(json.dumps(to_dict(page)))["retrieved_at"].endswith("+00:00")
        assert repr(client.trending.iter_hashtags()) == "<Pager of hashtags: 0 items, at page 1>"


@pytest.mark.parametrize("name", ["hashtag/detail", "music/detail"])
async def test_from_dict_takes_what_was_received_and_what_to_dict_gave(name: str) -> None:
    async with opened() as (client, _):
        detail: Any = await CALLS[name](client)
        again = from_dict(type(detail), detail.raw)
        assert (again, again.raw) == (detail, detail.raw)
        assert from_dict(type(detail), json.loads(json.dumps(to_dict(detail)))) == detail


def test_from_dict_puts_extra_where_it_was_and_names_what_is_wrong() -> None:
    made = from_dict(MusicDetail, {"sound": {"clip_id": "1", "novel": 2}, "odd": True})
    again = from_dict(MusicDetail, to_dict(made))
    assert (again.extra, again.sound.extra) == ({"odd": True}, {"novel": 2})
    assert made.retrieved_at is None
    with pytest.raises(InvalidResponseError) as caught:
        from_dict(HashtagDetail, {"hashtag_id": "1"})
    assert caught.value.path == "data.hashtag_name"
    with pytest.raises(InvalidResponseError, match="4300 digits"):
        from_dict(HashtagDetail, {"hashtag_id": 10**5000, "hashtag_name": "x"})


async def test_an_error_names_its_request() -> None:
    async with opened() as (client, sandbox):
        sandbox.fail(Fault.status(404))
        error = await failing(client.trending.hashtag_detail("nobody"))
        assert "hashtag_name=nobody" in str(error)
        assert repr(error) == f"<NotFoundError: {error}>"


async def test_a_429_in_a_test_costs_milliseconds() -> None:
    async with opened(retry=RetryPolicy(pause=0.001)) as (client, sandbox):
        sandbox.fail(Fault.status(429))
        with lasting(0, 0.2):
            await client.trending.hashtags()


# The key, however it is spelt

KEY = "sk/<Q&z'\"+ü=\\9>"


@pytest.mark.parametrize(
    "spell",
    [
        lambda key: key,
        lambda key: json.dumps(key)[1:-1],
        lambda key: json.dumps(key, ensure_ascii=False)[1:-1],
        lambda key: json.dumps(key)[1:-1].replace("/", "\\/"),
        lambda key: "".join(f"\\u{ord(c):04X}" if c in "<>&'" else c for c in key),
        lambda key: quote(key, safe=""),
        quote,
        lambda key: quote(key, safe="").lower().replace("sk", "sk").replace("q", "Q"),
        html.escape,
        lambda key: "".join(c if c.isascii() and c.isalnum() else f"&#{ord(c)};" for c in key),
        lambda key: "".join(c if c.isascii() and c.isalnum() else f"&#x{ord(c):X};" for c in key),
    ],
)
def test_an_echoed_key_is_found_in_every_spelling(spell: Any) -> None:
    body = b"<p>hello " + spell(KEY).encode() + b"</p>"
    assert redact(body, KEY) == b"<p>hello ***</p>"
    assert echoes(body, KEY)
    assert not echoes(body.replace(b"9", b"8"), KEY)


# What is lent


async def test_the_middlewares_of_a_lent_session_run() -> None:
    ran: list[str] = []

    async def count(request: aiohttp.ClientRequest, handler: Any) -> aiohttp.ClientResponse:
        ran.append(request.method)
        return await handler(request)

    async def twice(request: aiohttp.ClientRequest, handler: Any) -> aiohttp.ClientResponse:
        (await handler(request)).close()
        return await handler(request)

    async with scripted(OK) as server, aiohttp.ClientSession(middlewares=[count]) as session:
        await server.client(session=session).trending.hashtag_detail()
        assert (ran, len(server.requests)) == (["GET"], 1)
    retry = RetryPolicy(maybe_billed=0)
    async with scripted(OK) as server, aiohttp.ClientSession(middlewares=[twice]) as session:
        client = server.client(session=session, retry=retry)
        await failing(client.trending.hashtag_detail(), TransportError)
        assert (len(server.requests), spending(client)) == (1, (0, 2))


@pytest.mark.parametrize(("status", "attempts"), [(502, 4), (503, 4), (504, 4), (403, 1), (407, 1)])
async def test_a_proxys_refusal_is_tried_again_where_that_may_help(
    status: int, attempts: int
) -> None:
    async with scripted(http(status)) as proxy:
        url = proxy.url.replace("http://", "http://user:hunter2@")
        async with aiohttp.ClientSession(proxy=url) as session:
            client = proxy.client(session=session, base_url="https://api.example")
            error = await failing(client.trending.hashtag_detail(), TransportError)
    assert (error.attempts, error.maybe_billed) == (attempts, False)
    assert f"the proxy refused with status {status}" in str(error)
    assert "hunter2" not in frames_of(error)


def frames_of(error: KeyAPIError) -> str:
    told, chain = [repr(error)], error.__traceback__
    assert error.__context__ is None
    while chain is not None:
        if "keyapi_async" in chain.tb_frame.f_globals["__name__"]:
            told += map(repr, chain.tb_frame.f_locals.values())
        chain = chain.tb_next
    return "\n".join(told)
