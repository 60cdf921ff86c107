"""The methods: signatures, iterators, and calls by descriptor."""

from __future__ import annotations

import inspect
import pickle
from typing import Any
from urllib.parse import parse_qsl

import pytest

from keyapi_async import (
    HashtagDetail,
    HashtagDetailQuery,
    HashtagsQuery,
    KeyAPIClient,
    MusicDetailQuery,
    MusicQuery,
    ParameterError,
    VideosQuery,
)
from keyapi_async.sandbox import Sandbox
from keyapi_async.trending import Trending
from tests.core.documented_bodies import LISTS
from tests.core.documented_queries import DEFAULTS, PATHS, wire
from tests.core.listings import ids, pages_asked
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


# -- by descriptor ---------------------------------------------------------------------------------


async def test_a_page_by_its_query_is_that_of_the_method(
    sandbox: Sandbox, client: KeyAPIClient
) -> None:
    pages = [
        await client.trending.page(MusicQuery(page=2, limit=7, region="GB")),
        await client.trending.music(page=2, limit=7, region="GB"),
    ]
    assert pages[0].items == pages[1].items
    assert (pages[0].number, pages[0].size, len(pages[0].items)) == (2, 7, 7)
    assert len({request.query for request in sandbox.requests}) == 1


async def test_a_detail_by_its_query_is_that_of_the_method(
    sandbox: Sandbox, client: KeyAPIClient
) -> None:
    trending = client.trending
    hashtag = HashtagDetailQuery(hashtag_name="clean", period=365)
    assert await trending.detail(hashtag) == await trending.hashtag_detail("#clean", period=365)
    sound = MusicDetailQuery(clip_id=7, region="GB")
    assert await trending.detail(sound) == await trending.music_detail("7", region="GB")
    assert len({request.query for request in sandbox.requests}) == 2


async def test_a_detail_knows_the_id_of_its_answer(client: KeyAPIClient) -> None:
    for call in (client.trending.hashtag_detail, client.trending.music_detail):
        one, other = await call(), await call()
        assert one == other
        assert one.request_id
        assert one.request_id != other.request_id
        assert pickle.loads(pickle.dumps(one)).request_id == one.request_id
    music = await client.trending.music_detail()
    assert music.sound.raw == music.raw["sound"]
    assert HashtagDetail(hashtag_id="1", hashtag_name="a").request_id is None


async def test_the_detail_of_every_item_of_a_page_can_be_asked_for(client: KeyAPIClient) -> None:
    for query in (HashtagsQuery(limit=3, region="GB"), MusicQuery(limit=3)):
        for item in (await client.trending.page(query)).items:
            detail = query.detail(item)
            assert detail is not None
            found = await client.trending.detail(detail)
            assert detail.id_of(found) == query.id_of(item)


async def test_an_iterator_by_its_query_begins_at_its_page_with_its_limit(
    sandbox: Sandbox, client: KeyAPIClient
) -> None:
    query = HashtagsQuery(page=3, limit=10)
    items = await client.trending.iterate(query, max_items=15).collect()
    assert [item.hashtag_id for item in items] == ids(sandbox)[20:35]
    assert pages_asked(sandbox) == [3, 4]
    items = await client.trending.iterate(query, page_size=20, start_page="5").collect()
    assert [item.hashtag_id for item in items] == ids(sandbox)[80:]


def test_a_query_of_a_later_page_can_not_go_with_a_checkpoint() -> None:
    start = trending().iterate(VideosQuery()).checkpoint()
    assert trending().iterate(VideosQuery(), start=start).checkpoint() == start
    with pytest.raises(ParameterError, match=r"^start_page must be left out .*, not 3$"):
        trending().iterate(VideosQuery(page=3), start=start)


@pytest.mark.parametrize("endpoint", LISTS)
def test_a_misspelt_option_of_an_iterator_is_a_type_error(endpoint: str) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'page_siz'"):
        getattr(trending(), f"iter_{endpoint}")(page_siz=3)
