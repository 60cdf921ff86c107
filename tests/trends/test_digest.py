"""What moved, as a text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from keyapi_async import HashtagsQuery, MusicQuery, VideosQuery, trends
from tests.trends.scripted import Listing, add_day, day

US = HashtagsQuery(region="US")
GB = HashtagsQuery(region="GB", industry_id=19000000000)
MUSIC = MusicQuery(period=30, search_keyword="sun", commercial_music=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "trends.sqlite"


def test_it_groups_what_moved(path: Path) -> None:
    add_day(path, day(1), {US: Listing("zr"), MUSIC: Listing("ab")})
    add_day(path, day(2), {US: Listing("abcdf", views={"b": 1000}), GB: Listing("b")})
    views = {"b": 1_234_567, "n": 5}
    add_day(
        path, day(4), {US: Listing("nbacfr", views=views), GB: Listing("b"), MUSIC: Listing("ba")}
    )
    movers = trends.movers(path)
    assert trends.write_digest(movers, list(movers)) == """\
## TikTok trends, 2026-02-04
2 lists: compared with 2026-02-02; 2026-02-03 has no complete list.
1 list: compared with 2026-02-01; 2026-02-02 to 2026-02-03 have no complete list.

### Risen
- **name of b** 2 → 1 (sounds, US, 30 days, search keyword sun, commercial music)

### New
- **name of n** at 1 (hashtags, US, 7 days; 5 views)

### Back
- **name of r** at 6 (hashtags, US, 7 days)

### Fallen
- **name of a** 1 → 3 (hashtags, US, 7 days)
- **name of c** 3 → 4 (hashtags, US, 7 days)
- **name of a** 1 → 2 (sounds, US, 30 days, search keyword sun, commercial music)

### Gone
- **name of d**, 4 before (hashtags, US, 7 days)"""  # fmt: skip


def rows(*names: str) -> Listing:
    return Listing([{"item_id": name, "title": name} for name in names])


def test_names_are_shown_as_they_are(path: Path) -> None:
    names = ("<!channel> & *bold* [a](b)", "x\ny\x1b")
    videos = VideosQuery(region="US")
    add_day(path, day(1), {videos: rows(*names), VideosQuery(region="GB"): rows(*names)})
    add_day(
        path, day(2), {videos: rows(*names[::-1]), VideosQuery(region="GB"): rows("new", *names)}
    )
    movers = trends.movers(path)

    def lines(**options: Any) -> list[str]:
        return trends.write_digest(movers, list(movers), **options).splitlines()

    assert lines()[3:5] == [
        "### Risen",
        "- **x y** 2 → 1 (videos, US, 7 days; in 2 regions)",
    ]
    assert (
        r"- **\<!channel\> \& \*bold\* \[a\](b)** 1 → 2 (videos, US, 7 days; in 2 regions)"
        in lines()
    )
    assert lines(style="slack")[:2] == ["*TikTok trends, 2026-02-02*", "Compared with 2026-02-01."]
    told = "• &lt;!channel&gt; &amp; *bold* [a](b) 1 → 2 (videos, US, 7 days; in 2 regions)"
    assert told in lines(style="slack")
    assert lines(most=160)[-2:] == [lines()[4], "… and 4 more"]


def test_days_without_moves(path: Path) -> None:
    add_day(path, day(1), {US: Listing("ab").cut()})
    movers = trends.movers(path)
    text = trends.write_digest(movers, list(movers))
    assert text == "## TikTok trends, no complete day\nNothing moved."
    add_day(path, day(2), {US: Listing("ab")})
    movers = trends.movers(path)
    assert trends.write_notes(movers) == ["It has no complete list before 2026-02-02."]
