"""Queries: the documented defaults byte for byte, every value taken, every wrong one refused."""

from __future__ import annotations

import copy
import enum
import inspect
import pickle
import re
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import pytest
from attrs.exceptions import FrozenInstanceError
from contract import LISTS, OneAnswer, finish, query_of
from hypothesis import given, settings
from hypothesis import strategies as st

from keyapi_async.converter import wire_params
from keyapi_async.queries import (
    HashtagDetailQuery,
    HashtagsQuery,
    MusicDetailQuery,
    MusicQuery,
    Query,
    VideosQuery,
)
from keyapi_async.trending import Trending

DEFAULTS = {
    "hashtags": "page=1&limit=20&period=7&region=all_regions&industry_id=nothing"
    "&new_to_top_100=false",
    "hashtag_detail": "period=7&region=all_regions&hashtag_name=ufc324",
    "videos": "page=1&period=7&limit=20&region=US&order_by=vv",
    "music": "search_keyword=FALSE&page=1&limit=20&period=7&region=US&new_to_top_100=false"
    "&commercial_music=false",
    "music_detail": "period=7&region=US&clip_id=6703723351497508865",
}
PATHS = {
    "hashtags": "/v1/tiktok/trending/hashtags",
    "hashtag_detail": "/v1/tiktok/trending/hashtag/detail",
    "videos": "/v1/tiktok/trending/videos",
    "music": "/v1/tiktok/trending/music",
    "music_detail": "/v1/tiktok/trending/music/detail",
}
CLASSES: dict[str, type[Query]] = {
    "hashtags": HashtagsQuery,
    "hashtag_detail": HashtagDetailQuery,
    "videos": VideosQuery,
    "music": MusicQuery,
    "music_detail": MusicDetailQuery,
}


def wire(query: Query) -> str:
    return urlencode(wire_params(query), quote_via=quote, safe="")


# -- what is sent ----------------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", DEFAULTS)
def test_a_call_without_arguments_sends_the_documented_query(endpoint: str) -> None:
    assert wire(query_of(endpoint)) == DEFAULTS[endpoint]
    assert query_of(endpoint).path == PATHS[endpoint]
    assert query_of(endpoint) == CLASSES[endpoint]()


@pytest.mark.parametrize("endpoint", DEFAULTS)
def test_the_documented_strings_are_taken_as_they_are(endpoint: str) -> None:
    assert query_of(endpoint, **dict(parse_qsl(DEFAULTS[endpoint]))) == CLASSES[endpoint]()


LIST_PERIODS = [(7, "7"), ("7", "7"), (30, "30"), ("30", "30"), (120, "120"), ("120", "120")]
LONG_PERIODS = [*LIST_PERIODS, (365, "365"), ("365", "365"), (1095, "1095"), ("1095", "1095")]
PAGES = [(1, "1"), ("1", "1"), (25, "25"), ("25", "25"), (10**9, "1000000000")]
LIMITS = [(1, "1"), ("1", "1"), (20, "20"), ("20", "20")]
FLAGS = [(True, "true"), ("true", "true"), (False, "false"), ("false", "false")]


class Region(str, enum.Enum):  # noqa: UP042 - the kind whose str() is not its value
    GB = "GB"


