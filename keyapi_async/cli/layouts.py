"""How items look on a terminal: a list as a table, one thing in detail as a panel."""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Any, TypeAlias

import attrs
from rich.panel import Panel
from rich.style import Style
from rich.table import Column, Table
from rich.text import Text

import keyapi_async
from keyapi_async import Hashtag, HashtagDetail, Model, MusicDetail, Query, Sound, Video
from keyapi_async.cli.messages import count, printable

LEVELS = "▁▂▃▄▅▆▇█"
TREND_WIDTH = 12
WIDE_TREND = 60
MAX_COLUMNS = 6
MAX_ENTRIES = 8
"""Entries of a long list that are shown; JSON has all."""


# -- cells -------------------------------------------------------------------------------------


def text(value: object, link: str | None = None) -> Text:
    """A value as received, safe to print; nothing for None."""
    content = "" if value is None else printable(str(value))
    return Text(content, Style(link=link if link and link.isprintable() else None))


def format_count(number: int | None) -> Text:
    """A count in three digits: 48.9K."""
    if number is None:
        return Text()
    size, units = float(number), iter(" KMBTPE")
    unit = next(units)
    while abs(size) >= 999.5 and unit != "E":
        size, unit = size / 1000, next(units)
    digits = f"{size:.0f}" if abs(size) >= 99.95 or unit == " " else f"{size:.3g}"
    return Text((digits + unit).strip())


def format_minutes(seconds: int | None) -> Text:
    """A duration as minutes and seconds."""
    return Text("" if seconds is None else f"{seconds // 60}:{seconds % 60:02}")


