"""Whatever a server sends: a model or a documented error, in bounded time."""

from __future__ import annotations

import json
import pickle
import time
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyapi_async import APIError, InvalidResponseError, Page, to_dict
from keyapi_async.protocol import Response, decode
from tests.core.documented_bodies import ENDPOINTS, LISTS, example
from tests.core.json_strategies import ANY_TEXT, JSON, calm
from tests.core.one_answer import outcome
from tests.core.scripted_server import KEY

SECONDS = 5.0
"""For what takes some 0.1 s."""


@st.composite
def bodies(draw: st.DrawFn, endpoint: str) -> bytes:
    """A documented body with something wrong at up to three places, and then perhaps broken."""
    body: Any = example(endpoint)
    for _ in range(draw(st.integers(0, 3))):
        holder, key = {"": body}, ""
        for _ in range(draw(st.integers(0, 6))):
            inner: Any = holder[key]
            if not inner or not isinstance(inner, dict | list):
                break
            keys = list(inner) if isinstance(inner, dict) else range(len(inner))
            holder, key = inner, draw(st.sampled_from(keys))
        match draw(st.sampled_from(["replace", "delete", "add"])):
            case "delete":
                del holder[key]
            case "add" if isinstance(holder[key], dict):
                holder[key][draw(ANY_TEXT)] = draw(JSON)
            case _:
                holder[key] = draw(JSON)
        if not isinstance(body, dict):
            break
    text = json.dumps(body, ensure_ascii=draw(st.booleans())).encode(errors="surrogatepass")
    if draw(st.integers(0, 4)):
        return text
    at, cut = draw(st.integers(0, len(text))), draw(st.integers(0, 20))
    return text[:at] + draw(st.binary(max_size=5)) + text[at + cut :]


def assert_sound(result: Any) -> None:
    """An error or a model is as good as any other, however hostile the body was."""
    twin = pickle.loads(pickle.dumps(result))
    if isinstance(result, APIError | InvalidResponseError):
        assert (str(twin), vars(twin)) == (str(result), vars(result))
        assert len(str(result)) < 6000
        assert len(result.body) <= 1000
        assert KEY not in str(result) + repr(result) + repr(vars(result))
    else:
        assert twin == result
        assert hash(twin) == hash(result)
        assert len(repr(result)) > 0
        plain = to_dict(result)
        assert json.loads(json.dumps(plain)) == plain
        if isinstance(result, Page):
            assert [item.raw for item in result.items] == [
                *next(result.raw[name] for name in LISTS.values() if name in result.raw)
            ]


# -- from the server -------------------------------------------------------------------------------


@calm
@given(st.data(), st.sampled_from(sorted(ENDPOINTS)), st.sampled_from([200, 200, 200, 429, 500]))
def test_any_damage_to_a_body_gives_a_model_or_a_documented_error(
    data: st.DataObject, endpoint: str, status: int
) -> None:
    assert_sound(outcome(endpoint, data.draw(bodies(endpoint)), status=status, secret=KEY))


@calm
@given(
    st.sampled_from(sorted(ENDPOINTS)),
    st.integers(100, 999),
    st.binary()
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.fixed_dictionaries(
        {"code": JSON}, optional={"data": JSON, "message": JSON, "requestId": JSON}
    ).map(lambda value: json.dumps(value).encode()),
)
def test_any_body_under_any_status_gives_a_model_or_a_documented_error(
    endpoint: str, status: int, body: bytes
) -> None:
    assert_sound(outcome(endpoint, body, status=status, secret=KEY))


@calm
@given(st.sampled_from(sorted(LISTS)), st.lists(JSON, max_size=3))
def test_any_items_give_models_or_an_invalid_response(endpoint: str, items: list[Any]) -> None:
    data = {LISTS[endpoint]: items, "pagination": {"page": 1, "has_more": False}}
    result = outcome(endpoint, json.dumps({"code": 0, "data": data}).encode(), secret=KEY)
    assert isinstance(result, Page | InvalidResponseError)
    assert_sound(result)