REGIONS = [("GB", "GB"), ("xx", "xx"), ("all_regions", "all_regions"), (Region.GB, "GB")]
ALLOWED: dict[tuple[str, str], list[tuple[Any, str]]] = {
    ("hashtags", "page"): PAGES,
    ("hashtags", "limit"): LIMITS,
    ("hashtags", "period"): LIST_PERIODS,
    ("hashtags", "region"): REGIONS,
    ("hashtags", "industry_id"): [
        (None, "nothing"),
        ("nothing", "nothing"),
        (28000000000, "28000000000"),
        ("28000000000", "28000000000"),
        ("new-industry", "new-industry"),
    ],
    ("hashtags", "new_to_top_100"): FLAGS,
    ("hashtag_detail", "period"): LONG_PERIODS,
    ("hashtag_detail", "region"): REGIONS,
    ("hashtag_detail", "hashtag_name"): [
        ("ufc324", "ufc324"),
        ("#ufc324", "ufc324"),
        ("##ufc", "ufc"),
        ("2026", "2026"),
        ("c#", "c%23"),
        ("café & \U0001f436", "caf%C3%A9%20%26%20%F0%9F%90%B6"),
        ("a/b?c=d", "a%2Fb%3Fc%3Dd"),
    ],
    ("videos", "page"): PAGES,
    ("videos", "period"): LIST_PERIODS,
    ("videos", "limit"): LIMITS,
    ("videos", "region"): REGIONS,
    ("videos", "order_by"): [(name, name) for name in ("vv", "like", "comment", "repost")],
    ("music", "search_keyword"): [
        (None, "FALSE"),
        ("FALSE", "FALSE"),
        ("love song", "love%20song"),
        ("5", "5"),
    ],
    ("music", "page"): PAGES,
    ("music", "limit"): LIMITS,
    ("music", "period"): LIST_PERIODS,
    ("music", "region"): REGIONS,
    ("music", "new_to_top_100"): FLAGS,
    ("music", "commercial_music"): FLAGS,
    ("music_detail", "period"): LIST_PERIODS,
    ("music_detail", "region"): REGIONS,
    ("music_detail", "clip_id"): [
        (6703723351497508865, "6703723351497508865"),
        ("6703723351497508865", "6703723351497508865"),
        ("007", "007"),
    ],
}


@pytest.mark.parametrize(
    ("endpoint", "name", "value", "sent"),
    [(*place, *pair) for place, pairs in ALLOWED.items() for pair in pairs],
)
def test_every_documented_value_can_be_set(
    endpoint: str, name: str, value: object, sent: str
) -> None:
    default = dict(part.split("=") for part in DEFAULTS[endpoint].split("&"))
    expected = "&".join(f"{key}={text}" for key, text in {**default, name: sent}.items())
    assert wire(query_of(endpoint, **{name: value})) == expected


def test_the_table_of_values_has_every_parameter() -> None:
    named = {(e, part.split("=")[0]) for e, text in DEFAULTS.items() for part in text.split("&")}
    assert ALLOWED.keys() == named


def test_names_and_ids_can_be_given_by_position() -> None:
    assert wire(query_of("hashtag_detail", "#clean")).endswith("&hashtag_name=clean")
    assert wire(query_of("music_detail", 7)).endswith("&clip_id=7")


# -- what is refused -------------------------------------------------------------------------------

NO_PERIODS: list[object] = [
    0,
    1,
    8,
    -7,
    "",
    "07",
    " 7",
    "7.0",
    "7d",
    7.0,
    True,
    None,
    [7],
    10**5000,
]
NO_NUMBERS: list[object] = [
    *(0, -1, 1.0, True, False, None, "", "0", "-1", "01", "+1", " 1", "1.0", "1e1", "x", "\u0661"),
    *([], {}, b"1", float("nan"), 2**63, 10**5000, -(10**5000), "9" * 5000),
]
NO_FLAGS: list[object] = [0, 1, None, "", "True", "FALSE", "yes", "1", 1.0, []]
NO_TEXTS: list[object] = ["", " ", "\t\n", None, True, 1.5, ["US"], b"US", "\ud800", "a\udfff"]
LONG = "7, 30, 120, 365, 1095"
LIST_RULES: list[tuple[str, list[object], str]] = [
    ("page", NO_NUMBERS, "a whole number of at least 1"),
    ("limit", [*NO_NUMBERS, 21, "21", 100], "a whole number from 1 to 20"),
]
RULES: dict[str, list[tuple[str, list[object], str]]] = {
    "hashtags": [
        *LIST_RULES,
        ("period", [*NO_PERIODS, 365, "1095"], "one of 7, 30, 120"),
        ("region", [*NO_TEXTS, 7], ""),
        ("industry_id", [x for x in NO_TEXTS if x is not None] + [-1, 10**5000], ""),
        ("new_to_top_100", NO_FLAGS, "True, False, 'true' or 'false'"),
    ],
    "hashtag_detail": [
        ("period", NO_PERIODS, f"one of {LONG}"),
        ("region", [*NO_TEXTS, 7], ""),
        ("hashtag_name", [*NO_TEXTS, 7], ""),
        ("hashtag_name", ["#", "##", "# "], "a name, with or without #"),
    ],
    "videos": [
        *LIST_RULES,
        ("period", [*NO_PERIODS, 365], "one of 7, 30, 120"),
        ("region", [*NO_TEXTS, 7], ""),
        ("order_by", ["", "VV", "likes", None, 1, True, []], "one of vv, like, comment, repost"),
    ],
    "music": [
        *LIST_RULES,
        ("period", [*NO_PERIODS, 365], "one of 7, 30, 120"),
        ("region", [*NO_TEXTS, 7], ""),
        ("search_keyword", [x for x in NO_TEXTS if x is not None] + [False, 7], ""),
        ("new_to_top_100", NO_FLAGS, "True, False, 'true' or 'false'"),
        ("commercial_music", NO_FLAGS, "True, False, 'true' or 'false'"),
    ],
    "music_detail": [
        ("period", [*NO_PERIODS, 365], "one of 7, 30, 120"),
        ("region", [*NO_TEXTS, 7], ""),
        ("clip_id", [*NO_TEXTS, -1, 10**5000], ""),
    ],
}


