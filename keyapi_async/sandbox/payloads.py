"""Lists, pages and details as the API would send them: pure functions of seed, query and day."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final
from zlib import crc32

from attrs import evolve, frozen

from .answers import to_json
from .endpoints import DetailEndpoint, ListEndpoint, Query
from .faults import Fault
from .items import CLASSES, Item, Place, Scene, is_commercial
from .names import INDUSTRIES, NO_INDUSTRY, NO_SEARCH
from .popularity import draw, make_rng, rank_items

# More candidates than any list has places: so there is always something new.
_SPARE: Final = 1200
_PER_PLACE: Final = 8
_FRESH: Final = 10**9  # from here on, items that are on no list


@frozen
class Page:
    """One page, right or distorted; the items are JSON already."""

    rows: tuple[str, ...]
    number: int
    limit: int
    total: int
    has_more: bool


@lru_cache(maxsize=128)
def make_rows(endpoint: ListEndpoint, scene: Scene) -> tuple[str, ...]:
    """Return all items of a list, in order, as JSON."""
    yesterday, today = (_rank(endpoint, scene, day) for day in (scene.day - 1, scene.day))
    before = {index: rank for rank, index in enumerate(yesterday, 1)}
    places = [Place(scene, index, rank, before.get(index)) for rank, index in enumerate(today, 1)]
    if scene.filters.get("new_to_top_100") == "true":
        new = [place for place in places if place.rank_before is None]
        places = [evolve(place, rank=rank) for rank, place in enumerate(new, 1)]
    return tuple(to_json(endpoint.make_item(place)) for place in places)


def _rank(endpoint: ListEndpoint, scene: Scene, day: int) -> list[int]:
    """Return the indices of the items of a list on a day."""
    filters, region = scene.filters, scene.region
    industry = filters.get("industry_id", NO_INDUSTRY)
    keyword = filters.get("search_keyword", NO_SEARCH)
    rng = make_rng(scene.seed, "size", region, industry, keyword)
    usual = rng.randint(*endpoint.usual_total)
    total = usual if scene.total is None else scene.total
    candidates = range(_PER_PLACE * total + _SPARE)
    if industry != NO_INDUSTRY or keyword != NO_SEARCH:
        # Every second hashtag has an industry; any keyword finds some sounds.
        first = crc32(keyword.encode()) % CLASSES
        if industry != NO_INDUSTRY:
            first = list(INDUSTRIES).index(industry) if industry in INDUSTRIES else len(candidates)
        candidates = candidates[first::CLASSES]
        total = math.ceil(total * rng.uniform(0.1, 0.35))
    taste = (region, filters["period"], filters.get("order_by", ""))
    ranked = rank_items(scene.seed, endpoint.name, taste, day, candidates, total)
    only_commercial = filters.get("commercial_music") == "true"
    return [i for i in ranked if not only_commercial or is_commercial(scene.seed, i)]


def cut_page(endpoint: ListEndpoint, query: Query, fault: Fault | None = None) -> Page:
    """Cut one page out of a list as a server with that fault would; past the end it is empty."""
    everything, start = make_rows(endpoint, query.scene), (query.page - 1) * query.size
    end, total = start + query.size, len(everything)
    page = Page(everything[start:end], query.page, query.limit, total, has_more=end < total)
    return page if fault is None else _distort(page, endpoint, query, fault)


def _distort(  # noqa: PLR0911 - one return per fault
    page: Page, endpoint: ListEndpoint, query: Query, fault: Fault
) -> Page:
    start = (query.page - 1) * query.size

    def cut(number: int) -> Page:
        return cut_page(endpoint, evolve(query, page=max(1, number)))

    match fault.kind:
        case "endless":
            last = math.ceil(page.total / query.size)
            return evolve(page, rows=cut(min(query.page, last)).rows, has_more=True)
        case "endless_fresh":
            ranks = range(start + len(page.rows) + 1, start + query.size + 1)
            fresh = (endpoint.make_item(Place(query.scene, _FRESH + rank, rank)) for rank in ranks)
            return evolve(page, rows=(*page.rows, *map(to_json, fresh)), has_more=True)
        case "repeat_page":
            return evolve(page, rows=cut(query.page - 1).rows)
        case "wrong_page":
            return cut(1)
        case "shift":
            start = max(0, start - fault.amount)
            return evolve(page, rows=make_rows(endpoint, query.scene)[start : start + query.size])
        case "wrong_total":
            return evolve(page, total=fault.amount)
        case "empty":
            return evolve(page, rows=(), has_more=True)
        case _:
            return page


@lru_cache(maxsize=512)
def render_page(endpoint: ListEndpoint, page: Page) -> bytes:
    """Return the `data` of a list endpoint."""
    pagination: Item = {
        "page": page.number,
        endpoint.size_key: page.limit,
        endpoint.total_key: page.total,
        "has_more": page.has_more,
    }
    # An undocumented field, now and then.
    extra = ',"x_trace":{"hit":true}' if draw(page.number, page.limit, page.total) < 0.1 else ""
    listed = ",".join(page.rows)
    text = f'{{"{endpoint.items_key}":[{listed}],"pagination":{to_json(pagination)}{extra}}}'
    return text.encode()


@lru_cache(maxsize=512)
def render_detail(endpoint: DetailEndpoint, scene: Scene) -> bytes | None:
    """Return the `data` of a detail endpoint; None when there is no such hashtag or sound."""
    data = endpoint.make_data(scene)
    return None if data is None else to_json(data).encode()
