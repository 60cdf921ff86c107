"""Known regions and industries: data for completion and crawls, all of it usable as filters."""

from __future__ import annotations

import re

import pytest

from keyapi_async.queries import HashtagsQuery, MusicQuery, VideosQuery
from keyapi_async.reference import INDUSTRIES, REGIONS, VIDEO_REGIONS


def test_the_lists_are_complete() -> None:
    assert (len(REGIONS), len(VIDEO_REGIONS), len(INDUSTRIES)) == (71, 25, 18)
    assert VIDEO_REGIONS.keys() - REGIONS.keys() == {"RU"}
    assert {REGIONS["US"], VIDEO_REGIONS["US"]} == {"United States"}
    assert INDUSTRIES["28000000000"] == "Sports & Outdoor"


@pytest.mark.parametrize("names", [REGIONS, VIDEO_REGIONS, INDUSTRIES])
def test_codes_are_sorted_and_names_are_clean(names: dict[str, str]) -> None:
    assert list(names) == sorted(names)
    assert all(name and name == name.strip() for name in names.values())
    assert len(set(names.values())) == len(names)


def test_all_of_it_can_be_asked_for() -> None:
    for code in REGIONS:
        assert re.fullmatch("[A-Z]{2}", code)
        assert HashtagsQuery(region=code).region == MusicQuery(region=code).region == code
    for code in VIDEO_REGIONS:
        assert VideosQuery(region=code).region == code
    for industry in INDUSTRIES:
        assert re.fullmatch("[1-9][0-9]{10}", industry)
        assert HashtagsQuery(industry_id=int(industry)).industry_id == industry