def sparkline(points: Sequence[keyapi_async.TrendPoint], width: int = TREND_WIDTH) -> Text:
    """A trend in at most `width` characters; values are relative to the peak, 0 to 1."""
    columns = min(width, len(points))
    steps = (
        points[i * len(points) // columns : (i + 1) * len(points) // columns]
        for i in range(columns)
    )
    return Text("".join(_level([p.value for p in step if p.value is not None]) for step in steps))


def _level(values: Sequence[float]) -> str:
    if not values:
        return " "
    mean = min(max(sum(values) / len(values), 0.0), 1.0)
    return LEVELS[min(int(mean * len(LEVELS)), len(LEVELS) - 1)]


def format_rank_change(item: Hashtag | Sound) -> Text:
    """How the rank has moved. The types aren't documented; observed are 1 up, 2 same, 4 new."""
    by = str(abs(item.rank_diff)) if item.rank_diff else ""
    match item.rank_diff_type:
        case 1:
            return Text(f"▲{by}", "green")
        case 3:
            return Text(f"▼{by}", "red")
        case 4:
            return Text("new", "cyan")
        case _:
            return Text()


# -- lists -------------------------------------------------------------------------------------


Layout: TypeAlias = tuple[tuple[Column, Callable[[Any], Text]], ...]
"""The columns of a table, each with the function that makes an item's cell.

Their widths don't depend on the items, so that page after page can be printed as one table.
"""


def _column(title: str, cell: Callable[[Any], Text], **shape: Any) -> tuple[Column, Any]:
    """One column: with a width, or a share (`ratio`) of what the others leave."""
    return Column(title, no_wrap=True, overflow="ellipsis", **shape), cell


HASHTAGS: Layout = (
    _column("#", lambda tag: text(tag.rank), width=3, justify="right"),
    _column("", format_rank_change, width=4),
    _column("Hashtag", lambda tag: text(tag.hashtag_name, tag.url), ratio=3),
    _column("Posts", lambda tag: format_count(tag.publish_cnt), width=5, justify="right"),
    _column("Views", lambda tag: format_count(tag.video_views), width=5, justify="right"),
    _column("Industry", lambda tag: text(tag.industry_info and tag.industry_info.value), ratio=2),
    _column("Trend", lambda tag: sparkline(tag.trend), width=TREND_WIDTH),
)
VIDEOS: Layout = (
    _column("Video", lambda video: text(video.item_id), width=19),
    _column("Title", lambda video: text(video.title, video.item_url), ratio=1),
    _column("Time", lambda video: format_minutes(video.duration), width=5, justify="right"),
    _column("Region", lambda video: text(video.country_code), width=6),
)
MUSIC: Layout = (
    _column("#", lambda sound: text(sound.rank), width=3, justify="right"),
    _column("", format_rank_change, width=4),
    _column("Title", lambda sound: text(sound.title, sound.link), ratio=3),
    _column("Author", lambda sound: text(sound.author), ratio=2),
    _column("Time", lambda sound: format_minutes(sound.duration), width=5, justify="right"),
    _column("Clip", lambda sound: text(sound.clip_id), width=19),
    _column("Trend", lambda sound: sparkline(sound.trend), width=TREND_WIDTH),
)
_LAYOUTS: dict[type[Model], Layout] = {Hashtag: HASHTAGS, Video: VIDEOS, Sound: MUSIC}


def table_for(query: type[Query[Any]]) -> Callable[[Sequence[Any], bool], Table]:
    """Makes tables of a query's items: by their layout, else of their id and first plain fields.

    The function takes the items, and whether they are the first, which get the headings.
    """
    names = [*dict.fromkeys([query.item_key, *plain_fields(query.item)])][:MAX_COLUMNS]
    plain = tuple(_column(name, _cell_of(name), ratio=1) for name in names)
    layout = _LAYOUTS.get(query.item, plain)

    def make(items: Sequence[Any], first: bool) -> Table:  # noqa: FBT001 - called by position
        columns = [column.copy() for column, _ in layout]
        table = Table(*columns, box=None, expand=True, pad_edge=False, show_header=first)
        for item in items:
            table.add_row(*[cell(item) for _, cell in layout])
        return table

    return make


def plain_fields(model: type[Model]) -> list[str]:
    """The fields of a model that hold no other model and no list."""
    hints = typing.get_type_hints(model)
    plain = {str, int, float, bool, type(None)}
    return [
        field.name
        for field in attrs.fields(model)
        if plain.issuperset(typing.get_args(hints[field.name]) or (hints[field.name],))
    ]


def _cell_of(name: str) -> Callable[[Any], Text]:
    return lambda item: text(attrgetter(name)(item))


# -- one thing in detail -----------------------------------------------------------------------


def panel_for(query: type[Query[Any]]) -> Callable[[Sequence[Any], bool], Panel]:
    """Makes the panel of a detail query's item: its own, else one of all its plain fields."""

    def plain_panel(item: Any) -> Panel:
        rows = [(name, text(getattr(item, name))) for name in plain_fields(query.item)]
        return _make_panel(query.id_of(item), rows)

    make: Callable[[Any], Panel] = _PANELS.get(query.item, plain_panel)
    return lambda items, _: make(items[0])


def hashtag_panel(tag: HashtagDetail) -> Panel:
    """One hashtag; counts of the period and, behind a slash, of all time and world-wide."""
    rows = [
        ("Description", text(tag.description)),
        ("Page", text(tag.video_url)),
        ("Industry", text(tag.industry_info and tag.industry_info.value)),
        ("Posts", _join_counts(tag.publish_cnt, tag.publish_cnt_all)),
        ("Views", _join_counts(tag.video_views, tag.video_views_all)),
        ("Trend", sparkline(tag.trend, WIDE_TREND)),
        *_audience(tag),
        ("Related", _join(f"#{each.hashtag_name}" for each in tag.related_hashtags)),
    ]
    return _make_panel(f"#{tag.hashtag_name}", rows)


def sound_panel(detail: MusicDetail) -> Panel:
    """One sound."""
    sound = detail.sound
    rows = [
        ("Author", text(sound.author)),
        ("Page", text(sound.link)),
        ("Clip", text(sound.clip_id)),
        ("Time", format_minutes(sound.duration)),
        ("Rank", text(sound.rank)),
        ("Likes", format_count(detail.like_count)),
        ("Trend", sparkline(sound.trend, WIDE_TREND)),
        *_audience(sound),
    ]
    return _make_panel(sound.title or sound.clip_id, rows)


def _audience(item: HashtagDetail | keyapi_async.SoundDetail) -> Iterator[tuple[str, Text]]:
    days = item.longevity.popular_days if item.longevity else None
    yield "Popular", text(None if days is None else count(days, "day"))
    ages = [(f"level {age.age_level}", age.score) for age in item.audience_ages]
    yield "Ages", _join_scores(ages, "%")
    countries = [(each.country_info, each.score) for each in item.audience_countries]
    yield "Countries", _join_scores([(info.value, score) for info, score in countries if info])
    interests = [(each.interest_info, each.score) for each in item.audience_interests]
    yield "Interests", _join_scores([(info.value, score) for info, score in interests if info])


def _join_scores(scores: Iterable[tuple[str | None, float | None]], unit: str = "") -> Text:
    """Names and scores, the highest first."""
    known = [(score, name) for name, score in scores if name and score is not None]
    return _join(f"{name} {score:g}{unit}" for score, name in sorted(known, reverse=True))


def _join_counts(period: int | None, ever: int | None) -> Text:
    return Text(" / ").join(count for count in (format_count(period), format_count(ever)) if count)


def _join(entries: Iterable[str]) -> Text:
    every = list(entries)
    return text(", ".join(every[:MAX_ENTRIES]) + (", …" if len(every) > MAX_ENTRIES else ""))


def _make_panel(title: str, rows: Iterable[tuple[str, Text]]) -> Panel:
    grid = Table.grid(padding=(0, 2))
    for label, cell in rows:
        if cell:
            grid.add_row(Text(label, "bold"), cell)
    return Panel(grid, title=text(title), title_align="left", expand=False)


_PANELS: dict[type[Model], Callable[[Any], Panel]] = {
    HashtagDetail: hashtag_panel,
    MusicDetail: sound_panel,
}
