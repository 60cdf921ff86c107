"""Checkpoints: written down, read back, refused; a pager that goes on from one."""

from __future__ import annotations

import pickle
from contextlib import aclosing
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keyapi_async import (
    Checkpoint,
    ParameterError,
)
from tests.core.documented_bodies import LISTS
from tests.core.documented_queries import DEFAULTS, PATHS
from tests.core.listings import ids
from tests.core.one_answer import trending

HASHTAGS = "/v1/tiktok/trending/hashtags"
PLACE = Checkpoint(path=HASHTAGS, params={"limit": "20"}, page=3, offset=7, seen=("1", "\ud83d"))


def test_a_checkpoint_is_written_as_json() -> None:
    text = str(PLACE)
    assert text == (
        '{"path":"/v1/tiktok/trending/hashtags","params":{"limit":"20"},"page":3,"offset":7,'
        '"seen":["1","\\ud83d"]}'
    )
    assert Checkpoint.parse(text) == PLACE
    assert {PLACE, Checkpoint.parse(text)} == {PLACE}
    assert pickle.loads(pickle.dumps(PLACE)) == PLACE


TEXTS = st.text(st.characters(), max_size=9)  # lone surrogates are among these


@settings(deadline=None)
@given(
    st.builds(
        Checkpoint,
        path=TEXTS,
        params=st.dictionaries(TEXTS, TEXTS, max_size=4),
        page=st.integers(1, 2**63 - 1) | st.none(),
        offset=st.integers(0),
        seen=st.lists(TEXTS, max_size=4).map(tuple),
    )
)
def test_a_checkpoint_is_read_back_as_written(checkpoint: Checkpoint) -> None:
    text = str(checkpoint)
    assert text.isascii()
    assert text.isprintable()
    assert Checkpoint.parse(text) == checkpoint


FIELDS = '"path": "/v1", "params": {}'


def test_what_a_checkpoint_may_leave_out_and_what_a_later_version_may_add() -> None:
    assert Checkpoint.parse(f'{{{FIELDS}, "page": null, "novel": 1}}') == Checkpoint(
        path="/v1", params={}, page=None, offset=0, seen=()
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "page 3",
        "null",
        "[]",
        "{}",
        "3",
        '{"path": "/v1", "page": 1}',
        f"{{{FIELDS}}}",
        f'{{{FIELDS}, "page": 1',
        f'{{{FIELDS}, "page": 0}}',
        f'{{{FIELDS}, "page": -1}}',
        f'{{{FIELDS}, "page": "1"}}',
        f'{{{FIELDS}, "page": 1.0}}',
        f'{{{FIELDS}, "page": true}}',
        f'{{{FIELDS}, "page": NaN}}',
        f'{{{FIELDS}, "page": {2**63}}}',
        f'{{{FIELDS}, "page": {"9" * 5000}}}',
        f'{{{FIELDS}, "page": 1, "offset": -1}}',
        f'{{{FIELDS}, "page": 1, "offset": null}}',
        f'{{{FIELDS}, "page": 1, "seen": null}}',
        f'{{{FIELDS}, "page": 1, "seen": [1]}}',
        f'{{{FIELDS}, "page": 1, "seen": "12"}}',
        '{"path": 1, "params": {}, "page": 1}',
        '{"path": "/v1", "params": {"limit": 20}, "page": 1}',
        '{"path": "/v1", "params": [], "page": 1}',
        f'{{{FIELDS}, "page": 1, "\\ud800": 1}}',
        "[" * 100_000,
        '{"a":' * 100_000,
        "\ud800",
        "\x00",
        "x" * 10**7,
    ],
    ids=lambda text: ascii(text[-30:]) + str(len(text)),
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(
        ParameterError, match=r"^start must be a Checkpoint or its str\(\), not "
    ) as e:
        Checkpoint.parse(text)
    assert len(str(e.value)) < 200


@pytest.mark.parametrize("value", [None, 3, b"{}", PLACE])
def test_what_is_no_text_is_no_checkpoint(value: Any) -> None:
    with pytest.raises(ParameterError, match=r"^start must be a Checkpoint or its str\(\), not "):
        Checkpoint.parse(value)


@settings(deadline=None)
@given(st.integers(0, 140), st.integers(0, 20), st.text(st.characters(), max_size=5))
def test_a_damaged_checkpoint_is_refused_or_still_a_place(at: int, cut: int, new: str) -> None:
    text = str(PLACE)
    place, refusal = None, ""
    try:
        place = Checkpoint.parse(text[:at] + new + text[at + cut :])
    except ParameterError as error:
        refusal = str(error)
    if place is None:
        assert refusal.startswith("start must be a Checkpoint or its str(), not ")
    else:
        assert place.page is None or place.page >= 1
        assert place.offset >= 0
        assert Checkpoint.parse(str(place)) == place