MEGA = 10**7
ENVELOPE = b'{"code": 0, "requestId": "r", "data": %s}'


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"[" * MEGA, id="open brackets"),
        pytest.param(b"[" * 100_000 + b"]" * 100_000, id="nested brackets"),
        pytest.param(ENVELOPE % (b"[" * 100_000 + b"]" * 100_000), id="nested brackets as data"),
        pytest.param(ENVELOPE % (b'{"list":' * 100_000 + b"1" + b"}" * 100_000), id="nested lists"),
        pytest.param(b'{"a":' * (MEGA // 5), id="open objects"),
        pytest.param(b"9" * MEGA, id="one long integer"),
        pytest.param(ENVELOPE % (b"9" * MEGA), id="one long integer as data"),
        pytest.param(b'{"code": ' + b"9" * MEGA + b"}", id="one long integer as code"),
        pytest.param(ENVELOPE % (b"1." + b"1" * MEGA), id="one long fraction"),
        pytest.param(ENVELOPE % (b"1e" + b"9" * MEGA), id="one long exponent"),
        pytest.param(ENVELOPE % b'[NaN, Infinity, "\\ud800"]', id="NaN"),
        pytest.param(ENVELOPE % b'[1e999, "\\ud800"]', id="1e999"),
        pytest.param(ENVELOPE % (b'"' + b"x" * MEGA + b'"'), id="a long text as data"),
        pytest.param(ENVELOPE % (b'"' + b"\\ud800" * (MEGA // 6) + b'"'), id="lone surrogates"),
        pytest.param(ENVELOPE % (b"[" + b"{}," * (MEGA // 3) + b"{}]"), id="many objects"),
        pytest.param(b"{" + b'"code": 0,' * (MEGA // 10) + b'"a": 1}', id="duplicate keys"),
        pytest.param(b"\x00" * MEGA, id="zeros"),
        pytest.param(b" " * MEGA, id="spaces"),
        pytest.param(b"\xef\xbb\xbf" * (MEGA // 3), id="byte order marks"),
        pytest.param(b"\xff\xfe" + b"\x5b\x00" * (MEGA // 2), id="UTF-16"),
        pytest.param(b"\\" * MEGA, id="backslashes"),
        pytest.param(b'"' + b"\\" * MEGA, id="an open text of backslashes"),
        pytest.param(b'"' + b"\xf0\x9f\x90" * (MEGA // 3) + b'"', id="cut UTF-8"),
    ],
)
def test_an_absurd_body_is_an_invalid_response_in_bounded_time(body: bytes) -> None:
    begun = time.perf_counter()
    error = outcome("hashtags", body)
    assert time.perf_counter() - begun < SECONDS
    assert type(error) is InvalidResponseError
    assert error.body in (body[:1000], b"")


def test_texts_of_10_mb_are_taken_where_a_text_may_be_and_cost_no_more_than_themselves() -> None:
    long = "x" * MEGA
    item = {"hashtag_id": long, "hashtag_name": "clean"}
    data = {"list": [item], "pagination": {"page": 1, "has_more": False}}
    body = json.dumps({"code": 0, "data": data, "requestId": long}).encode()
    tracemalloc.start()
    try:
        page = outcome("hashtags", body)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert page.items[0].hashtag_id == long
    assert page.request_id == "x" * 1000
    assert peak < 5 * len(body)


@pytest.mark.parametrize("name", ["message", "requestId"])
def test_texts_of_10_mb_in_an_error_are_cut(name: str) -> None:
    body = json.dumps({"code": 500, "message": "no", name: "x" * MEGA}).encode()
    error = outcome("hashtags", body)
    assert len(repr(vars(error))) < 3000


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_no_value_of_a_body_is_printed_by_the_error_of_its_place(endpoint: str) -> None:
    body = json.dumps(example(endpoint)).replace("1769472000", f'"{KEY}"').encode()
    error = outcome(endpoint, body)
    if endpoint != "videos":  # they have no trend
        assert error.path.endswith(".trend[0].time")
        assert "sk-" not in str(error) + repr(vars(error))


def test_duplicate_keys_count_once_and_the_last_one_wins() -> None:
    body = (
        b'{"code": 500, "code": 0, "data": null, "data": {"list": null, "pagination": {},'
        b'"pagination": {"page": 9, "page": 1, "has_more": true, "has_more": false},'
        b'"list": [{"hashtag_id": 1, "hashtag_id": "2", "hashtag_name": "a"}]}}'
    )
    page = outcome("hashtags", body)
    assert (page.number, page.has_more, page.items[0].hashtag_id) == (1, False, "2")
    assert page.items[0].raw == {"hashtag_id": "2", "hashtag_name": "a"}


def test_half_an_emoji_costs_no_page() -> None:
    body = (
        b'{"code": 0, "requestId": "cut \\ud83d", "data": {"pagination": {"page": 1,'
        b'"has_more": false}, "list": [{"hashtag_id": "\\ud83d", "hashtag_name": "a\\ud83d"}]}}'
    )
    page = outcome("hashtags", body)
    assert (page.items[0].hashtag_id, page.request_id) == ("\ud83d", "cut \ud83d")
    assert_sound(page)


def test_half_an_emoji_in_the_name_of_a_field_is_an_invalid_response() -> None:
    error = outcome("music_detail", ENVELOPE % b'{"sound": {"clip_id": "1", "\\ud83d": 0}}')
    assert type(error) is InvalidResponseError
    assert str(error) == "data: a field's name holds half a character (a lone surrogate)"
    assert error.path == "data"


# -- from the caller -------------------------------------------------------------------------------


def test_an_answer_is_no_more_than_its_envelope() -> None:
    answer = decode(Response(status=200, body=b'{"code": 0, "novel": 1}'))
    assert (answer.data, answer.request_id) == (None, None)


def test_a_field_that_is_no_utf8_is_told_as_no_json() -> None:
    body = b'{"code": 0, "data": {"info": {"hashtag_id": "1", "hashtag_name": "\xff"}}}'
    error = outcome("hashtag_detail", body)
    assert (type(error), error.path) == (InvalidResponseError, "data")
    assert str(error).startswith("data: it is not JSON")


def test_nothing_of_an_answer_that_is_no_json_hangs_on_the_error() -> None:
    body = b'{"code": 0, "data": {"info": {"hashtag_id": "1", "hashtag_name": "\xff"}}}'
    error = outcome("hashtag_detail", body)
    assert (error.__cause__, error.__context__) == (None, None)
