"""Models in one's hands: nothing is lost, plain data, values, small comforts."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest
from attrs.exceptions import FrozenInstanceError

from keyapi_async import Hashtag, TrendPoint, to_dict
from tests.core.documented_bodies import DETAILS, ENDPOINTS, LISTS, example
from tests.core.full_items import FULL, at, places
from tests.core.one_answer import read, read_item

# -- nothing is lost -------------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize(
    "new", [{"novel": {"a": [1, None]}}, {"raw": 5}, {"raw": None}, {"extra": 1, "raw": {}}]
)
def test_unknown_fields_are_in_extra_whatever_their_name(
    endpoint: str, new: dict[str, Any]
) -> None:
    item = {**FULL[endpoint], **new}
    model = read_item(endpoint, item)
    assert model.extra == new
    assert model.raw == item
    assert to_dict(model)["extra"] == new
    assert model == read_item(endpoint, FULL[endpoint])


def test_unknown_fields_of_smaller_objects_are_in_raw() -> None:
    item = {**FULL["hashtags"], "trend": [{"time": 1, "novel": 2}]}
    hashtag = read_item("hashtags", item)
    assert hashtag.extra == {}
    assert hashtag.raw == item


def test_unknown_fields_of_a_music_detail_are_in_extra() -> None:
    detail = read("music_detail", {"sound": {"clip_id": "1"}, "novel": 1, "raw": 2})
    assert detail.extra == {"novel": 1, "raw": 2}
    assert to_dict(detail)["extra"] == {"novel": 1, "raw": 2}


# -- values ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_models_are_values(endpoint: str) -> None:
    model, same = (read_item(endpoint, FULL[endpoint]) for _ in range(2))
    other = read_item(endpoint, {**FULL[endpoint], "trend": [], "title": "other"})
    assert model == same != other
    assert len({model, same, other}) == 2
    assert model.raw is not same.raw
    assert "raw" not in repr(model)
    for path in [(), *places(FULL[endpoint])]:
        part = at(model, path)
        if attrs.has(type(part)):
            assert not hasattr(part, "__dict__")
            with pytest.raises(FrozenInstanceError):
                setattr(part, attrs.fields(type(part))[0].name, None)


@pytest.mark.parametrize("endpoint", [*LISTS, *DETAILS])
def test_copies_and_pickles_keep_raw(endpoint: str) -> None:
    data = {**example(endpoint)["data"], "novel": 1}
    model = read(endpoint, data)
    for twin in (pickle.loads(pickle.dumps(model)), copy.copy(model), copy.deepcopy(model)):
        assert twin == model
        assert hash(twin) == hash(model)
        assert twin.raw == model.raw == (data if endpoint != "hashtag_detail" else data["info"])
        if endpoint in LISTS:
            assert twin.items[0].raw == data[LISTS[endpoint]][0]


# -- small comforts --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("time", "moment"),
    [
        (1769472000, datetime(2026, 1, 27, tzinfo=UTC)),
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        (-1, datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (None, None),
        (10**12, None),
        (10**15, None),
        (-(10**15), None),
        (2**80, None),
        (-(10**400), None),
    ],
)
def test_the_time_of_a_trend_point(time: int | None, moment: datetime | None) -> None:
    assert TrendPoint(time=time).at == moment
    assert moment is None or moment.tzinfo is UTC


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("ufc324", "https://www.tiktok.com/tag/ufc324"),
        ("café/?#", "https://www.tiktok.com/tag/caf%C3%A9%2F%3F%23"),
        ("\U0001f436", "https://www.tiktok.com/tag/%F0%9F%90%B6"),
        ("cut \ud83d", "https://www.tiktok.com/tag/cut%20%3F"),
    ],
)
def test_the_url_of_a_hashtag(name: str, url: str) -> None:
    assert Hashtag(hashtag_id="1", hashtag_name=name).url == url
