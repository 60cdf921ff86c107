"""Queries: the documented defaults byte for byte, every value taken, every wrong one refused."""

from __future__ import annotations

import copy
import enum
import inspect
import pickle
import re
from typing import Any, get_type_hints
from urllib.parse import parse_qsl

import attrs
import pytest
from attrs.exceptions import FrozenInstanceError
from hypothesis import given, settings
from hypothesis import strategies as st

from keyapi_async import (
    ENDPOINTS,
    DetailQuery,
    Hashtag,
    HashtagDetailQuery,
    HashtagsQuery,
    ListQuery,
    MusicDetailQuery,
    MusicQuery,
    Sound,
    Video,
    VideosQuery,
    reference,
)
from keyapi_async.trending import Trending
from tests.core.documented_bodies import example
from tests.core.documented_queries import CLASSES, DEFAULTS, PATHS, wire
from tests.core.full_items import at
from tests.core.one_answer import query_of, read

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


# -- what is refused -------------------------------------------------------------------------------


# -- the iterators ---------------------------------------------------------------------------------


# -- a query is a value ----------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", CLASSES)
def test_a_query_is_a_value(endpoint: str) -> None:
    cls = CLASSES[endpoint]
    query = cls(region="GB", period="30")
    assert query == cls(period=30, region="GB") != cls()
    assert len({query, cls(region="GB", period=30), cls()}) == 2
    assert pickle.loads(pickle.dumps(query)) == copy.deepcopy(query) == query
    with pytest.raises(FrozenInstanceError):
        query.region = "US"  # type: ignore[attr-defined]


def test_a_query_prints_like_python() -> None:
    assert repr(VideosQuery(limit="5")) == (
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
    query = CLASSES[endpoint](**given_)
    text = wire(query)
    assert re.findall(r"(?:^|&)(\w+)=", text) == names
    assert re.fullmatch(r"[\w.~&=%-]+", text, re.ASCII)
    assert CLASSES[endpoint](**dict(parse_qsl(text, strict_parsing=True))) == query


# -- descriptors -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ENDPOINTS)
def test_a_descriptor_agrees_with_its_shape_its_model_and_its_method(name: str) -> None:
    query = ENDPOINTS[name]
    assert (query.name, query) == (name, CLASSES[name])
    assert inspect.iscoroutinefunction(getattr(Trending, name))
    assert query.noun in ("hashtag", "video", "sound")
    model = read(name, example(name)["data"])
    if issubclass(query, ListQuery):
        shape = get_type_hints(query.shape)
        assert shape.keys() == {query.data_key, "pagination"}
        assert shape[query.data_key] == tuple[query.item, ...]
        assert hasattr(Trending, f"iter_{name}")
        [model] = model.items
    else:
        assert issubclass(query, DetailQuery)
        assert query.subject in attrs.fields_dict(query)
        if query.data_key:
            assert get_type_hints(query.shape)[query.data_key] is query.item
        else:
            assert query.shape is query.item
    assert type(model) is query.item
    assert query.id_of(model) == str(at(model, tuple(query.item_key.split("."))))
    assert "" not in query.regions
    assert query().region in query.regions  # type: ignore[attr-defined]


def test_the_regions_of_a_descriptor() -> None:
    assert HashtagsQuery.regions == {"all_regions": "All regions", **reference.REGIONS}
    assert HashtagDetailQuery.regions == HashtagsQuery.regions
    assert MusicQuery.regions == MusicDetailQuery.regions == reference.REGIONS
    assert VideosQuery.regions == reference.VIDEO_REGIONS
    with pytest.raises(TypeError):
        VideosQuery.regions["XX"] = "nowhere"  # type: ignore[index]
    with pytest.raises(TypeError):
        ENDPOINTS["novel"] = VideosQuery  # type: ignore[index]


def test_a_list_leads_to_the_detail_of_an_item_in_the_same_region_and_period() -> None:
    hashtag, sound = Hashtag(hashtag_id="1", hashtag_name="clean"), Sound(clip_id="7")
    assert HashtagsQuery(region="GB", period=30, page=2).detail(hashtag) == HashtagDetailQuery(
        region="GB", period=30, hashtag_name="clean"
    )
    assert MusicQuery(region="GB", search_keyword="x").detail(sound) == MusicDetailQuery(
        region="GB", clip_id="7"
    )
    assert VideosQuery().detail(Video(item_id="1")) is None


def test_an_item_whose_name_can_not_be_asked_for_has_no_detail() -> None:
    assert HashtagsQuery().detail(Hashtag(hashtag_id="1", hashtag_name="#")) is None


@pytest.mark.parametrize("endpoint", CLASSES)
def test_a_number_and_its_digits_are_one_query(endpoint: str) -> None:
    cls: Any = CLASSES[endpoint]
    assert cls(period=30) == cls(period="30")
    assert hash(cls(period=30)) == hash(cls(period="30"))
    assert repr(cls(period=30)) == repr(cls(period="30"))
    assert {cls(period=7), cls(period="7"), cls()} == {cls()}


def test_queries_of_different_endpoints_are_never_equal() -> None:
    assert len({cls() for cls in CLASSES.values()}) == 5
