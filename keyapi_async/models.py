"""The documented answers as attrs classes: frozen, slotted, hashable, wire names kept.

Only identities are sure to be there. Any other field may be missing or null on the wire and is
then None, or an empty tuple for a list. Ids are strings, whatever the wire has.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar
from urllib.parse import quote

from attrs import fields_dict, frozen

from .raw import Received, moment, source_of

_T = TypeVar("_T")

# What the wire may hold is wider than what a caller ever sees: normalize.py narrows it.
if TYPE_CHECKING:
    Id: TypeAlias = str
    Many: TypeAlias = tuple[_T, ...]
else:
    Id = str | int
    Many = tuple[_T, ...] | None

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@frozen(kw_only=True)
class TrendPoint:
    """One step of a trend: `time` in Unix seconds (UTC), `value` relative to the peak, 0 to 1."""

    time: int | None = None
    value: float | None = None

    @property
    def at(self) -> datetime | None:
        """The time as an aware datetime in UTC; None if it is missing or beyond the calendar."""
        try:
            return None if self.time is None else _EPOCH + timedelta(seconds=self.time)
        except OverflowError:
            return None


@frozen(kw_only=True)
class Creator:
    """Somebody who used the hashtag."""

    nick_name: str | None = None
    avatar_url: str | None = None


@frozen(kw_only=True)
class _Named:
    id: Id | None = None
    value: str | None = None
    label: str | None = None


@frozen(kw_only=True)
class CountryInfo(_Named):
    """A country: `value` its name, `label` its code."""


@frozen(kw_only=True)
class IndustryInfo(_Named):
    """A first-level industry: `id` as the `industry_id` filter takes it, `value` its name."""


@frozen(kw_only=True)
class InterestInfo(_Named):
    """An interest of the audience: `value` its name."""


@frozen(kw_only=True)
class AudienceAge:
    """Share of an age group; `score` is a percentage."""

    age_level: int | None = None
    score: float | None = None


@frozen(kw_only=True)
class AudienceCountry:
    """Weight of a country in the audience; `score` is an index, not a percentage."""

    country_info: CountryInfo | None = None
    score: float | None = None


@frozen(kw_only=True)
class AudienceInterest:
    """Weight of an interest in the audience; `score` is an index, not a percentage."""

    interest_info: InterestInfo | None = None
    score: float | None = None


@frozen(kw_only=True)
class Longevity:
    """How long it has been popular, in days, and how popular it is now."""

    popular_days: int | None = None
    current_popularity: float | None = None


@frozen(kw_only=True)
class RelatedHashtag:
    """A hashtag that goes with this one."""

    hashtag_id: Id | None = None
    hashtag_name: str | None = None
    video_url: str | None = None


@frozen(kw_only=True)
class RelatedItem:
    """A video that goes with this hashtag or sound."""

    item_id: Id | None = None
    cover_uri: str | None = None


@cache
def _known(cls: type[Any]) -> frozenset[str]:
    return frozenset(fields_dict(cls))


@frozen(kw_only=True)
class Model(Received):
    """What the main models have in common."""

    @property
    def extra(self) -> dict[str, Any]:
        """The fields of `raw` this version does not know."""
        cls: Any = type(self)
        known, raw = _known(cls), self.raw
        if known.issuperset(raw):  # as a rule, and told in half the time
            return {}
        return {name: value for name, value in raw.items() if name not in known}


@frozen(kw_only=True)
class Detail(Model):
    """What the answers about one thing have in common."""

    @property
    def request_id(self) -> str | None:
        """The server's id of the answer."""
        return source_of(self).request_id

    @property
    def retrieved_at(self) -> datetime | None:
        """When the answer came, in UTC; None if this was made by hand."""
        return moment(source_of(self).retrieved_at)

    @property
    def from_cache(self) -> bool:
        """Whether it took no request of its own."""
        return source_of(self).from_cache


