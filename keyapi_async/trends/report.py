"""One self-contained page for people: what changed, where, and whether the data can be trusted."""

from __future__ import annotations

import base64
import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from importlib.resources import files
from itertools import chain, islice, zip_longest
from typing import Any, Final

from attrs import Factory, define, frozen

from keyapi_async.crawl.database import StoreError
from keyapi_async.files import PartFile, is_one_of
from keyapi_async.queries import ALL_REGIONS

from . import charts, wording
from .archive import Archive, Entry, Paths, Timeline
from .health import Health, health
from .movers import Comparison, Move, Regions, compare_days, find_moves, find_newest_day

TOP: Final = 10
"""So many items of each list are shown."""
MOVERS: Final = 600
"""About so many moves are in the table of movers, the same number of each list."""
STORIES: Final = 9
"""So many risers, newcomers and so on."""
SERIES: Final = 14
"""Days of the small lines in tables; the large ones have 30."""
PROBLEMS: Final = 40
"""So many problems are named."""

_WIDTH: Final = 232


@frozen
class Row:
    """One item in the table of a list."""

    rank: int
    kind: str
    change: str
    name: str
    views: str
    growth: str
    days: int | str
    path: str


@frozen
class ListTable:
    """One list's first items."""

    title: str
    noun: str
    note: str
    has_views: bool
    rows: tuple[Row, ...]


@define
class Section:
    """One region and period."""

    region: str
    region_name: str
    period: str
    tables: list[ListTable] = Factory(list)

    @property
    def anchor(self) -> str:
        """Where it is on the page."""
        name = f"{self.region}-{self.period}"
        return "l-" + "".join(c if c.isalnum() or c in "-_" else f".{ord(c):x}" for c in name)


@define
class Story:
    """An item, the move of it that matters most, and where it moved how."""

    lead: Move
    kinds: Counter[str] = Factory(Counter)
    places: dict[str, set[str]] = Factory(lambda: defaultdict(set))

    def add(self, move: Move) -> None:
        """Take up another move of the same item."""
        self.kinds[move.kind] += 1
        self.places[move.kind].add(wording.region_of(move.query))
        if move.weight > self.lead.weight:
            self.lead = move

    @property
    def name(self) -> str:
        """What people know it by."""
        return wording.clean(self.lead.name)

    @property
    def others(self) -> list[str]:
        """In which other regions it moved likewise."""
        return sorted(self.places[self.lead.kind] - {wording.region_of(self.lead.query)})

    def chart(self) -> charts.Line:
        """Its ranks where it moved most."""
        span = (self.lead.day - self.lead.ranks[0][0]).days + 1
        step = _WIDTH // max(span - 1, 6)
        return charts.draw(self.lead.ranks, self.lead.day, days=span, step=step, height=56)


@define
class Gathering:
    """What the page says, gathered list by list."""

    day: date
    sections: dict[tuple[str, str], Section] = Factory(dict)
    stories: dict[tuple[str, str], Story] = Factory(dict)
    moves: list[Move] = Factory(list)
    spread: dict[tuple[str, str], tuple[str, ...]] = Factory(dict)
    uncompared: list[Comparison] = Factory(list)
    befores: Counter[date] = Factory(Counter)
    complete: int = 0

    def add(self, archive: Archive, timeline: Timeline, regions: Regions, most: int) -> None:
        """Take up one list."""
        query, days = timeline.query, compare_days(timeline, self.day)
        region, period = wording.region_of(query), wording.period_of(query)
        section = self.sections.setdefault(
            (region, period), Section(region, wording.region_name(query), period)
        )
        stored = timeline.complete_until(self.day)
        if days.before is None:
            self.uncompared.append(days)
        else:
            self.befores[days.before] += 1
        note = "" if stored and stored.day == self.day else days.reason
        rows: Iterable[Row] = ()
        if days.before is not None:
            moves = list(find_moves(archive, timeline, days, regions))
            self._count(moves, most)
            rows = (_move_row(move) for move in moves if move.rank is not None)
        elif stored is not None:
            entries = archive.read(timeline, stored.day)
            rows = (_entry_row(*one) for one in sorted(entries.items(), key=_rank))
        self.complete += stored is not None and stored.day == self.day
        table = ListTable(
            title=wording.title_of(query),
            noun=query.noun,
            note=note,
            has_views=query.views is not None,
            rows=tuple(islice(rows, TOP)),
        )
        section.tables.append(table)

    def _count(self, moves: list[Move], most: int) -> None:
        moved = [move for move in moves if move.kind != "same"]
        moved.sort(key=lambda move: move.weight, reverse=True)
        self.moves += moved[:most]
        for move in moves:
            if len(move.regions) > 1:
                self.spread[move.endpoint, move.item_id] = move.regions
        for move in moved:
            key = (move.endpoint, move.item_id)
            self.stories.setdefault(key, Story(move)).add(move)

    def find_stories(self, *kinds: str) -> list[Story]:
        """Those that matter most, of each endpoint in turn."""
        by_endpoint: dict[str, list[Story]] = defaultdict(list)
        for story in self.stories.values():
            if story.lead.kind in kinds:
                by_endpoint[story.lead.endpoint].append(story)
        for found in by_endpoint.values():
            found.sort(key=lambda story: (-story.lead.weight, story.lead.item_id))
        mixed = chain.from_iterable(zip_longest(*by_endpoint.values()))
        return list(islice((story for story in mixed if story is not None), STORIES))

    def find_spread(self) -> list[tuple[Story, tuple[str, ...]]]:
        """What moved in several regions, and is in most of them."""
        found = [
            (self.stories[key], regions)
            for key, regions in self.spread.items()
            if key in self.stories
        ]
        found.sort(key=lambda one: (-len(one[1]), -one[0].lead.weight, one[0].lead.item_id))
        return found[:STORIES]


