"""The endpoints, each one typed descriptor: what it is asked, and what its answer is made of.

A query is a value: it is checked when made, and can be hashed, pickled, printed and compared.
Its fields stand in the documented order, which is the order on the wire.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Final, Generic, Literal, TypeAlias, TypeVar
from urllib.parse import urlencode

import attrs
from attrs import field, frozen

from .errors import ParameterError
from .models import (
    Hashtag,
    HashtagDetail,
    HashtagInfo,
    HashtagList,
    Model,
    MusicDetail,
    Sound,
    SoundList,
    Video,
    VideoList,
)
from .reference import REGIONS, VIDEO_REGIONS

MAX_LIMIT: Final = 20
"""The most items a page can have; the API silently clamps what is larger."""

NO_INDUSTRY: Final = "nothing"
NO_SEARCH: Final = "FALSE"
ALL_REGIONS: Final = "all_regions"

Period: TypeAlias = Literal[7, 30, 120, "7", "30", "120"]
DetailPeriod: TypeAlias = Literal[7, 30, 120, 365, 1095, "7", "30", "120", "365", "1095"]
OrderBy: TypeAlias = Literal["vv", "like", "comment", "repost"]
Flag: TypeAlias = bool | Literal["true", "false"]
Whole: TypeAlias = int | str
"""A whole number, or its decimal digits."""

ItemT = TypeVar("ItemT", bound=Model)


def whole_number(name: str, value: object, low: int, high: int | None = None) -> int:
    """Take a whole number within bounds, as an int or as its decimal digits.

    Raises:
        ParameterError: It isn't one.
    """
    number = _integer(value)
    if number is None or number < low or (high is not None and number > high):
        allowed = f"from {low} to {high}" if high is not None else f"of at least {low}"
        raise ParameterError(name, value, f"a whole number {allowed}")
    return number


def _integer(value: object) -> int | None:
    if isinstance(value, str):
        return int(value) if re.fullmatch(r"0|-?[1-9][0-9]{0,17}", value) else None
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() < 64:
        return int(value)
    return None


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ParameterError(name, value, "a non-empty text")
    if not value.isprintable() and any(0xD800 <= ord(char) <= 0xDFFF for char in value):
        allowed = "text that can be sent, without half a character (a lone surrogate)"
        raise ParameterError(name, value, allowed)
    return str.__str__(value)  # of a member of a str enum, its value


def _identifier(name: str, value: object) -> str:
    number = _integer(value)
    return _text(name, value if number is None or number < 0 else str(number))


def _boolean(name: str, value: object) -> bool:
    if value is True or value == "true":
        return True
    if value is False or value == "false":
        return False
    raise ParameterError(name, value, "True, False, 'true' or 'false'")


def _days(value: object, allowed: Iterable[int]) -> int:
    number = _integer(value)
    if number is None or number not in allowed:
        raise ParameterError("period", value, f"one of {', '.join(map(str, allowed))}")
    return number


# One converter for each parameter, under its own name: type checkers read from it what may be
# given, and take no other form of converter.


def _page(value: Whole) -> int:
    return whole_number("page", value, 1)


def _limit(value: Whole) -> int:
    return whole_number("limit", value, 1, MAX_LIMIT)


def _period(value: Period) -> int:
    return _days(value, (7, 30, 120))


def _detail_period(value: DetailPeriod) -> int:
    return _days(value, (7, 30, 120, 365, 1095))


def _region(value: str) -> str:
    text = _text("region", value)
    if text.split() != [text]:
        raise ParameterError("region", value, "a country code without spaces")
    return text


def _industry_id(value: Whole | None) -> str:
    return NO_INDUSTRY if value is None else _identifier("industry_id", value)


def _search_keyword(value: str | None) -> str:
    return NO_SEARCH if value is None else _text("search_keyword", value)


def _order_by(value: OrderBy) -> str:
    text = str.__str__(value) if isinstance(value, str) else value
    if text not in ("vv", "like", "comment", "repost"):
        raise ParameterError("order_by", value, "one of vv, like, comment, repost")
    return text


def _new_to_top_100(value: Flag) -> bool:
    return _boolean("new_to_top_100", value)


def _commercial_music(value: Flag) -> bool:
    return _boolean("commercial_music", value)


def _hashtag_name(value: str) -> str:
    bare = _text("hashtag_name", value).lstrip("#")
    if not bare.strip():
        raise ParameterError("hashtag_name", value, "a name, with or without #")
    return bare


def _clip_id(value: Whole) -> str:
    return _identifier("clip_id", value)


@frozen(kw_only=True)
class Query(Generic[ItemT]):
    """What is asked of one endpoint.

    Attributes:
        name: The endpoint's name: that of its coroutine in `client.trending`.
        path: Its path.
        noun: What one of its items is called.
        shape: The class of the `data` of its answers.
        data_key: Where in `data` the items are, or the object; empty for `data` itself.
        item: The class of an item, or of the object.
        item_key: The attribute that identifies an item.
        regions: Known values of `region`, with their names; an open set.
    """

    name: ClassVar[str]
    path: ClassVar[str]
    noun: ClassVar[str]
    shape: ClassVar[type[Any]]
    data_key: ClassVar[str]
    item: ClassVar[type[Model]]
    item_key: ClassVar[str]
    regions: ClassVar[Mapping[str, str]]

    @property
    def cache_key(self) -> str:
        """What makes it the query it is, as text: the same for equal queries."""
        return f"{self.path}?{urlencode(sorted(attrs.asdict(self).items()))}"

    @classmethod
    def id_of(cls, item: ItemT) -> str:
        """The identity of an item."""
        identity: Any = item
        for name in cls.item_key.split("."):
            identity = getattr(identity, name)
        return str(identity)


@frozen(kw_only=True)
class ListQuery(Query[ItemT]):
    """A query of a list: its answer is a page.

    Attributes:
        label: The attribute of an item that people know it by.
        views: The attribute that counts its views; None where the wire has none.
        usual_total: How many items a list without narrowing filters usually has.
        detail_query: The class of query for the detail of an item; None if there is none.
        page: Page number, from 1.
        limit: Items per page, 1 to 20.
    """

    label: ClassVar[str]
    views: ClassVar[str | None] = None
    usual_total: ClassVar[int] = 100
    detail_query: ClassVar[type[DetailQuery[Any]] | None] = None

    page: int = field(default=1, converter=_page)
    limit: int = field(default=MAX_LIMIT, converter=_limit)

    def detail(self, item: ItemT) -> DetailQuery[Any] | None:
        """The query for the detail of an item, of the same region and period; None if none is."""
        make: Any = self.detail_query
        if make is None:
            return None
        mine: Any = self
        try:
            return make(  # type: ignore[no-any-return]
                period=mine.period,
                region=mine.region,
                **{make.subject: getattr(item, make.subject)},
            )
        except ParameterError:  # an empty name, perhaps
            return None


@frozen(kw_only=True)
class DetailQuery(Query[ItemT]):
    """A query of one thing in detail.

    Attributes:
        subject: The parameter that says which.
    """

    subject: ClassVar[str]


@frozen(kw_only=True)
class HashtagDetailQuery(DetailQuery[HashtagDetail]):
    """One hashtag in detail.

    Args:
        period: Days: 7, 30, 120, 365 (12 months) or 1095 (3 years).
        region: Country code such as US, or `all_regions`.
        hashtag_name: Name as in the hashtag list; a leading # is dropped.
    """

    name = "hashtag_detail"
    path = "/v1/tiktok/trending/hashtag/detail"
    noun = "hashtag"
    shape = HashtagInfo
    data_key = "info"
    item = HashtagDetail
    item_key = "hashtag_id"
    regions = MappingProxyType({ALL_REGIONS: "All regions", **REGIONS})
    subject = "hashtag_name"

    period: int = field(default=7, converter=_detail_period)
    region: str = field(default=ALL_REGIONS, converter=_region)
    hashtag_name: str = field(default="ufc324", converter=_hashtag_name)


@frozen(kw_only=True)
class HashtagsQuery(ListQuery[Hashtag]):
    """Trending hashtags.

    Args:
        page: Page number, from 1.
        limit: Items per page, 1 to 20.
        period: Days: 7, 30 or 120.
        region: Country code such as US, or `all_regions`.
        industry_id: Only this first-level industry.
        new_to_top_100: Only those that entered the top 100 for the first time.
    """

    name = "hashtags"
    path = "/v1/tiktok/trending/hashtags"
    noun = "hashtag"
    shape = HashtagList
    data_key = "list"
    item = Hashtag
    item_key = "hashtag_id"
    label = "hashtag_name"
    views = "video_views"
    regions = HashtagDetailQuery.regions
    detail_query = HashtagDetailQuery

    page: int = field(default=1, converter=_page)
    limit: int = field(default=MAX_LIMIT, converter=_limit)
    period: int = field(default=7, converter=_period)
    region: str = field(default=ALL_REGIONS, converter=_region)
    industry_id: str = field(default=None, converter=_industry_id)
    new_to_top_100: bool = field(default=False, converter=_new_to_top_100)


@frozen(kw_only=True)
class VideosQuery(ListQuery[Video]):
    """Trending videos.

    Args:
        page: Page number, from 1.
        period: Days: 7, 30 or 120.
        limit: Items per page, 1 to 20.
        region: Country code such as US.
        order_by: vv (hot), like, comment or repost.
    """

    name = "videos"
    path = "/v1/tiktok/trending/videos"
    noun = "video"
    shape = VideoList
    data_key = "videos"
    item = Video
    item_key = "item_id"
    label = "title"
    regions = MappingProxyType(VIDEO_REGIONS)
    usual_total = 500

    page: int = field(default=1, converter=_page)
    period: int = field(default=7, converter=_period)
    limit: int = field(default=MAX_LIMIT, converter=_limit)
    region: str = field(default="US", converter=_region)
    order_by: str = field(default="vv", converter=_order_by)


@frozen(kw_only=True)
class MusicDetailQuery(DetailQuery[MusicDetail]):
    """One sound in detail.

    Args:
        period: Days: 7, 30 or 120.
        region: Country code such as US.
        clip_id: As in the list of music.
    """

    name = "music_detail"
    path = "/v1/tiktok/trending/music/detail"
    noun = "sound"
    shape = MusicDetail
    data_key = ""
    item = MusicDetail
    item_key = "sound.clip_id"
    regions = MappingProxyType(REGIONS)
    subject = "clip_id"

    period: int = field(default=7, converter=_period)
    region: str = field(default="US", converter=_region)
    clip_id: str = field(default="6703723351497508865", converter=_clip_id)


@frozen(kw_only=True)
class MusicQuery(ListQuery[Sound]):
    """Trending sounds.

    Args:
        search_keyword: Only sounds that match.
        page: Page number, from 1.
        limit: Items per page, 1 to 20.
        period: Days: 7, 30 or 120.
        region: Country code such as US.
        new_to_top_100: Only those that entered the top 100 for the first time.
        commercial_music: Only sounds cleared for commercial use.
    """

    name = "music"
    path = "/v1/tiktok/trending/music"
    noun = "sound"
    shape = SoundList
    data_key = "sound_list"
    item = Sound
    item_key = "clip_id"
    label = "title"
    regions = MusicDetailQuery.regions
    detail_query = MusicDetailQuery

    search_keyword: str = field(default=None, converter=_search_keyword)
    page: int = field(default=1, converter=_page)
    limit: int = field(default=MAX_LIMIT, converter=_limit)
    period: int = field(default=7, converter=_period)
    region: str = field(default="US", converter=_region)
    new_to_top_100: bool = field(default=False, converter=_new_to_top_100)
    commercial_music: bool = field(default=False, converter=_commercial_music)


ENDPOINTS: Final[Mapping[str, type[Query[Any]]]] = MappingProxyType(
    {
        query.name: query
        for query in (HashtagsQuery, HashtagDetailQuery, VideosQuery, MusicQuery, MusicDetailQuery)
    }
)
"""The endpoints by name."""
