"""How a single hashtag or sound looks on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from keyapi_async.models import HashtagDetail, MusicDetail, SoundDetail

from .tables import minutes, short, sparkline, text

MOST = 8
"""So many entries of a long list are shown; JSON has all."""

_WIDE = 60


def hashtag_panel(tag: HashtagDetail) -> Panel:
    """One hashtag; counts of the period and, behind a slash, of all time and world-wide."""
    rows = [
        ("Description", text(tag.description)),
        ("Page", text(tag.video_url)),
        ("Industry", text(tag.industry_info and tag.industry_info.value)),
        ("Posts", _both(tag.publish_cnt, tag.publish_cnt_all)),
        ("Views", _both(tag.video_views, tag.video_views_all)),
        ("Trend", sparkline(tag.trend, _WIDE)),
        *_audience(tag),
        ("Related", _listed(f"#{each.hashtag_name}" for each in tag.related_hashtags)),
    ]
    return _panel(f"#{tag.hashtag_name}", rows)


def sound_panel(detail: MusicDetail) -> Panel:
    """One sound."""
    sound = detail.sound
    rows = [
        ("Author", text(sound.author)),
        ("Page", text(sound.link)),
        ("Clip", text(sound.clip_id)),
        ("Time", minutes(sound.duration)),
        ("Rank", text(sound.rank)),
        ("Likes", short(detail.like_count)),
        ("Trend", sparkline(sound.trend, _WIDE)),
        *_audience(sound),
    ]
    return _panel(sound.title or sound.clip_id, rows)


def _audience(item: HashtagDetail | SoundDetail) -> Iterator[tuple[str, Text]]:
    days = item.longevity and item.longevity.popular_days
    yield "Popular", text(None if days is None else f"{days} day{'' if days == 1 else 's'}")
    ages = [(f"level {age.age_level}", age.score) for age in item.audience_ages]
    yield "Ages", _ranked(ages, "%")
    countries = [(each.country_info, each.score) for each in item.audience_countries]
    yield "Countries", _ranked([(info.value, score) for info, score in countries if info])
    interests = [(each.interest_info, each.score) for each in item.audience_interests]
    yield "Interests", _ranked([(info.value, score) for info, score in interests if info])


def _ranked(scores: Iterable[tuple[str | None, float | None]], unit: str = "") -> Text:
    """Names and scores, the highest first."""
    known = [(score, name) for name, score in scores if name and score is not None]
    return _listed(f"{name} {score:g}{unit}" for score, name in sorted(known, reverse=True))


def _both(period: int | None, ever: int | None) -> Text:
    return Text(" / ").join(count for count in (short(period), short(ever)) if count)


def _listed(entries: Iterable[str]) -> Text:
    every = list(entries)
    return text(", ".join(every[:MOST]) + (", …" if len(every) > MOST else ""))


def _panel(title: str, rows: Iterable[tuple[str, Text]]) -> Panel:
    grid = Table.grid(padding=(0, 2))
    for label, shown in rows:
        if shown:
            grid.add_row(Text(label, "bold"), shown)
    return Panel(grid, title=text(title), title_align="left", expand=False)