@frozen(kw_only=True)
class Hashtag(Model):
    """A trending hashtag.

    `publish_cnt` counts posts and `video_views` views within the period. `rank_diff_type` is
    not documented; observed: 1 risen, 2 unchanged, 4 new on the list; 3 is left for a fall.
    """

    hashtag_id: Id
    hashtag_name: str
    country_info: CountryInfo | None = None
    industry_info: IndustryInfo | None = None
    is_promoted: bool | None = None
    trend: Many[TrendPoint] = ()
    creators: Many[Creator] = ()
    publish_cnt: int | None = None
    video_views: int | None = None
    rank: int | None = None
    rank_diff: int | None = None
    rank_diff_type: int | None = None

    @property
    def url(self) -> str:
        """The hashtag's page on TikTok."""
        return f"https://www.tiktok.com/tag/{quote(self.hashtag_name, safe='', errors='replace')}"


@frozen(kw_only=True)
class HashtagDetail(Detail):
    """One hashtag in detail; the `_all` counts are world-wide."""

    hashtag_id: Id
    hashtag_name: str
    description: str | None = None
    video_url: str | None = None
    country_info: CountryInfo | None = None
    industry_info: IndustryInfo | None = None
    is_promoted: bool | None = None
    trend: Many[TrendPoint] = ()
    publish_cnt: int | None = None
    video_views: int | None = None
    publish_cnt_all: int | None = None
    video_views_all: int | None = None
    longevity: Longevity | None = None
    audience_ages: Many[AudienceAge] = ()
    audience_interests: Many[AudienceInterest] = ()
    audience_countries: Many[AudienceCountry] = ()
    related_hashtags: Many[RelatedHashtag] = ()
    related_items: Many[RelatedItem] = ()


@frozen(kw_only=True)
class Video(Model):
    """A trending video; `duration` in seconds, `region` the country's name."""

    item_id: Id
    id: Id | None = None
    title: str | None = None
    duration: int | None = None
    cover: str | None = None
    item_url: str | None = None
    region: str | None = None
    country_code: str | None = None


@frozen(kw_only=True)
class Sound(Model):
    """A trending sound; `duration` in seconds, `if_cml` whether cleared for commercial use."""

    clip_id: Id
    song_id: Id | None = None
    title: str | None = None
    author: str | None = None
    duration: int | None = None
    cover: str | None = None
    link: str | None = None
    music_url: str | None = None
    url_title: str | None = None
    country_code: str | None = None
    if_cml: bool | None = None
    cml_mid: Id | None = None
    is_search: bool | None = None
    promoted: bool | None = None
    on_list_times: int | None = None
    rank: int | None = None
    rank_diff: int | None = None
    rank_diff_type: int | None = None
    trend: Many[TrendPoint] = ()
    related_items: Many[RelatedItem] = ()


@frozen(kw_only=True)
class SoundDetail(Sound):
    """One sound in detail."""

    longevity: Longevity | None = None
    audience_ages: Many[AudienceAge] = ()
    audience_interests: Many[AudienceInterest] = ()
    audience_countries: Many[AudienceCountry] = ()


@frozen(kw_only=True)
class MusicDetail(Detail):
    """A sound in detail, and what the account behind the key thinks of it."""

    sound: SoundDetail
    liked: bool | None = None
    disliked: bool | None = None
    like_count: int | None = None


@frozen(kw_only=True)
class Pagination:
    """Where a page stands; each endpoint has one of the two shapes."""

    page: int
    has_more: bool
    size: int | None = None
    limit: int | None = None
    total: int | None = None
    total_count: int | None = None


@frozen(kw_only=True, eq=False, repr=False)
class HashtagList:
    """`data` of the hashtag list."""

    list: tuple[Hashtag, ...]
    pagination: Pagination


@frozen(kw_only=True, eq=False, repr=False)
class VideoList:
    """`data` of the video list."""

    videos: tuple[Video, ...]
    pagination: Pagination


@frozen(kw_only=True, eq=False, repr=False)
class SoundList:
    """`data` of the sound list."""

    sound_list: tuple[Sound, ...]
    pagination: Pagination


@frozen(kw_only=True, eq=False, repr=False)
class HashtagInfo:
    """`data` of one hashtag."""

    info: HashtagDetail
