"""The methods: signatures, iterators, and calls by descriptor."""

from __future__ import annotations

import inspect
from typing import Any
from urllib.parse import parse_qsl

import pytest

from keyapi_async import ParameterError
from keyapi_async.trending import Trending
from tests.core.documented_bodies import LISTS
from tests.core.documented_queries import DEFAULTS, PATHS, wire
from tests.core.one_answer import query_of, trending


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
            "start_page must be left out where start says where to begin, not 3",
        ),
    ],
)
def test_an_iterator_refuses_at_once_what_cannot_be_right(
    endpoint: str, params: dict[str, Any], message: str
) -> None:
    with pytest.raises(ParameterError) as caught:
        getattr(trending(), f"iter_{endpoint}")(**params)
    assert str(caught.value) == message


@pytest.mark.parametrize("endpoint", LISTS)
def test_an_iterator_asks_for_its_page_size_and_its_filters(endpoint: str) -> None:
    call = getattr(trending(), f"iter_{endpoint}")
    checkpoint = call(page_size="5", start_page="3", region="GB", period=30).checkpoint()
    changed = {"limit": "5", "region": "GB", "period": "30"}
    expected = {**dict(parse_qsl(DEFAULTS[endpoint])), **changed}
    del expected["page"]
    assert (checkpoint.path, checkpoint.page, checkpoint.params) == (PATHS[endpoint], 3, expected)


SIGNATURES = {
    "hashtags": "page=1 limit=20 period=7 region='all_regions' industry_id=None"
    " new_to_top_100=False",
    "hashtag_detail": "hashtag_name='ufc324' period=7 region='all_regions'",
    "videos": "page=1 period=7 limit=20 region='US' order_by='vv'",
    "music": "search_keyword=None page=1 limit=20 period=7 region='US' new_to_top_100=False"
    " commercial_music=False",
    "music_detail": "clip_id='6703723351497508865' period=7 region='US'",
    "iter_hashtags": "period=7 region='all_regions' industry_id=None new_to_top_100=False",
    "iter_videos": "period=7 region='US' order_by='vv'",
    "iter_music": "search_keyword=None period=7 region='US' new_to_top_100=False"
    " commercial_music=False",
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_the_methods_have_the_designed_parameters(name: str) -> None:
    method = getattr(Trending, name)
    _, *params = inspect.signature(method).parameters.values()
    if name.startswith("iter_"):
        *params, paging = params
        assert (paging.kind, paging.annotation) == (paging.VAR_KEYWORD, "Unpack[Paging]")
    assert " ".join(f"{p.name}={p.default!r}" for p in params) == SIGNATURES[name]
    positional = [p.name for p in params if p.kind is not p.KEYWORD_ONLY]
    assert positional in ([], ["hashtag_name"], ["clip_id"])
    assert bool(positional) == name.endswith("_detail")
    assert inspect.iscoroutinefunction(method) != name.startswith("iter_")


def test_names_and_ids_can_be_given_by_position() -> None:
    assert wire(query_of("hashtag_detail", "#clean")).endswith("&hashtag_name=clean")
    assert wire(query_of("music_detail", 7)).endswith("&clip_id=7")
