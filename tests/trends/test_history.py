"""One item's history, in all lists."""

from __future__ import annotations

from pathlib import Path

import pytest

from keyapi_async import HashtagsQuery, MusicQuery, ParameterError, VideosQuery, trends
from tests.trends.scripted import Listing, add_day, day

US = HashtagsQuery(region="US")
GB = HashtagsQuery(region="GB", period=30)
VIDEOS = VideosQuery()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "trends.sqlite"
    add_day(path, day(1), {US: Listing("ab", views={"a": 5}), GB: Listing("b")})
    add_day(path, day(2), {US: Listing("b"), GB: Listing("ba")})
    add_day(path, day(3), {US: Listing("b").cut(), VIDEOS: Listing("a")})
    add_day(path, day(4), {US: Listing("ba").cut(), GB: Listing("b"), VIDEOS: Listing("ca")})
    return path


def test_an_item_by_its_id_in_every_list_of_every_endpoint(path: Path) -> None:
    us, gb, videos = trends.history(path, None, "a")
    assert (us.query, gb.query, videos.query) == (US, GB, VIDEOS)
    assert us.days == ((day(1), 1, 5), (day(2), None, None), (day(4), 2, None))
    assert gb.days == ((day(1), None, None), (day(2), 2, None), (day(4), None, None))
    assert videos.days == ((day(3), 1, None), (day(4), 2, None))
    assert (us.best_rank, us.days_listed) == (1, 2)


def test_an_item_by_its_name(path: Path) -> None:
    for name in ("name of a", "#Name of A"):
        found = trends.history(path, "hashtags", name, region=["US", "GB"], period=7)
        assert [(one.query, one.item_id, one.name) for one in found] == [(US, "a", "name of a")]


def test_several_items_of_one_name_are_those_of_the_newest_day(path: Path) -> None:
    music = MusicQuery()
    rows = [{"clip_id": n, "title": "Sun" if n else None} for n in range(3)]
    add_day(path, day(5), {music: Listing(rows[:2])})
    add_day(path, day(6), {music: Listing(rows)})
    found = trends.history(path, "music", "sun")
    assert [(one.item_id, one.days_listed) for one in found] == [("1", 2), ("2", 1)]
    (unnamed,) = trends.history(path, "music", "0")
    assert unnamed.name == "0"


def test_an_item_that_is_nowhere(path: Path) -> None:
    assert trends.history(path, None, "z") == []
    with pytest.raises(ParameterError, match="region must be in these files: GB, US, not 'FR'"):
        trends.history(path, None, "a", region="FR")


def test_several_files_are_one_history(path: Path) -> None:
    other = path.with_name("other.sqlite")
    add_day(other, day(3), {GB: Listing("ca")})
    assert trends.history([other, path], "hashtags", "a", region="GB")[0].days == (
        (day(1), None, None),
        (day(2), 2, None),
        (day(3), 2, None),
        (day(4), None, None),
    )


def test_it_gives_plain_data(path: Path) -> None:
    (found,) = trends.history(path, "videos", "a")
    assert found.to_dict() == {
        "endpoint": "videos",
        "query": {"period": "7", "region": "US", "order_by": "vv"},
        "item_id": "a",
        "name": "name of a",
        "best_rank": 1,
        "days_listed": 2,
        "days": [
            {"day": "2026-02-03", "rank": 1, "views": None},
            {"day": "2026-02-04", "rank": 2, "views": None},
        ],
    }
