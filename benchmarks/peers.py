"""What a user might write instead: the same answers as pydantic models, and httpx to get them.

Fields as in `keyapi_async.models`: all but the identities may be missing or null, lists are
tuples, ids are text whatever the wire has, unknown fields are kept.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict

T = TypeVar("T")


class Model(BaseModel):
    """What all have in common."""

    model_config = ConfigDict(extra="allow", coerce_numbers_to_str=True)


class TrendPoint(Model):
    time: int | None = None
    value: float | None = None


class Creator(Model):
    nick_name: str | None = None
    avatar_url: str | None = None


class Named(Model):
    id: str | None = None
    value: str | None = None
    label: str | None = None


class AudienceAge(Model):
    age_level: int | None = None
    score: float | None = None


class AudienceCountry(Model):
    country_info: Named | None = None
    score: float | None = None


class AudienceInterest(Model):
    interest_info: Named | None = None
    score: float | None = None


class Longevity(Model):
    popular_days: int | None = None
    current_popularity: float | None = None


class RelatedHashtag(Model):
    hashtag_id: str | None = None
    hashtag_name: str | None = None
    video_url: str | None = None


class RelatedItem(Model):
    item_id: str | None = None
    cover_uri: str | None = None


class Hashtag(Model):
    hashtag_id: str
    hashtag_name: str
    country_info: Named | None = None
    industry_info: Named | None = None
    is_promoted: bool | None = None
    trend: tuple[TrendPoint, ...] | None = ()
    creators: tuple[Creator, ...] | None = ()
    publish_cnt: int | None = None
    video_views: int | None = None
    rank: int | None = None
    rank_diff: int | None = None
    rank_diff_type: int | None = None


class HashtagDetail(Model):
    hashtag_id: str
    hashtag_name: str
    description: str | None = None
    video_url: str | None = None
    country_info: Named | None = None
    industry_info: Named | None = None
    is_promoted: bool | None = None
    trend: tuple[TrendPoint, ...] | None = ()
    publish_cnt: int | None = None
    video_views: int | None = None
    publish_cnt_all: int | None = None
    video_views_all: int | None = None
    longevity: Longevity | None = None
    audience_ages: tuple[AudienceAge, ...] | None = ()
    audience_interests: tuple[AudienceInterest, ...] | None = ()
    audience_countries: tuple[AudienceCountry, ...] | None = ()
    related_hashtags: tuple[RelatedHashtag, ...] | None = ()
    related_items: tuple[RelatedItem, ...] | None = ()


class Video(Model):
    item_id: str
    id: str | None = None
    title: str | None = None
    duration: int | None = None
    cover: str | None = None
    item_url: str | None = None
    region: str | None = None
    country_code: str | None = None


class Sound(Model):
    clip_id: str
    song_id: str | None = None
    title: str | None = None
    author: str | None = None
    duration: int | None = None
    cover: str | None = None
    link: str | None = None
    music_url: str | None = None
    url_title: str | None = None
    country_code: str | None = None
    if_cml: bool | None = None
    cml_mid: str | None = None
    is_search: bool | None = None
    promoted: bool | None = None
    on_list_times: int | None = None
    rank: int | None = None
    rank_diff: int | None = None
    rank_diff_type: int | None = None
    trend: tuple[TrendPoint, ...] | None = ()
    related_items: tuple[RelatedItem, ...] | None = ()


class SoundDetail(Sound):
    longevity: Longevity | None = None
    audience_ages: tuple[AudienceAge, ...] | None = ()
    audience_interests: tuple[AudienceInterest, ...] | None = ()
    audience_countries: tuple[AudienceCountry, ...] | None = ()


class HashtagInfo(Model):
    info: HashtagDetail


class MusicDetail(Model):
    sound: SoundDetail
    liked: bool | None = None
    disliked: bool | None = None
    like_count: int | None = None


class Pagination(Model):
    page: int
    has_more: bool
    size: int | None = None
    limit: int | None = None
    total: int | None = None
    total_count: int | None = None


class Hashtags(Model):
    list: tuple[Hashtag, ...]
    pagination: Pagination


class Videos(Model):
    videos: tuple[Video, ...]
    pagination: Pagination


class Sounds(Model):
    sound_list: tuple[Sound, ...]
    pagination: Pagination


class Envelope(Model, Generic[T]):
    """Around every answer."""

    code: int
    message: str | None = None
    requestId: str | None = None  # noqa: N815 - the wire's name
    data: T
