"""Code as users write it, for the type checkers alone: nothing here is run.

`mypy --strict` and strict pyright read it. A `type: ignore[...]` marks a wrong use, which both of
them refuse: test_typing.py takes the marks away and looks.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from datetime import datetime
from typing import Any, Literal, assert_type

import aiohttp
from aiolimiter import AsyncLimiter

import keyapi_async
from keyapi_async import (
    ENDPOINTS,
    APIError,
    AudienceAge,
    AudienceCountry,
    AudienceInterest,
    AuthenticationError,
    BadRequestError,
    Cache,
    Checkpoint,
    ClientClosedError,
    ConfigurationError,
    CountryInfo,
    Creator,
    CreditBudget,
    CreditBudgetError,
    DeadlineError,
    DetailQuery,
    Hashtag,
    HashtagDetail,
    HashtagDetailQuery,
    HashtagsQuery,
    IndustryInfo,
    InsufficientCreditsError,
    InterestInfo,
    InvalidResponseError,
    KeyAPIClient,
    KeyAPIError,
    ListQuery,
    Longevity,
    Model,
    MusicDetail,
    MusicDetailQuery,
    MusicQuery,
    NotFoundError,
    Page,
    Pager,
    PaginationError,
    ParameterError,
    PermissionDeniedError,
    Query,
    RateLimitError,
    RelatedHashtag,
    RelatedItem,
    RequestEvent,
    RequestTimeoutError,
    ResponseCache,
    RetryPolicy,
    ServerError,
    ShareError,
    Sound,
    SoundDetail,
    StopReason,
    TransportError,
    TrendPoint,
    Usage,
    Video,
    VideosQuery,
    from_dict,
    reference,
    to_dict,
)


def watch(event: RequestEvent) -> None:
    assert_type(event.kind, Literal["attempt", "retry", "pause", "pace"])
    assert_type(event.endpoint, str)
    assert_type(event.params, Mapping[str, str])
    assert_type(event.attempt, int)
    assert_type(event.pace, float | None)
    assert_type(event.status, int | None)
    assert_type(event.error, str | None)
    assert_type(event.request_id, str | None)
    assert_type(event.elapsed, float | None)
    assert_type(event.wait, float | None)


class NoCache:
    async def get(self, key: str) -> bytes | None:
        return None if key else b""

    async def set(self, key: str, body: bytes, ttl: float) -> None:
        pass


def read(data: dict[str, Any], error: DeadlineError) -> None:
    assert_type(from_dict(Hashtag, data), Hashtag)
    assert_type(error.last_error, KeyAPIError | None)
    assert_type(error.retry_after, float | None)


async def clients(session: aiohttp.ClientSession) -> None:
    async with KeyAPIClient() as client:
        assert_type(client, KeyAPIClient)
        usage = client.usage
        assert_type(usage, Usage)
        for count in (usage.requests, usage.retries, usage.rate_limited):
            assert_type(count, int)
        assert_type(usage.credits_spent + usage.credits_at_risk, int)
        assert_type(usage.pace, float | None)
    policy = RetryPolicy(
        rate_limit_deadline=60,
        max_wait=math.inf,
        unsent=0,
        unavailable=3,
        maybe_billed=1,
        backoff=0.5,
    )
    KeyAPIClient("key", base_url="http://localhost:8000", qps=math.inf, adaptive=False, margin=0)
    KeyAPIClient(api_key="key", limiter=AsyncLimiter(5, 1), timeout=5, retry=policy)
    KeyAPIClient(max_credits=100, session=session, on_event=watch)
    KeyAPIClient(cache=ResponseCache(60, path="cache.sqlite"), allow_unknown=True)
    own: Cache = NoCache()
    budget = CreditBudget(100, per=60.0)
    assert_type(budget.remaining, int)
    quick = KeyAPIClient(max_credits=budget, cache=own).with_options(
        timeout=5, deadline=2.5, retry=policy, max_credits=10, priority=1, cache=None
    )
    assert_type(quick, KeyAPIClient)
    await quick.close(drain=5)
    owner = KeyAPIClient(trace_configs=[aiohttp.TraceConfig()], on_event=print)
    assert_type(await owner.close(), None)
    assert_type(keyapi_async.__version__, str)


async def lists(client: KeyAPIClient) -> None:
    page = await client.trending.hashtags(
        page=2,
        limit=10,
        period=30,
        region="US",
        industry_id=28000000000,
        new_to_top_100=True,
    )
    assert_type(page, Page[Hashtag])
    assert_type(page.items, tuple[Hashtag, ...])
    assert_type((page.number, page.has_more), tuple[int, bool])
    assert_type(page.size, int | None)
    assert_type(page.total, int | None)
    assert_type(page.request_id, str | None)
    assert_type((page.retrieved_at, page.from_cache), tuple[datetime | None, bool])
    assert_type(page.raw, dict[str, Any])
    await client.trending.hashtags(
        page="2", limit="10", period="30", industry_id="nothing", new_to_top_100="true"
    )
    videos = await client.trending.videos(page=1, period=7, limit=20, region="US", order_by="like")
    assert_type(videos, Page[Video])
    music = await client.trending.music(
        search_keyword="love", commercial_music=True, new_to_top_100="false", region="GB"
    )
    assert_type(music, Page[Sound])
    task = asyncio.create_task(client.trending.music())
    assert_type(await task, Page[Sound])
    pages = await asyncio.gather(client.trending.hashtags(), client.trending.videos())
    assert_type(pages, tuple[Page[Hashtag], Page[Video]])


async def details(client: KeyAPIClient) -> None:
    hashtag = await client.trending.hashtag_detail("ufc324", period=1095, region="all_regions")
    assert_type(hashtag, HashtagDetail)
    sound = await client.trending.music_detail(6703723351497508865, period="30", region="US")
    assert_type(sound, MusicDetail)
    assert_type((hashtag.request_id, sound.request_id), tuple[str | None, str | None])
    assert_type(sound.sound, SoundDetail)
    assert_type((sound.liked, sound.disliked), tuple[bool | None, bool | None])
    assert_type(sound.like_count, int | None)


async def pagers(client: KeyAPIClient) -> None:
    pager = client.trending.iter_hashtags(
        period=30,
        region="US",
        industry_id=None,
        new_to_top_100="true",
        page_size=10,
        start_page=2,
        max_items=100,
        max_pages=5,
        dedupe=False,
        prefetch=2,
    )
    assert_type(pager, Pager[Hashtag])
    assert_type(aiter(pager), AsyncGenerator[Hashtag, None])
    async for hashtag in pager:
        assert_type(hashtag, Hashtag)
    async with aclosing(pager.pages()) as pages:
        async for page in pages:
            assert_type(page, Page[Hashtag])
    assert_type(await pager.collect(), list[Hashtag])
    assert_type(pager.total, int | None)
    assert_type((pager.duplicates, pager.position()), tuple[int, tuple[int | None, int]])
    assert_type(pager.stop_reason, StopReason | None)
    place = pager.checkpoint()
    assert_type(place, Checkpoint)
    assert_type(Checkpoint.parse(str(place)), Checkpoint)
    assert_type(place.page, int | None)
    assert_type(place.params, dict[str, str])
    assert_type(place.seen, tuple[str, ...])
    videos = client.trending.iter_videos(order_by="repost", start=place)
    assert_type([video async for video in videos], list[Video])
    music = client.trending.iter_music(search_keyword="x", commercial_music=True, start=str(place))
    assert_type([sound.title async for sound in music], list[str | None])


async def queries(client: KeyAPIClient, item: Hashtag) -> None:
    query = HashtagsQuery(page="2", limit=5, period="7", industry_id=28000000000)
    as_list: ListQuery[Hashtag] = query
    assert_type((query.page, query.period, query.region), tuple[int, int, str])
    assert_type(await client.trending.page(query), Page[Hashtag])
    assert_type(await client.trending.page(as_list), Page[Hashtag])
    assert_type(client.trending.iterate(MusicQuery(), page_size="5", prefetch=2), Pager[Sound])
    assert_type(client.trending.iterate(VideosQuery(order_by="like")), Pager[Video])
    detail = HashtagDetailQuery(hashtag_name="ufc324", period="1095")
    assert_type(await client.trending.detail(detail), HashtagDetail)
    assert_type(await client.trending.detail(MusicDetailQuery(clip_id=7)), MusicDetail)
    more: DetailQuery[Any] | None = query.detail(item)
    assert_type(query.id_of(item), str)
    known: Mapping[str, type[Query[Any]]] = ENDPOINTS
    kind: type[Model] = known["hashtags"].item
    assert_type((kind.__name__, known["hashtags"].path, more is None), tuple[str, str, bool])


def models(hashtag: Hashtag, detail: HashtagDetail, video: Video, sound: SoundDetail) -> None:
    for model in (hashtag, detail, video, sound):
        assert_type(model.raw, dict[str, Any])
        assert_type(model.extra, dict[str, Any])
        assert_type(to_dict(model), dict[str, Any])
    assert_type(hash(hashtag), int)
    assert_type((hashtag.hashtag_id, hashtag.hashtag_name, hashtag.url), tuple[str, str, str])
    assert_type(hashtag.rank, int | None)
    assert_type(hashtag.rank_diff, int | None)
    assert_type(hashtag.rank_diff_type, int | None)
    assert_type(hashtag.video_views, int | None)
    assert_type(hashtag.publish_cnt, int | None)
    assert_type(hashtag.is_promoted, bool | None)
    assert_type(hashtag.country_info, CountryInfo | None)
    assert_type(hashtag.industry_info, IndustryInfo | None)
    assert_type(hashtag.creators, tuple[Creator, ...])
    assert_type(hashtag.trend, tuple[TrendPoint, ...])
    for point in hashtag.trend:
        assert_type(point.time, int | None)
        assert_type(point.value, float | None)
        assert_type(point.at, datetime | None)
    for creator in hashtag.creators:
        assert_type((creator.nick_name, creator.avatar_url), tuple[str | None, str | None])
    if hashtag.industry_info is not None:
        assert_type(hashtag.industry_info.id, str | None)
        assert_type(hashtag.industry_info.label, str | None)
        assert_type(hashtag.industry_info.value, str | None)
    assert_type(detail.description, str | None)
    assert_type(detail.video_url, str | None)
    assert_type(detail.publish_cnt_all, int | None)
    assert_type(detail.video_views_all, int | None)
    assert_type(detail.longevity, Longevity | None)
    assert_type(detail.audience_ages, tuple[AudienceAge, ...])
    assert_type(detail.audience_interests, tuple[AudienceInterest, ...])
    assert_type(detail.audience_countries, tuple[AudienceCountry, ...])
    assert_type(detail.related_hashtags, tuple[RelatedHashtag, ...])
    assert_type(detail.related_items, tuple[RelatedItem, ...])
    assert_type([age.age_level for age in detail.audience_ages], list[int | None])
    assert_type([i.interest_info for i in detail.audience_interests], list[InterestInfo | None])
    assert_type([c.country_info for c in detail.audience_countries], list[CountryInfo | None])
    assert_type([c.score for c in detail.audience_countries], list[float | None])
    assert_type([other.hashtag_name for other in detail.related_hashtags], list[str | None])
    assert_type([item.item_id for item in detail.related_items], list[str | None])
    if detail.longevity is not None:
        assert_type(detail.longevity.popular_days, int | None)
        assert_type(detail.longevity.current_popularity, float | None)
    assert_type((video.item_id, video.id), tuple[str, str | None])
    assert_type((video.title, video.duration), tuple[str | None, int | None])
    assert_type((video.cover, video.item_url), tuple[str | None, str | None])
    assert_type((video.region, video.country_code), tuple[str | None, str | None])
    assert_type((sound.clip_id, sound.song_id), tuple[str, str | None])
    assert_type((sound.title, sound.author), tuple[str | None, str | None])
    assert_type((sound.if_cml, sound.cml_mid), tuple[bool | None, str | None])
    assert_type((sound.rank, sound.on_list_times), tuple[int | None, int | None])
    assert_type(sound.longevity, Longevity | None)
    as_sound: Sound = sound
    assert_type(as_sound.related_items, tuple[RelatedItem, ...])
    assert_type(reference.REGIONS | reference.VIDEO_REGIONS, dict[str, str])
    assert_type(reference.INDUSTRIES["28000000000"], str)


async def errors(client: KeyAPIClient) -> int:
    try:
        await client.trending.videos()
    except RateLimitError as error:
        assert_type(error.retry_after, float | None)
    except (BadRequestError, AuthenticationError, InsufficientCreditsError) as error:
        assert_type(error.code, int | None)
    except (PermissionDeniedError, NotFoundError, ServerError) as error:
        assert_type((error.status, error.message), tuple[int, str])
    except APIError as error:
        assert_type(error.body, bytes)
    except InvalidResponseError as error:
        assert_type(error.path, str | None)
        assert_type(error.body, bytes)
        assert_type(error.status, int | None)
    except (RequestTimeoutError, ShareError) as error:
        assert_type(error.permanent, bool)
    except (TransportError, CreditBudgetError, PaginationError, ClientClosedError) as error:
        assert_type(error.maybe_billed, bool)
    except KeyAPIError as error:
        assert_type(error.endpoint, str | None)
        assert_type(error.params, Mapping[str, str])
        assert_type(error.request_id, str | None)
        return error.attempts
    try:
        VideosQuery(page=0)
    except ParameterError as error:
        assert_type((error.parameter, error.value, error.allowed), tuple[str, object, str])
    try:
        KeyAPIClient()
    except ConfigurationError as error:
        also_a_value_error: ValueError = error
        return len(also_a_value_error.args)
    return 0


async def wrong(client: KeyAPIClient, hashtag: Hashtag, page: Page[Hashtag]) -> None:
    KeyAPIClient(max_retries=3)  # type: ignore[call-arg]
    KeyAPIClient("key", "https://api.keyapi.ai")  # type: ignore[call-arg]
    KeyAPIClient(qps="10")  # type: ignore[arg-type]
    KeyAPIClient(retry=None)  # type: ignore[arg-type]
    KeyAPIClient(on_event=lambda: None)  # type: ignore[misc, arg-type]
    RetryPolicy(60)  # type: ignore[call-arg]
    RetryPolicy(unsent=0.5)  # type: ignore[arg-type]
    RetryPolicy().unsent = 5  # type: ignore[misc]
    await client.trending.hashtags(regoin="US")  # type: ignore[call-arg]
    await client.trending.hashtags(region=None)  # type: ignore[arg-type]
    await client.trending.hashtags("US")  # type: ignore[call-arg]
    await client.trending.videos(industry_id=1)  # type: ignore[call-arg]
    await client.trending.hashtags(period=9)  # type: ignore[arg-type]
    await client.trending.hashtags(period=365)  # type: ignore[arg-type]
    await client.trending.videos(order_by="likes")  # type: ignore[arg-type]
    HashtagsQuery(regoin="US")  # type: ignore[call-arg]
    HashtagsQuery(period=365)  # type: ignore[arg-type]
    HashtagsQuery("US")  # type: ignore[call-arg]
    VideosQuery(order_by="likes")  # type: ignore[arg-type]
    HashtagsQuery().region = "US"  # type: ignore[misc]
    found: Page[Hashtag] = await client.trending.videos()  # type: ignore[assignment]
    found = await client.trending.page(VideosQuery())  # type: ignore[arg-type]
    print(found)
    await client.trending.page(MusicDetailQuery())  # type: ignore[arg-type]
    await client.trending.detail(HashtagsQuery())  # type: ignore[arg-type]
    client.trending.iter_hashtags(page_siz=3)  # type: ignore[call-arg]
    client.trending.iterate(VideosQuery(), page_siz=3)  # type: ignore[call-arg]
    await client.trending.iter_videos()  # type: ignore[misc]
    client.trending.iter_music(page=2)  # type: ignore[call-arg]
    client.trending.iter_music(limit=2)  # type: ignore[call-arg]
    client.trending.iter_videos(start=3)  # type: ignore[arg-type]
    client.trending.iter_videos(max_items="all")  # type: ignore[arg-type]
    for _ in client.trending.iter_videos():  # type: ignore[attr-defined]
        pass
    hashtag.rank + 1  # type: ignore[operator]
    hashtag.rank = 1  # type: ignore[misc]
    hashtag.hashtag_nam  # type: ignore[attr-defined]  # noqa: B018
    hashtag.industry_info.value  # type: ignore[union-attr]  # noqa: B018
    page.items.append(hashtag)  # type: ignore[attr-defined]
    client.usage = Usage()  # type: ignore[misc]
    Hashtag(hashtag_id="1")  # type: ignore[call-arg]