def as_shown(value: object) -> str:
    if isinstance(value, int) and abs(value) >= 10**5000:
        return "an int too long to print"
    return repr(value) if len(repr(value)) <= 100 else repr(value)[:97] + "..."


def text_rule(value: object) -> str:
    """What is allowed where a text is expected."""
    lone = isinstance(value, str) and value.strip()
    return (
        "text that can be sent, without half a character (a lone surrogate)"
        if lone
        else "a non-empty text"
    )


@pytest.mark.parametrize(
    ("endpoint", "rule"), [(e, rule) for e, rules in RULES.items() for rule in rules]
)
def test_what_cannot_be_right_is_refused_by_name(
    endpoint: str, rule: tuple[str, list[object], str]
) -> None:
    name, values, allowed = rule
    for value in values:
        with pytest.raises(ValueError) as caught:
            query_of(endpoint, **{name: value})
        expected = f"{name} must be {allowed or text_rule(value)}, not {as_shown(value)}"
        assert str(caught.value) == expected


@pytest.mark.parametrize("endpoint", DEFAULTS)
def test_nothing_is_sent_when_a_value_is_refused(endpoint: str) -> None:
    session = OneAnswer({})
    with pytest.raises(ValueError):
        finish(getattr(Trending(session), endpoint)(period=8))  # type: ignore[arg-type]
    assert session.query is None


@pytest.mark.parametrize("endpoint", DEFAULTS)
def test_a_misspelt_parameter_is_a_type_error(endpoint: str) -> None:
    for name in (endpoint, f"iter_{endpoint}"):
        if call := getattr(Trending(OneAnswer({})), name, None):  # type: ignore[arg-type]
            with pytest.raises(TypeError, match="unexpected keyword argument 'regoin'"):
                call(regoin="US")
    with pytest.raises(TypeError, match="unexpected keyword argument 'regoin'"):
        CLASSES[endpoint].of(regoin="US")


# -- the iterators ---------------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", LISTS)
@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"page_size": 21}, "page_size must be a whole number from 1 to 20, not 21"),
        ({"page_size": 0}, "page_size must be a whole number from 1 to 20, not 0"),
        ({"start_page": 0}, "start_page must be a whole number of at least 1, not 0"),
        ({"period": 8}, "period must be one of 7, 30, 120, not 8"),
        ({"max_items": -1}, "max_items must be a whole number of at least 0, not -1"),
        ({"max_pages": True}, "max_pages must be a whole number of at least 0, not True"),
        ({"prefetch": -1}, "prefetch must be a whole number of at least 0, not -1"),
        ({"start": "page 3"}, "start must be a Checkpoint or its str(), not 'page 3'"),
        (
            {"start_page": 3, "start": "{}"},
            "start_page=3 and start can't both say where to begin; give one",
        ),
    ],
)
def test_an_iterator_refuses_at_once_what_cannot_be_right(
    endpoint: str, params: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError) as caught:
        getattr(Trending(OneAnswer({})), f"iter_{endpoint}")(**params)  # type: ignore[arg-type]
    assert str(caught.value) == message


@pytest.mark.parametrize("endpoint", LISTS)
def test_an_iterator_asks_for_its_page_size_and_its_filters(endpoint: str) -> None:
    call = getattr(Trending(OneAnswer({})), f"iter_{endpoint}")  # type: ignore[arg-type]
    checkpoint = call(page_size="5", start_page="3", region="GB", period=30).checkpoint()
    changed = {"limit": "5", "region": "GB", "period": "30"}
    expected = {**dict(parse_qsl(DEFAULTS[endpoint])), **changed}
    del expected["page"]
    assert (checkpoint.path, checkpoint.page, checkpoint.params) == (PATHS[endpoint], 3, expected)