def _rank(item: tuple[str, Entry]) -> int:
    return item[1].rank


def _move_row(move: Move) -> Row:
    line = charts.draw(move.ranks, move.day, days=SERIES, step=5, height=14)
    return Row(
        rank=move.rank or 0,
        kind=move.kind,
        change=wording.change_text(move),
        name=wording.clean(move.name),
        views=wording.shorten(move.views),
        growth=wording.percent(move.growth),
        days=move.days_listed,
        path=line.path,
    )


def _entry_row(item_id: str, entry: Entry) -> Row:
    name = wording.clean(entry.name or item_id)
    return Row(entry.rank, "", "", name, wording.shorten(entry.views), "", "", "")


def report(paths: Paths, output: str | os.PathLike[str], *, day: date | None = None) -> None:
    """Write a page that needs nothing else: it can be mailed, printed, and read without a network.

    Args:
        paths: The file of a crawl, or several that are one history.
        output: The page; it appears when it is complete.
        day: The day looked at; by default the newest on which any list is complete.

    Raises:
        StoreError: A file can't be read, has nothing of that day, or no complete list; the page
            would replace it; or jinja2 is missing.
        OSError: The page can't be written.
    """
    template = _template()
    state = health(paths)
    gathering = _gather(paths, day, output)
    text = "".join(template.generate(**_context(gathering, state)))
    with PartFile(output) as file:
        file.part.write_text(text, encoding="utf-8", newline="\n")


def _gather(paths: Paths, day: date | None, output: str | os.PathLike[str]) -> Gathering:
    with Archive(paths) as archive:
        if is_one_of(output, archive.paths):
            raise StoreError(f"{output}: is the crawl's own file; choose another name")
        timelines = archive.timelines()
        looked_at = day or find_newest_day(timelines)
        if looked_at is None:
            names = ", ".join(map(str, archive.paths))
            raise StoreError(f"{names}: no list is complete yet; there is nothing to report")
        if not any(looked_at in one.lists for one in timelines):
            names = ", ".join(map(str, archive.paths))
            raise StoreError(f"{names}: nothing was crawled on {looked_at}")
        gathering = Gathering(looked_at)
        regions = Regions(archive, timelines)
        there = [one for one in timelines if looked_at in one.lists or one.is_planned]
        for one in there:
            gathering.add(archive, one, regions, max(MOVERS // len(there), 1))
    return gathering


def _context(gathering: Gathering, state: Health) -> Mapping[str, Any]:
    style, script = _read("report.css"), _read("report.js")
    sections = sorted(
        gathering.sections.values(),
        key=lambda one: (one.region != ALL_REGIONS, one.region_name, len(one.period), one.period),
    )
    gathering.moves.sort(key=lambda move: move.weight, reverse=True)
    return {
        "style": style,
        "script": script,
        "hashes": {"style": _hash(style), "script": _hash(script)},
        "day": gathering.day,
        "before": gathering.befores.most_common(1)[0][0] if gathering.befores else None,
        "befores": sorted(gathering.befores.items(), reverse=True)[1:],
        "gathering": gathering,
        "kinds": Counter(story.lead.kind for story in gathering.stories.values()),
        "regions": _group(sections),
        "periods": sorted({one.period for one in sections}, key=lambda text: (len(text), text)),
        "nouns": sorted({table.noun for one in sections for table in one.tables}),
        "risers": gathering.find_stories("risen"),
        "newcomers": gathering.find_stories("new", "returned"),
        "gone": gathering.find_stories("dropped"),
        "spread": gathering.find_spread(),
        "state": state,
        "max_problems": PROBLEMS,
        "series": SERIES,
    }


def _group(sections: Iterable[Section]) -> list[tuple[str, str, list[Section]]]:
    grouped: dict[tuple[str, str], list[Section]] = defaultdict(list)
    for one in sections:
        grouped[one.region, one.region_name].append(one)
    return [(code, name, found) for (code, name), found in grouped.items()]


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _template() -> Any:
    try:
        import jinja2  # noqa: PLC0415 - in an extra
    except ImportError:
        raise StoreError(
            "a report needs jinja2: install it with `pip install 'keyapi-async[cli]'`"
        ) from None
    environment = jinja2.Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    helpers: tuple[Callable[..., str], ...] = (
        wording.change_text,
        wording.region_of,
        wording.region_name,
        wording.period_of,
        wording.title_of,
        wording.clean,
        wording.percent,
        wording.shorten,
        wording.write_day,
    )
    environment.globals.update({helper.__name__: helper for helper in helpers})
    return environment.from_string(_read("report.html"))


def _read(name: str) -> str:
    return (files("keyapi_async.trends") / name).read_text("utf-8")