@pytest.mark.parametrize("endpoint", LISTS)
def test_a_checkpoint_goes_on_with_the_same_list_alone(endpoint: str) -> None:
    begin = getattr(trending(), f"iter_{endpoint}")
    place = begin(region="GB", start_page=4, page_size=5).checkpoint()
    again = begin(region="GB", page_size=5, start=str(place)).checkpoint()
    assert again == place == begin(region="GB", page_size=5, start=place).checkpoint()
    assert again.page == 4

    def refusal(**params: Any) -> str:
        with pytest.raises(ParameterError) as caught:
            begin(**{"region": "GB", "page_size": 5, "start": str(place)} | params)
        assert (caught.value.parameter, caught.value.value) == ("start", str(place))
        return caught.value.allowed

    same = "of the same list (it was made with "
    assert refusal(region="FR") == f"{same}region='GB', not 'FR')"
    assert refusal(page_size=20) == f"{same}page_size='5', not '20')"
    assert refusal(period=30) == f"{same}period='7', not '30')"


def test_a_checkpoint_of_another_endpoint_is_refused_by_name() -> None:
    place = Checkpoint(path="/v1/tiktok/trending/music", params={}, page=1)
    with pytest.raises(ParameterError) as caught:
        trending().iter_videos(start=place)
    assert str(caught.value).startswith(
        "start must be of the same list (it was made with path='/v1/tiktok/trending/music', "
        "not '/v1/tiktok/trending/videos'), not '{"
    )


def test_a_checkpoint_with_a_parameter_missing_or_too_many_is_refused() -> None:
    params = dict(parse_qsl(DEFAULTS["music"]))
    del params["page"]
    path = PATHS["music"]
    right = Checkpoint(path=path, params=params, page=1)
    assert trending().iter_music(start=right).checkpoint() == right
    for wrong, name in [
        ({**params, "novel": "1"}, "novel='1', not None"),
        ({k: v for k, v in params.items() if k != "limit"}, "page_size=None, not '20'"),
    ]:
        with pytest.raises(ParameterError, match=f"it was made with {name}"):
            trending().iter_music(start=Checkpoint(path=path, params=wrong, page=1))


@pytest.mark.parametrize("prefetch", [0, 2])
@pytest.mark.parametrize("taken", [0, 1, 19, 20, 21, 99, 100])
async def test_a_checkpoint_resumes_with_the_next_item(sandbox, client, taken, prefetch):
    pager = client.trending.iter_hashtags(max_items=taken, prefetch=prefetch)
    first = [item.hashtag_id async for item in pager]
    text = str(pager.checkpoint())
    before = len(sandbox.requests)
    again = client.trending.iter_hashtags(start=text, prefetch=prefetch)
    assert again.checkpoint() == pager.checkpoint()
    rest = [item.hashtag_id async for item in again]
    assert first + rest == ids(sandbox)
    assert len(sandbox.requests) - before == {0: 5, 1: 5, 19: 5, 20: 4, 21: 4, 99: 1, 100: 0}[taken]


async def test_a_checkpoint_in_the_middle_of_an_iteration(sandbox, client):
    pager = client.trending.iter_hashtags()
    async with aclosing(aiter(pager)) as items:
        found = [(await anext(items)).hashtag_id for _ in range(33)]
    checkpoint = pager.checkpoint()
    assert (checkpoint.page, checkpoint.offset, len(checkpoint.seen)) == (2, 13, 33)
    again = client.trending.iter_hashtags(start=Checkpoint.parse(str(checkpoint)))
    assert found + [item.hashtag_id async for item in again] == ids(sandbox)


async def test_without_dedupe_a_checkpoint_skips_by_offset(sandbox, client):
    pager = client.trending.iter_hashtags(dedupe=False, max_items=25)
    first = await pager.collect()
    again = client.trending.iter_hashtags(dedupe=False, start=pager.checkpoint())
    assert [i.hashtag_id for i in first + await again.collect()] == ids(sandbox)


async def test_resuming_with_other_filters_is_refused(client):
    checkpoint = client.trending.iter_hashtags(region="US").checkpoint()
    with pytest.raises(ParameterError, match=r"region='US'.*'GB'"):
        client.trending.iter_hashtags(region="GB", start=checkpoint)
    with pytest.raises(ParameterError, match="hashtags"):
        client.trending.iter_videos(start=checkpoint)
    with pytest.raises(ParameterError, match=r"page_size='20'.*'10'"):
        client.trending.iter_hashtags(region="US", page_size=10, start=checkpoint)
    with pytest.raises(ParameterError, match="start_page must be left out"):
        client.trending.iter_hashtags(region="US", start=checkpoint, start_page=2)