COMMON = "page_size=20 start_page=1 start=None max_items=None max_pages=None dedupe=True prefetch=0"
SIGNATURES = {
    "hashtags": "page=1 limit=20 period=7 region='all_regions' industry_id=None"
    " new_to_top_100=False",
    "hashtag_detail": "hashtag_name='ufc324' period=7 region='all_regions'",
    "videos": "page=1 period=7 limit=20 region='US' order_by='vv'",
    "music": "search_keyword=None page=1 limit=20 period=7 region='US' new_to_top_100=False"
    " commercial_music=False",
    "music_detail": "clip_id='6703723351497508865' period=7 region='US'",
    "iter_hashtags": "period=7 region='all_regions' industry_id=None new_to_top_100=False "
    + COMMON,
    "iter_videos": "period=7 region='US' order_by='vv' " + COMMON,
    "iter_music": "search_keyword=None period=7 region='US' new_to_top_100=False"
    " commercial_music=False " + COMMON,
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_the_methods_have_the_designed_parameters(name: str) -> None:
    method = getattr(Trending, name)
    _, *params = inspect.signature(method).parameters.values()
    assert " ".join(f"{p.name}={p.default!r}" for p in params) == SIGNATURES[name]
    positional = [p.name for p in params if p.kind is not p.KEYWORD_ONLY]
    assert positional in ([], ["hashtag_name"], ["clip_id"])
    assert bool(positional) == name.endswith("_detail")
    assert inspect.iscoroutinefunction(method) != name.startswith("iter_")


# -- a query is a value ----------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", CLASSES)
def test_a_query_is_a_value(endpoint: str) -> None:
    cls = CLASSES[endpoint]
    query = cls.of(region="GB", period="30")
    assert query == cls.of(period=30, region="GB") != cls()
    assert len({query, cls.of(region="GB", period=30), cls()}) == 2
    assert pickle.loads(pickle.dumps(query)) == copy.deepcopy(query) == query
    with pytest.raises(FrozenInstanceError):
        query.region = "US"  # type: ignore[attr-defined]


def test_a_query_prints_like_python() -> None:
    assert repr(VideosQuery.of(limit="5")) == (
        "VideosQuery(page=1, period=7, limit=5, region='US', order_by='vv')"
    )


TEXT = st.text(min_size=1).filter(lambda text: text.strip())
BIG = st.integers(1, 2**63 - 1)
LISTED: dict[str, st.SearchStrategy[Any]] = {
    "page": st.integers(1, 10**17),
    "limit": st.integers(1, 20),
    "period": st.sampled_from([7, 30, 120]),
    "region": TEXT.map(lambda text: re.sub(r"\s", "", text)).filter(bool),
    "industry_id": TEXT | BIG | st.none(),
    "new_to_top_100": st.booleans(),
    "commercial_music": st.booleans(),
    "order_by": st.sampled_from(["vv", "like", "comment", "repost"]),
    "search_keyword": TEXT | st.none(),
    "clip_id": TEXT | BIG,
    "hashtag_name": TEXT.filter(lambda text: text.lstrip("#").strip()),
}


@settings(deadline=None)
@given(st.data(), st.sampled_from(sorted(CLASSES)))
def test_the_wire_strings_make_the_same_query_again(data: st.DataObject, endpoint: str) -> None:
    names = re.findall(r"(\w+)=", DEFAULTS[endpoint])
    given_ = data.draw(st.fixed_dictionaries({}, optional={n: LISTED[n] for n in names}))
    query = CLASSES[endpoint].of(**given_)
    text = wire(query)
    assert re.findall(r"(?:^|&)(\w+)=", text) == names
    assert re.fullmatch(r"[\w.~&=%-]+", text, re.ASCII)
    assert CLASSES[endpoint].of(**dict(parse_qsl(text, strict_parsing=True))) == query


@pytest.mark.parametrize("region", [" US", "US ", "U S", "US\n", "US\u2003"])
def test_a_region_has_no_spaces(region: str) -> None:
    with pytest.raises(ValueError, match="region must be a country code without spaces"):
        HashtagsQuery.of(region=region)
