"""How lists look on a terminal: columns, cells and sparklines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from rich.style import Style
from rich.table import Table
from rich.text import Text

from keyapi_async.models import Hashtag, Model, Sound, TrendPoint, Video

from .errors import printable

T = TypeVar("T", bound=Model)

LEVELS = "▁▂▃▄▅▆▇█"
TREND = 12


class Column(NamedTuple, Generic[T]):
    """One column; without a width it takes a share of what the others leave."""

    title: str
    cell: Callable[[T], Text]
    width: int | None = None
    share: int | None = None
    right: bool = False


class Layout(Generic[T]):
    """How a kind of item is shown.

    Args:
        noun: What they are called, in the plural.
        columns: The columns; their widths don't depend on the items, so that page after page
            can be printed as one table.
    """

    def __init__(self, noun: str, columns: Sequence[Column[T]]) -> None:
        self.noun = noun
        self.columns = columns

    def table(self, items: Sequence[T], first: bool) -> Table:  # noqa: FBT001 - called by position
        """Some items; the headings stand above the first."""
        table = Table(box=None, expand=True, pad_edge=False, show_header=first)
        for column in self.columns:
            table.add_column(
                column.title,
                width=column.width,
                ratio=column.share,
                justify="right" if column.right else "left",
                no_wrap=True,
                overflow="ellipsis",
            )
        for item in items:
            table.add_row(*[column.cell(item) for column in self.columns])
        return table


def text(value: object, link: str | None = None) -> Text:
    """A value as it came, safe to print; nothing for None."""
    shown = "" if value is None else printable(str(value))
    return Text(shown, Style(link=link if link and link.isprintable() else None))


def short(number: int | None) -> Text:
    """A count in three digits: 48.9K."""
    if number is None:
        return Text()
    size, units = float(number), iter(" KMBTPE")
    unit = next(units)
    while abs(size) >= 999.5 and unit != "E":
        size, unit = size / 1000, next(units)
    digits = f"{size:.0f}" if abs(size) >= 99.95 or unit == " " else f"{size:.3g}"
    return Text((digits + unit).strip())


def minutes(seconds: int | None) -> Text:
    """A duration as minutes and seconds."""
    return Text("" if seconds is None else f"{seconds // 60}:{seconds % 60:02}")


def sparkline(points: Sequence[TrendPoint], width: int = TREND) -> Text:
    """A trend in so many characters or fewer; values are relative to the peak, 0 to 1."""
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


def change(item: Hashtag | Sound) -> Text:
    """How the rank has moved. The types are not documented, but seen: 1 up, 2 same, 4 new."""
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


HASHTAGS = Layout[Hashtag](
    "hashtags",
    (
        Column(title="#", cell=lambda tag: text(tag.rank), width=3, right=True),
        Column(title="", cell=change, width=4),
        Column(title="Hashtag", cell=lambda tag: text(tag.hashtag_name, tag.url), share=3),
        Column(title="Posts", cell=lambda tag: short(tag.publish_cnt), width=5, right=True),
        Column(title="Views", cell=lambda tag: short(tag.video_views), width=5, right=True),
        Column(
            title="Industry",
            cell=lambda tag: text(tag.industry_info and tag.industry_info.value),
            share=2,
        ),
        Column(title="Trend", cell=lambda tag: sparkline(tag.trend), width=TREND),
    ),
)
VIDEOS = Layout[Video](
    "videos",
    (
        Column(title="Video", cell=lambda video: text(video.item_id), width=19),
        Column(title="Title", cell=lambda video: text(video.title, video.item_url), share=1),
        Column(title="Time", cell=lambda video: minutes(video.duration), width=5, right=True),
        Column(title="Region", cell=lambda video: text(video.country_code), width=6),
    ),
)
MUSIC = Layout[Sound](
    "sounds",
    (
        Column(title="#", cell=lambda sound: text(sound.rank), width=3, right=True),
        Column(title="", cell=change, width=4),
        Column(title="Title", cell=lambda sound: text(sound.title, sound.link), share=3),
        Column(title="Author", cell=lambda sound: text(sound.author), share=2),
        Column(title="Time", cell=lambda sound: minutes(sound.duration), width=5, right=True),
        Column(title="Clip", cell=lambda sound: text(sound.clip_id), width=19),
        Column(title="Trend", cell=lambda sound: sparkline(sound.trend), width=TREND),
    ),
)
