"""Lists, pages and details as the API would send them: pure functions of seed and query."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

from attrs import evolve, frozen

from .answers import to_json
from .endpoints import DetailEndpoint, ListEndpoint, Query
from .faults import Fault
from .items import Filters, Item, rng_for
from .names import INDUSTRIES, NO_INDUSTRY, NO_SEARCH

# Slots no list reaches, for items that are on none.
_FRESH: Final = 10**9
_NEW_ON_LIST: Final = 4  # the rank_diff_type of new entries


@frozen
class Listing:
    """One list in full: everything that decides what is on it."""

    seed: int
    endpoint: ListEndpoint
    filters: tuple[tuple[str, str], ...]
    total: int | None = None
    """Items of the list without filters that narrow it; None for the usual number."""


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
    filters = dict(listing.filters)
    total = _pool_size(listing, filters)
    # Another period or order ranks the same items anew.
    rng = rng_for(listing.seed, "order", filters["period"], filters.get("order_by"))
    make = listing.endpoint.make_item
    every = (make(listing.seed, filters, slot) for slot in rng.sample(range(total), total))
    passing = [item for item in every if _passes(item, filters)]
    return tuple(to_json(_set_rank(item, rank)) for rank, item in enumerate(passing, 1))


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
            fresh = (_fresh(listing, start + i) for i in range(len(page.rows), query.size))
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
def render_detail(
    seed: int, endpoint: DetailEndpoint, filters: tuple[tuple[str, str], ...]
) -> bytes | None:
    """Return the `data` of a detail endpoint; None when there is no such hashtag or sound."""
    data = endpoint.make_data(seed, dict(filters))
    return None if data is None else to_json(data).encode()


def _pool_size(listing: Listing, filters: Filters) -> int:
    industry = filters.get("industry_id", NO_INDUSTRY)
    keyword = filters.get("search_keyword", NO_SEARCH)
    if industry != NO_INDUSTRY and industry not in INDUSTRIES:
        return 0
    rng = rng_for(listing.seed, "size", filters["region"], industry, keyword)
    usual = rng.randint(*listing.endpoint.usual_total)
    total = usual if listing.total is None else listing.total
    narrow = industry != NO_INDUSTRY or keyword != NO_SEARCH
    return math.ceil(total * rng.uniform(0.2, 0.6)) if narrow else total


def _passes(item: Item, filters: Filters) -> bool:
    is_new = item.get("rank_diff_type") == _NEW_ON_LIST
    return (is_new or filters.get("new_to_top_100") != "true") and (
        item.get("if_cml") is True or filters.get("commercial_music") != "true"
    )


def _set_rank(item: Item, rank: int) -> Item:
    return item | {"rank": rank} if "rank" in item else item


def _fresh(listing: Listing, index: int) -> str:
    make = listing.endpoint.make_item
    return to_json(_set_rank(make(listing.seed, dict(listing.filters), _FRESH + index), index + 1))
