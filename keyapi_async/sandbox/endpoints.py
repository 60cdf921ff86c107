"""The five endpoints: paths, parameters, defaults and what the server accepts for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final

from attrs import frozen

MAX_PAGE_SIZE: Final = 20
NO_INDUSTRY: Final = "nothing"
NO_SEARCH: Final = "FALSE"
ALL_REGIONS: Final = "all_regions"

_LIST_PERIODS: Final = frozenset({"7", "30", "120"})
_DETAIL_PERIODS: Final = _LIST_PERIODS | {"365", "1095"}
_MAX_DIGITS: Final = 18  # a 64-bit integer, as in most servers; int() of a book would be slow


class BadParameterError(ValueError):
    """A query parameter has a value the endpoint does not take."""


@frozen(eq=False)  # there are five of them, each equal to itself only
class Endpoint:
    """One endpoint: what it is called, what it takes, how its answer is laid out."""

    name: str
    path: str
    defaults: Mapping[str, str]
    periods: frozenset[str] = _LIST_PERIODS
    items_key: str | None = None
    """Where a list endpoint keeps its items within ``data``; None for a detail endpoint."""
    size_key: str = "size"
    total_key: str = "total"


@frozen
class Query:
    """A valid request: the endpoint, the value of each of its parameters, the page."""

    endpoint: Endpoint
    filters: tuple[tuple[str, str], ...]
    page: int | None = None
    """The page asked for; None where there are no pages."""
    limit: int = MAX_PAGE_SIZE
    """The page size asked for; :attr:`size` is the one that is used."""

    @property
    def size(self) -> int:
        """Items per page: the API silently clamps a larger limit."""
        return min(self.limit, MAX_PAGE_SIZE)


_TRENDING: Final = "/v1/tiktok/trending/"
_PAGED: Final = {"page": "1", "limit": "20"}

ENDPOINTS: Final = (
    Endpoint(
        name="hashtags",
        path=_TRENDING + "hashtags",
        defaults={
            **_PAGED,
            "period": "7",
            "region": ALL_REGIONS,
            "industry_id": NO_INDUSTRY,
            "new_to_top_100": "false",
        },
        items_key="list",
    ),
    Endpoint(
        name="hashtag_detail",
        path=_TRENDING + "hashtag/detail",
        defaults={"period": "7", "region": ALL_REGIONS, "hashtag_name": "ufc324"},
        periods=_DETAIL_PERIODS,
    ),
    Endpoint(
        name="videos",
        path=_TRENDING + "videos",
        defaults={**_PAGED, "period": "7", "region": "US", "order_by": "vv"},
        items_key="videos",
        size_key="limit",
        total_key="total_count",
    ),
    Endpoint(
        name="music",
        path=_TRENDING + "music",
        defaults={
            "search_keyword": NO_SEARCH,
            **_PAGED,
            "period": "7",
            "region": "US",
            "new_to_top_100": "false",
            "commercial_music": "false",
        },
        items_key="sound_list",
    ),
    Endpoint(
        name="music_detail",
        path=_TRENDING + "music/detail",
        defaults={"period": "7", "region": "US", "clip_id": "6703723351497508865"},
    ),
)
BY_PATH: Final = MappingProxyType({endpoint.path: endpoint for endpoint in ENDPOINTS})
_BY_NAME: Final = MappingProxyType({endpoint.name: endpoint for endpoint in ENDPOINTS})


def find_endpoint(path_or_name: str) -> Endpoint:
    """Return the endpoint with that path or name.

    Raises:
        ValueError: There is none.
    """
    endpoint = BY_PATH.get(path_or_name) or _BY_NAME.get(path_or_name)
    if endpoint is None:
        allowed = ", ".join(_BY_NAME)
        raise ValueError(
            f"path must be the path of an endpoint or one of {allowed}; got {path_or_name!r}"
        )
    return endpoint


def find_paths(paths_or_names: Iterable[str]) -> frozenset[str]:
    """Return the paths of these endpoints."""
    return frozenset(find_endpoint(each).path for each in paths_or_names)


def _positive_integer(value: str) -> bool:
    return value.isascii() and value.isdigit() and len(value) <= _MAX_DIGITS and int(value) > 0


_ACCEPTS: Final[Mapping[str, Callable[[str], bool]]] = {
    "page": _positive_integer,
    "limit": _positive_integer,
    "order_by": {"vv", "like", "comment", "repost"}.__contains__,
    "new_to_top_100": {"true", "false"}.__contains__,
    "commercial_music": {"true", "false"}.__contains__,
}


def parse_query(endpoint: Endpoint, params: Mapping[str, str]) -> Query:
    """Fill in defaults and check every value; unknown parameters are ignored, as the API does.

    Raises:
        BadParameterError: A value the endpoint does not take.
    """
    values = {name: params.get(name, default) for name, default in endpoint.defaults.items()}
    for name, value in values.items():
        accepts = endpoint.periods.__contains__ if name == "period" else _ACCEPTS.get(name, bool)
        if not accepts(value):
            raise BadParameterError(f"Invalid parameter: {name}")
    if endpoint.items_key is None:
        return Query(endpoint, tuple(values.items()))
    page, limit = int(values.pop("page")), int(values.pop("limit"))
    return Query(endpoint, tuple(values.items()), page, limit)
