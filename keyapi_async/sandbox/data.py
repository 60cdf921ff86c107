"""Lists, pages and details as the API would send them: pure functions of seed, query and day."""

from __future__ import annotations

import math
from datetime import date
from functools import lru_cache
from typing import Final
from zlib import crc32

from attrs import evolve, frozen

from .answers import to_json
from .days import FIRST_DAY, count_days
from .endpoints import DetailEndpoint, ListEndpoint, Query
from .faults import Fault
from .items import CLASSES, Item, Place, Scene, is_commercial
from .names import INDUSTRIES, NO_INDUSTRY, NO_SEARCH
from .popularity import rank_items, rng_for

# More candidates than any list has places, so that there is always something new.
_SPARE: Final = 1200
_PER_PLACE: Final = 8
_FRESH: Final = 10**9  # from here on, items that are on no list


@frozen
class Listing:
    """One list in full: everything that decides what is on it."""

    seed: int
    endpoint: ListEndpoint
    filters: tuple[tuple[str, str], ...]
    total: int | None = None
    """Items of the list without filters that narrow it; None for the usual number."""
    day: date = FIRST_DAY

    @property
    def scene(self) -> Scene:
        """What its items depend on."""
        return Scene(self.seed, dict(self.filters), count_days(self.day))


@frozen
class Page:
    """One page, healthy or not; the items are JSON already."""

    rows: tuple[str, ...]
    number: int
    limit: int
    total: int
    has_more: bool


@lru_cache(maxsize=128)
def rows(listing: Listing) -> tuple[str, ...]:
    """Return all items of a list, in order, as JSON."""
    scene = listing.scene
    before = {index: rank for rank, index in enumerate(_rank(listing, scene.day - 1), 1)}
    places = [
        Place(scene, index, rank, before.get(index))
        for rank, index in enumerate(_rank(listing, scene.day), 1)
    ]
    if scene.filters.get("new_to_top_100") == "true":
        new = [place for place in places if place.rank_before is None]
        places = [evolve(place, rank=rank) for rank, place in enumerate(new, 1)]
    return tuple(to_json(listing.endpoint.make_item(place)) for place in places)


def _rank(listing: Listing, day: int) -> list[int]:
    """Return the indices of what is on a list on a day, new to it or not."""
    filters, total = dict(listing.filters), listing.total
    region, industry = filters["region"], filters.get("industry_id", NO_INDUSTRY)
    keyword = filters.get("search_keyword", NO_SEARCH)
    rng = rng_for(listing.seed, "size", region, industry, keyword)
    usual = rng.randint(*listing.endpoint.usual_total)
    total = usual if total is None else total
    candidates = range(_PER_PLACE * total + _SPARE)
    if industry != NO_INDUSTRY or keyword != NO_SEARCH:
        # Every second hashtag has an industry; any keyword finds some sounds.
        first = crc32(keyword.encode()) % CLASSES
        if industry != NO_INDUSTRY:
            first = list(INDUSTRIES).index(industry) if industry in INDUSTRIES else len(candidates)
        candidates = candidates[first::CLASSES]
        total = math.ceil(total * rng.uniform(0.1, 0.35))
    taste = (region, filters["period"], filters.get("order_by", ""))
    ranked = rank_items(listing.seed, listing.endpoint.name, taste, day, candidates, total)
    only_commercial = filters.get("commercial_music") == "true"
    return [i for i in ranked if not only_commercial or is_commercial(listing.seed, i)]


def cut_page(listing: Listing, query: Query, fault: Fault | None = None) -> Page:
    """Cut one page out of a list as a server with that fault would; past the end it is empty."""
    everything, size = rows(listing), query.size
    start = (query.page - 1) * size
    page = Page(
        everything[start : start + size],
        query.page,
        query.limit,
        total=len(everything),
        has_more=start + size < len(everything),
    )
    return page if fault is None else _falsify(page, listing, query, fault)


def _falsify(page: Page, listing: Listing, query: Query, fault: Fault) -> Page:  # noqa: PLR0911
    start = (query.page - 1) * query.size

    def cut_rows(number: int) -> tuple[str, ...]:
        return cut_page(listing, evolve(query, page=max(1, number))).rows

    match fault.kind:
        case "endless":
            last = math.ceil(page.total / query.size)
            return evolve(page, rows=cut_rows(min(query.page, last)), has_more=True)
        case "endless_fresh":
            fresh = (_make_fresh(listing, start + i) for i in range(len(page.rows), query.size))
            return evolve(page, rows=(*page.rows, *fresh), has_more=True)
        case "repeat_page":
            return evolve(page, rows=cut_rows(query.page - 1))
        case "wrong_page":
            return cut_page(listing, evolve(query, page=1))
        case "shift":
            start = max(0, start - fault.amount)
            return evolve(page, rows=rows(listing)[start : start + query.size])
        case "wrong_total":
            return evolve(page, total=fault.amount)
        case "empty":
            return evolve(page, rows=(), has_more=True)
        case _:
            return page


@lru_cache(maxsize=512)
def render_page(endpoint: ListEndpoint, page: Page) -> bytes:
    """Return the `data` of a list endpoint."""
    rng = rng_for(endpoint.name, page.number, page.limit, page.total)
    pagination: Item = {
        "page": page.number,
        endpoint.size_key: page.limit,
        endpoint.total_key: page.total,
        "has_more": page.has_more,
    }
    # Fields nobody documented, here and there.
    if rng.randrange(10) == 0:
        pagination["x_experiment"] = "b"
    extra = ',"x_trace":{"hit":true}' if rng.randrange(10) == 0 else ""
    listed = ",".join(page.rows)
    text = f'{{"{endpoint.items_key}":[{listed}],"pagination":{to_json(pagination)}{extra}}}'
    return text.encode()


@lru_cache(maxsize=512)
def render_detail(seed: int, endpoint: DetailEndpoint, query: Query) -> bytes | None:
    """Return the `data` of a detail endpoint; None when there is no such hashtag or sound."""
    data = endpoint.make_data(Scene(seed, dict(query.filters), count_days(query.day)))
    return None if data is None else to_json(data).encode()


def _make_fresh(listing: Listing, index: int) -> str:
    """An item that is on no list, for the end of a list that has none."""
    return to_json(listing.endpoint.make_item(Place(listing.scene, _FRESH + index, index + 1)))
