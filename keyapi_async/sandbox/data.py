"""Lists, pages and details as the API would send them: pure functions of seed and query."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from attrs import evolve, frozen

from keyapi_async.reference import INDUSTRIES
from keyapi_async.sandbox import items
from keyapi_async.sandbox.answers import to_json
from keyapi_async.sandbox.endpoints import NO_INDUSTRY, NO_SEARCH, Endpoint, Query
from keyapi_async.sandbox.faults import Fault
from keyapi_async.sandbox.items import Filters, Item, rng_for

# Slots no list reaches, for items that are on none.
_FRESH: Final = 10**9
_NEW_TO_TOP_100: Final = 4  # the rank_diff_type of new entries
_MAKERS: Final[dict[str, Callable[[int, Filters, int], Item]]] = {
    "hashtags": items.hashtag,
    "videos": items.video,
    "music": items.sound,
}


@frozen
class Listing:
    """One list in full: everything that decides what is on it."""

    seed: int
    endpoint: Endpoint
    filters: tuple[tuple[str, str], ...]
    total: int | None = None
    """Items of the list without filters that narrow it; None for the usual number."""


@frozen
class Page:
    """One page, true or bent; the items are JSON already."""

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
    make = _MAKERS[listing.endpoint.name]
    made = (make(listing.seed, filters, slot) for slot in rng.sample(range(total), total))
    kept = [item for item in made if _passes(item, filters)]
    return tuple(to_json(_ranked(item, rank)) for rank, item in enumerate(kept, 1))


def true_page(listing: Listing, number: int, query: Query) -> Page:
    """Cut one page out of a list, exactly; past the end it is empty."""
    everything, size = rows(listing), query.size
    start = (number - 1) * size
    has_more = number * size < len(everything)
    return Page(everything[start : start + size], number, query.limit, len(everything), has_more)


def bent_page(  # noqa: PLR0911 - one return per lie
    listing: Listing, number: int, query: Query, fault: Fault
) -> Page:
    """Cut the page as a server with this fault would."""
    page, size = true_page(listing, number, query), query.size
    start = (number - 1) * size
    match fault.kind:
        case "endless":
            last = max(1, math.ceil(page.total / size))
            return evolve(
                page, rows=true_page(listing, min(number, last), query).rows, has_more=True
            )
        case "endless_fresh":
            fresh = (_fresh(listing, start + i) for i in range(len(page.rows), size))
            return evolve(page, rows=(*page.rows, *fresh), has_more=True)
        case "repeat_page":
            return evolve(page, rows=true_page(listing, max(1, number - 1), query).rows)
        case "wrong_page":
            return true_page(listing, 1, query)
        case "shift":
            start = max(0, start - fault.amount)
            return evolve(page, rows=rows(listing)[start : start + size])
        case "wrong_total":
            return evolve(page, total=fault.amount)
        case "empty":
            return evolve(page, rows=(), has_more=True)
        case _:
            return page


@lru_cache(maxsize=512)
def render_page(endpoint: Endpoint, page: Page) -> bytes:
    """Return the ``data`` of a list endpoint."""
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
def render_detail(seed: int, query: Query) -> bytes | None:
    """Return the ``data`` of a detail endpoint; None when there is no such hashtag or sound."""
    filters = dict(query.filters)
    is_hashtag = query.endpoint.name == "hashtag_detail"
    if filters["hashtag_name" if is_hashtag else "clip_id"].startswith("missing"):
        return None
    if is_hashtag:
        return to_json({"info": items.hashtag_detail(seed, filters)}).encode()
    sound = items.sound_detail(seed, filters)
    return to_json({"disliked": None, "like_count": None, "liked": None, "sound": sound}).encode()


def _pool_size(listing: Listing, filters: Filters) -> int:
    industry = filters.get("industry_id", NO_INDUSTRY)
    keyword = filters.get("search_keyword", NO_SEARCH)
    if industry != NO_INDUSTRY and industry not in INDUSTRIES:
        return 0
    rng = rng_for(listing.seed, "size", filters["region"], industry, keyword)
    usual = {"hashtags": 100, "videos": 500, "music": rng.randint(98, 100)}
    total = usual[listing.endpoint.name] if listing.total is None else listing.total
    narrowed = industry != NO_INDUSTRY or keyword != NO_SEARCH
    return math.ceil(total * rng.uniform(0.2, 0.6)) if narrowed else total


def _passes(item: Item, filters: Filters) -> bool:
    is_new = item.get("rank_diff_type") == _NEW_TO_TOP_100
    return (is_new or filters.get("new_to_top_100") != "true") and (
        item.get("if_cml") is True or filters.get("commercial_music") != "true"
    )


def _ranked(item: Item, rank: int) -> Item:
    return item | {"rank": rank} if "rank" in item else item


def _fresh(listing: Listing, index: int) -> str:
    make = _MAKERS[listing.endpoint.name]
    return to_json(_ranked(make(listing.seed, dict(listing.filters), _FRESH + index), index + 1))
