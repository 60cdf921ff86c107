"""The five endpoints: the name, parameters and data of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Final, TypeAlias
from urllib.parse import parse_qsl

from attrs import field, frozen

from . import items
from .days import FIRST_DAY, count_days
from .items import Item, Place, Scene

MAX_PAGE_SIZE: Final = 20

_LIST_PERIODS: Final = frozenset({"7", "30", "120"})
_DETAIL_PERIODS: Final = _LIST_PERIODS | {"365", "1095"}
_MAX_DIGITS: Final = 18  # a 64-bit integer, as in most servers; int() of a book would be slow


class BadParameterError(ValueError):
    """A query parameter has a value the endpoint does not take."""


def _parse(query: str) -> Mapping[str, str]:
    return dict(parse_qsl(query))


@frozen(eq=False, kw_only=True)  # compared by identity
class Endpoint:
    """What all endpoints have in common."""

    name: str
    path: str
    # As documented: the parameters in their order, and what they are by default.
    defaults: Mapping[str, str] = field(converter=_parse)
    periods: frozenset[str] = _LIST_PERIODS

    @property
    def names(self) -> frozenset[str]:
        """Its name and its path: settings take either."""
        return frozenset({self.name, self.path})


@frozen(eq=False, kw_only=True)
class ListEndpoint(Endpoint):
    """An endpoint that sends a list, page by page."""

    items_key: str
    """Where the items are within `data`."""
    size_key: str = "size"
    total_key: str = "total"
    usual_total: tuple[int, int]
    """The least and the most items of a list."""
    make_item: Callable[[Place], Item]
    """Makes the item at a place of the list."""


@frozen(eq=False, kw_only=True)
class DetailEndpoint(Endpoint):
    """An endpoint that sends one hashtag or sound."""

    make_data: Callable[[Scene], Item | None]
    """Makes the whole `data`; None when the hashtag or sound doesn't exist."""


AnyEndpoint: TypeAlias = ListEndpoint | DetailEndpoint


@frozen
class Query:
    """A valid request."""

    endpoint: AnyEndpoint
    scene: Scene
    page: int = 0
    """The page asked for; 0 where there are no pages."""
    limit: int = MAX_PAGE_SIZE
    """The page size asked for; `size` is the one that is used."""

    @property
    def size(self) -> int:
        """Items per page: the API silently clamps a larger limit."""
        return min(self.limit, MAX_PAGE_SIZE)


_TRENDING: Final = "/v1/tiktok/trending/"

ENDPOINTS: Final = (
    ListEndpoint(
        name="hashtags",
        path=_TRENDING + "hashtags",
        defaults="page=1&limit=20&period=7&region=all_regions&industry_id=nothing"
        "&new_to_top_100=false",
        items_key="list",
        usual_total=(100, 100),
        make_item=items.make_hashtag,
    ),
    DetailEndpoint(
        name="hashtag_detail",
        path=_TRENDING + "hashtag/detail",
        defaults="period=7&region=all_regions&hashtag_name=ufc324",
        periods=_DETAIL_PERIODS,
        make_data=items.make_hashtag_detail,
    ),
    ListEndpoint(
        name="videos",
        path=_TRENDING + "videos",
        defaults="page=1&period=7&limit=20&region=US&order_by=vv",
        items_key="videos",
        size_key="limit",
        total_key="total_count",
        usual_total=(500, 500),
        make_item=items.make_video,
    ),
    ListEndpoint(
        name="music",
        path=_TRENDING + "music",
        defaults="search_keyword=FALSE&page=1&limit=20&period=7&region=US&new_to_top_100=false"
        "&commercial_music=false",
        items_key="sound_list",
        usual_total=(98, 100),
        make_item=items.make_sound,
    ),
    DetailEndpoint(
        name="music_detail",
        path=_TRENDING + "music/detail",
        defaults="period=7&region=US&clip_id=6703723351497508865",
        make_data=items.make_sound_detail,
    ),
)


def find_endpoint(path_or_name: str) -> AnyEndpoint:
    """Return the endpoint with that path or name.

    Raises:
        ValueError: There is none.
    """
    for endpoint in ENDPOINTS:
        if path_or_name in endpoint.names:
            return endpoint
    allowed = ", ".join(endpoint.name for endpoint in ENDPOINTS)
    raise ValueError(
        f"path must be the path of an endpoint or one of {allowed}; got {path_or_name!r}"
    )


def find_list(path_or_name: str) -> ListEndpoint:
    """Return the list endpoint with that path or name.

    Raises:
        ValueError: There is none.
    """
    endpoint = find_endpoint(path_or_name)
    if isinstance(endpoint, ListEndpoint):
        return endpoint
    raise ValueError(f"path must be that of a list; got {path_or_name!r}")


def _is_positive(value: str) -> bool:
    return value.isascii() and value.isdigit() and len(value) <= _MAX_DIGITS and int(value) > 0


_ACCEPTS: Final[Mapping[str, Callable[[str], bool]]] = {
    "page": _is_positive,
    "limit": _is_positive,
    "order_by": {"vv", "like", "comment", "repost"}.__contains__,
    "new_to_top_100": {"true", "false"}.__contains__,
    "commercial_music": {"true", "false"}.__contains__,
}


def parse_query(
    endpoint: AnyEndpoint,
    params: Mapping[str, str],
    seed: int = 0,
    day: date = FIRST_DAY,
    total: int | None = None,
) -> Query:
    """Fill in defaults and check every value; unknown parameters are ignored, as the API does.

    Raises:
        BadParameterError: A value the endpoint does not take.
    """
    values = {name: params.get(name, default) for name, default in endpoint.defaults.items()}
    for name, value in values.items():
        accepts = endpoint.periods.__contains__ if name == "period" else _ACCEPTS.get(name, bool)
        if not accepts(value):
            raise BadParameterError(f"Invalid parameter: {name}")
    page, limit = int(values.pop("page", 0)), int(values.pop("limit", MAX_PAGE_SIZE))
    return Query(endpoint, Scene(values, seed, count_days(day), total), page, limit)
