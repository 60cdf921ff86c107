"""Three statements of the contract, made apart: the documents', the client's, the sandbox's.

The client and the sandbox share no code, so a mistake in one of them shows as a difference here.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode

import attrs
import pytest

import keyapi_async
from keyapi_async import (
    AuthenticationError,
    BadRequestError,
    InsufficientCreditsError,
    KeyAPIClient,
    KeyAPIError,
    ListQuery,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    RetryPolicy,
    ServerError,
)
from keyapi_async.budget import CREDITS_PER_REQUEST
from keyapi_async.queries import MAX_LIMIT
from keyapi_async.sandbox import Fault, Sandbox, ledger
from keyapi_async.sandbox.endpoints import (
    ENDPOINTS,
    MAX_PAGE_SIZE,
    BadParameterError,
    ListEndpoint,
    find_endpoint,
    find_list,
    parse_query,
)
from tests.core.documented_bodies import LISTS, example
from tests.core.documented_queries import DEFAULTS, PATHS, wire
from tests.core.one_answer import read

ONCE = RetryPolicy(unavailable=0, maybe_billed=0, rate_limit_deadline=0)

LIST_PERIODS = ["7", "30", "120"]
FLAGS = ["true", "false"]
TAKEN = {
    **{(name, "period"): LIST_PERIODS for name in DEFAULTS},
    ("hashtag_detail", "period"): [*LIST_PERIODS, "365", "1095"],
    **{(name, "page"): ["1", "2", "999"] for name in LISTS},
    **{(name, "limit"): ["1", "19", "20"] for name in LISTS},
    **{(name, "region"): ["US", "GB", "XX"] for name in DEFAULTS},
    ("hashtags", "industry_id"): ["nothing", "28000000000"],
    ("hashtags", "new_to_top_100"): FLAGS,
    ("hashtag_detail", "hashtag_name"): ["ufc324", "2026", "\U0001f436"],
    ("videos", "order_by"): ["vv", "like", "comment", "repost"],
    ("music", "search_keyword"): ["FALSE", "love song"],
    ("music", "new_to_top_100"): FLAGS,
    ("music", "commercial_music"): FLAGS,
    ("music_detail", "clip_id"): ["6703723351497508865", "7"],
}
"""The documented values of every parameter, or some where any text is one."""

NO_NUMBERS = ["0", "-1", "1.5", "x", ""]
REFUSED = {
    **{(name, "period"): ["365", "1095", "8", "0", "week", ""] for name in DEFAULTS},
    ("hashtag_detail", "period"): ["8", "0", "364", "year", ""],
    **{(name, each): NO_NUMBERS for name in LISTS for each in ("page", "limit")},
    **{(name, "region"): [""] for name in DEFAULTS},
    ("hashtags", "industry_id"): [""],
    ("hashtags", "new_to_top_100"): ["True", "1", ""],
    ("hashtag_detail", "hashtag_name"): [""],
    ("videos", "order_by"): ["views", "VV", ""],
    ("music", "search_keyword"): [""],
    ("music", "new_to_top_100"): ["TRUE", "yes", ""],
    ("music", "commercial_music"): ["False", "0", ""],
    ("music_detail", "clip_id"): [""],
}
"""What neither the client sends nor a server takes."""

MADE_UP = {"hashtags": {"video_url"}}
"""What the sandbox sends although no document has it there (it is a detail's)."""

MESSAGES: dict[int, tuple[type[KeyAPIError], str]] = {
    400: (BadRequestError, "Missing required parameter: handle"),
    401: (AuthenticationError, "apiKey is null"),
    402: (InsufficientCreditsError, "apiKey quota is not enough"),
    403: (PermissionDeniedError, "Forbidden"),  # its text, and that of 404, is not documented
    404: (NotFoundError, "Not Found"),
    429: (RateLimitError, "qps limit exceeded"),
    500: (ServerError, "Internal server error"),
}


# -- requests --------------------------------------------------------------------------------------


def test_the_same_endpoints() -> None:
    assert [endpoint.name for endpoint in ENDPOINTS] == list(keyapi_async.ENDPOINTS)
    assert keyapi_async.ENDPOINTS.keys() == DEFAULTS.keys() == PATHS.keys()


@pytest.mark.parametrize("name", DEFAULTS)
def test_the_same_path_parameters_order_and_defaults(name: str) -> None:
    query, endpoint = keyapi_async.ENDPOINTS[name], find_endpoint(name)
    assert (query.path, endpoint.path) == (PATHS[name], PATHS[name])
    assert (wire(query()), urlencode(endpoint.defaults)) == (DEFAULTS[name], DEFAULTS[name])
    assert issubclass(query, ListQuery) == isinstance(endpoint, ListEndpoint) == (name in LISTS)


@pytest.mark.parametrize("name", DEFAULTS)
async def test_a_default_call_is_the_documented_request(name: str) -> None:
    async with Sandbox() as sandbox, sandbox.client() as client:
        await getattr(client.trending, name)()
        [request] = sandbox.requests
        assert (request.path, request.query) == (PATHS[name], DEFAULTS[name])
        assert (request.authorized, request.code) == (True, 0)
        assert sandbox.credits_spent == client.usage.credits_spent == 2


def test_the_tables_of_values_have_every_parameter() -> None:
    every = {(name, key) for name, query in DEFAULTS.items() for key, _ in parse_qsl(query)}
    assert TAKEN.keys() == REFUSED.keys() == every


@pytest.mark.parametrize(("name", "parameter"), TAKEN)
def test_what_is_documented_both_take(name: str, parameter: str) -> None:
    make: Any = keyapi_async.ENDPOINTS[name]
    for value in TAKEN[name, parameter]:
        assert dict(parse_qsl(wire(make(**{parameter: value}))))[parameter] == value
        parse_query(find_endpoint(name), {parameter: value})


@pytest.mark.parametrize(("name", "parameter"), REFUSED)
def test_what_can_not_be_right_both_refuse(name: str, parameter: str) -> None:
    make: Any = keyapi_async.ENDPOINTS[name]
    for value in REFUSED[name, parameter]:
        with pytest.raises(keyapi_async.ParameterError, match=f"^{parameter} must be "):
            make(**{parameter: value})
        with pytest.raises(BadParameterError, match=parameter):
            parse_query(find_endpoint(name), {parameter: value})


def test_the_same_largest_page_which_only_the_server_takes_more_for() -> None:
    assert MAX_LIMIT == MAX_PAGE_SIZE == 20
    assert parse_query(find_list("videos"), {"limit": "21"}).size == 20
    with pytest.raises(keyapi_async.ParameterError):
        keyapi_async.VideosQuery(limit=21)


def test_the_same_price() -> None:
    assert CREDITS_PER_REQUEST == ledger.COST == 2


# -- answers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LISTS)
def test_the_same_keys_of_a_page(name: str) -> None:
    data = example(name)["data"]
    query, endpoint = keyapi_async.ENDPOINTS[name], find_list(name)
    assert query.data_key == endpoint.items_key == LISTS[name]
    assert data.keys() == {query.data_key, "pagination"}
    assert {field.name for field in attrs.fields(query.shape)} == data.keys()
    place = data["pagination"]
    assert place.keys() == {"page", "has_more", endpoint.size_key, endpoint.total_key}
    page = read(name, data)
    assert (page.number, page.has_more) == (place["page"], place["has_more"])
    assert (page.size, page.total) == (place[endpoint.size_key], place[endpoint.total_key])


def test_the_same_keys_of_a_detail() -> None:
    hashtag, music = (keyapi_async.ENDPOINTS[f"{name}_detail"] for name in ("hashtag", "music"))
    assert example("hashtag_detail")["data"].keys() == {hashtag.data_key} == {"info"}
    assert music.data_key == ""
    beside = {field.name for field in attrs.fields(music.shape)}
    assert example("music_detail")["data"].keys() == beside


def unknown(model: Any, received: Any) -> set[str]:
    """The fields of what was received, at any depth, which its model does not have."""
    if isinstance(received, list):
        return set().union(*map(unknown, model, received))
    if not isinstance(received, dict) or model is None:
        return set()
    missing = {name for name in received if not hasattr(type(model), name)}
    known = received.keys() - missing
    return missing.union(*(unknown(getattr(model, name), received[name]) for name in known))


@pytest.mark.parametrize("name", DEFAULTS)
async def test_the_client_knows_every_field_the_sandbox_makes_up(name: str) -> None:
    async with Sandbox() as sandbox, sandbox.client(qps=1000) as client:
        call = getattr(client.trending, name)
        regions = [await call(region=region) for region in ("US", "GB", "DE")]
        found = [item for answer in regions for item in getattr(answer, "items", [answer])]
        strange = set().union(*(unknown(item, item.raw) for item in found))
        assert {field for field in strange if not field.startswith("x_")} <= MADE_UP.get(
            name, set()
        )


@pytest.mark.parametrize("name", LISTS)
async def test_the_same_length_of_a_list(name: str) -> None:
    query, endpoint = keyapi_async.ENDPOINTS[name], find_list(name)
    assert issubclass(query, ListQuery)
    low, high = endpoint.usual_total
    assert low <= query.usual_total <= high
    assert abs(query.usual_total - example(name)["data"]["pagination"][endpoint.total_key]) <= 1


@pytest.mark.parametrize("status", MESSAGES)
async def test_the_same_errors(status: int) -> None:
    kind, message = MESSAGES[status]
    async with Sandbox() as sandbox, sandbox.client(retry=ONCE) as client:
        sandbox.fail(Fault.status(status))
        with pytest.raises(kind) as caught:
            await client.trending.videos()
        error: Any = caught.value
        assert type(error) is kind
        assert (error.status, error.code, error.message) == (status, status, message)


async def test_what_the_sandbox_refuses_by_itself_has_those_errors() -> None:
    settings: dict[str, Any] = {"forbidden": ["music"], "qps": 3}
    async with Sandbox(**settings) as sandbox, sandbox.client(retry=ONCE, qps=2.5) as client:
        async with KeyAPIClient("other", base_url=sandbox.url, retry=ONCE) as stranger:
            with pytest.raises(AuthenticationError, match="apiKey is null"):
                await stranger.trending.videos()
        with pytest.raises(PermissionDeniedError):
            await client.trending.music()
        sandbox.credits = 1
        with pytest.raises(InsufficientCreditsError, match="apiKey quota is not enough"):
            await client.trending.videos()
        assert sandbox.credits_spent == client.usage.credits_spent == 0
