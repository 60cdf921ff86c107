"""What a query refuses: by name, with what it got and what is allowed; nothing is sent."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyapi_async import ParameterError
from keyapi_async.converter import wire_params
from keyapi_async.queries import (
    HashtagsQuery,
)
from keyapi_async.trending import Trending
from tests.core.documented_bodies import ENDPOINTS
from tests.core.documented_queries import CLASSES, DEFAULTS
from tests.core.json_strategies import JSON, calm
from tests.core.one_answer import OneAnswer, finish, query_of, trending

ANYTHING = (
    JSON | st.binary(max_size=5) | st.complex_numbers() | st.tuples(st.integers()) | st.just(...)
)


PARAMETERS = {
    endpoint: sorted(wire_params(query_of(endpoint)))  # all there are: see test_queries
    for endpoint in ENDPOINTS
}


@calm
@given(
    st.sampled_from([(endpoint, name) for endpoint in ENDPOINTS for name in PARAMETERS[endpoint]]),
    ANYTHING,
)
def test_any_value_of_a_parameter_is_sent_or_refused_by_name(
    place: tuple[str, str], value: Any
) -> None:
    endpoint, name = place
    params, refusal = {}, None
    try:
        params = wire_params(query_of(endpoint, **{name: value}))
    except ParameterError as error:
        refusal = error
    if refusal:
        assert refusal.parameter == name
        assert refusal.value is value
        assert str(refusal).startswith(f"{name} must be ")
        assert len(str(refusal)) < 250
    else:
        assert sorted(params) == PARAMETERS[endpoint]
        assert all(type(text) is str and text.encode() for text in params.values())


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
        with pytest.raises(ParameterError) as caught:
            query_of(endpoint, **{name: value})
        expected = f"{name} must be {allowed or text_rule(value)}, not {as_shown(value)}"
        assert str(caught.value) == expected


@pytest.mark.parametrize("endpoint", DEFAULTS)
def test_nothing_is_sent_when_a_value_is_refused(endpoint: str) -> None:
    session = OneAnswer({})
    with pytest.raises(ParameterError):
        finish(getattr(Trending(session), endpoint)(period=8))  # type: ignore[arg-type]
    assert session.query is None


@pytest.mark.parametrize("endpoint", DEFAULTS)
def test_a_misspelt_parameter_is_a_type_error(endpoint: str) -> None:
    for name in (endpoint, f"iter_{endpoint}"):
        if call := getattr(trending(), name, None):
            with pytest.raises(TypeError, match="unexpected keyword argument 'regoin'"):
                call(regoin="US")
    with pytest.raises(TypeError, match="unexpected keyword argument 'regoin'"):
        CLASSES[endpoint](regoin="US")


@pytest.mark.parametrize("region", [" US", "US ", "U S", "US\n", "US\u2003"])
def test_a_region_has_no_spaces(region: str) -> None:
    with pytest.raises(ParameterError, match="region must be a country code without spaces"):
        HashtagsQuery(region=region)
