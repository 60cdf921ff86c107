"""The trending endpoints: five coroutines, and three iterators over every page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

from .models import (
    Hashtag,
    HashtagDetail,
    HashtagInfo,
    HashtagList,
    MusicDetail,
    Sound,
    SoundList,
    Video,
    VideoList,
)
from .pages import Checkpoint, Page, page_from
from .pagination import Pager
from .protocol import Answer
from .queries import (
    MAX_LIMIT,
    HashtagDetailQuery,
    HashtagsQuery,
    ListQuery,
    MusicDetailQuery,
    MusicQuery,
    VideosQuery,
    whole_number,
)
from .received import Source
from .session import Session


class Trending:
    """TikTok trends: `client.trending`.

    All parameters take Python values or the documented strings. A value that can't be right
    raises ValueError before anything is sent. Each request costs 2 credits.

    Every coroutine raises, and every iterator while it is iterated:
        APIError: The server answers with an error; its subclasses tell which.
        TransportError: No answer, after the retries of the client's policy.
        InvalidResponseError: The answer is not what is documented.
        CreditBudgetError: The request could pass `max_credits`; it was not sent.
        ClientClosedError: The client is closed, or belongs to another event loop.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def __reduce__(self) -> NoReturn:
        raise TypeError("a KeyAPIClient can't be pickled or copied, nor what hangs on it")

    async def hashtags(
        self,
        *,
        page: int | str = 1,
        limit: int | str = MAX_LIMIT,
        period: int | str = 7,
        region: str = "all_regions",
        industry_id: int | str | None = None,
        new_to_top_100: bool | str = False,
    ) -> Page[Hashtag]:
        """One page of trending hashtags (`GET /v1/tiktok/trending/hashtags`).

        Args:
            page: Page number, from 1.
            limit: Items per page, 1 to 20.
            period: Days: 7, 30 or 120.
            region: Country code such as `US`, or `all_regions`; see `reference.REGIONS`.
            industry_id: A first-level industry; None or `nothing` for all; see
                `reference.INDUSTRIES`.
            new_to_top_100: Only hashtags that entered the top 100 for the first time.

        Raises:
            ValueError: A parameter can't be right; nothing was sent.
            KeyAPIError: As listed for the class.
        """
        query = HashtagsQuery.of(
            page=page,
            limit=limit,
            period=period,
            region=region,
            industry_id=industry_id,
            new_to_top_100=new_to_top_100,
        )
        return await self._pages(HashtagList)(query)

    async def hashtag_detail(
        self,
        hashtag_name: str = "ufc324",
        *,
        period: int | str = 7,
        region: str = "all_regions",
    ) -> HashtagDetail:
        """One hashtag in detail (`GET /v1/tiktok/trending/hashtag/detail`).

        Args:
            hashtag_name: Name as in the hashtag list; a leading `#` is dropped.
            period: Days: 7, 30, 120, 365 (12 months) or 1095 (3 years).
            region: Country code such as `US`, or `all_regions`.

        Raises:
            ValueError: A parameter can't be right; nothing was sent.
            KeyAPIError: As listed for the class; NotFoundError for an unknown hashtag.
        """
        query = HashtagDetailQuery.of(period=period, region=region, hashtag_name=hashtag_name)
        return hashtag_detail_from(await self._session.fetch(query, HashtagInfo))

    async def videos(
        self,
        *,
        page: int | str = 1,
        period: int | str = 7,
        limit: int | str = MAX_LIMIT,
        region: str = "US",
        order_by: str = "vv",
    ) -> Page[Video]:
        """One page of trending videos (`GET /v1/tiktok/trending/videos`).

        Args:
            page: Page number, from 1.
            period: Days: 7, 30 or 120.
            limit: Items per page, 1 to 20.
            region: Country code; see `reference.VIDEO_REGIONS`.
            order_by: `vv` (hot), `like`, `comment` or `repost`.

        Raises:
            ValueError: A parameter can't be right; nothing was sent.
            KeyAPIError: As listed for the class.
        """
        query = VideosQuery.of(
            page=page, period=period, limit=limit, region=region, order_by=order_by
        )
        return await self._pages(VideoList)(query)

    async def music(
        self,
        *,
        search_keyword: str | None = None,
        page: int | str = 1,
        limit: int | str = MAX_LIMIT,
        period: int | str = 7,
        region: str = "US",
        new_to_top_100: bool | str = False,
        commercial_music: bool | str = False,
    ) -> Page[Sound]:
        """One page of trending sounds (`GET /v1/tiktok/trending/music`).

        Args:
            search_keyword: Only sounds that match; None or `FALSE` for all.
            page: Page number, from 1.
            limit: Items per page, 1 to 20.
            period: Days: 7, 30 or 120.
            region: One country code; see `reference.REGIONS`.
            new_to_top_100: Only sounds that entered the top 100 for the first time.
            commercial_music: Only sounds cleared for commercial use.

        Raises:
            ValueError: A parameter can't be right; nothing was sent.
            KeyAPIError: As listed for the class.
        """
        query = MusicQuery.of(
            search_keyword=search_keyword,
            page=page,
            limit=limit,
            period=period,
            region=region,
            new_to_top_100=new_to_top_100,
            commercial_music=commercial_music,
        )
        return await self._pages(SoundList)(query)

    async def music_detail(
        self,
        clip_id: int | str = "6703723351497508865",
        *,
        period: int | str = 7,
        region: str = "US",
    ) -> MusicDetail:
        """One sound in detail (`GET /v1/tiktok/trending/music/detail`).

        Args:
            clip_id: `clip_id` of a sound in the music list.
            period: Days: 7, 30 or 120.
            region: Country code.

        Raises:
            ValueError: A parameter can't be right; nothing was sent.
            KeyAPIError: As listed for the class; NotFoundError for an unknown sound.
        """
        query = MusicDetailQuery.of(period=period, region=region, clip_id=clip_id)
        return music_detail_from(await self._session.fetch(query, MusicDetail))

    async def detail(
        self, query: HashtagDetailQuery | MusicDetailQuery
    ) -> tuple[HashtagDetail | MusicDetail, str | None]:
        """One hashtag or sound by its query, and the server's id of the answer.

        Args:
            query: What to ask, made beforehand.

        Raises:
            KeyAPIError: As listed for the class; NotFoundError if there is none.
        """
        if isinstance(query, HashtagDetailQuery):
            hashtag = await self._session.fetch(query, HashtagInfo)
            return hashtag_detail_from(hashtag), hashtag.request_id
        music = await self._session.fetch(query, MusicDetail)
        return music_detail_from(music), music.request_id

    def iter_hashtags(
        self,
        *,
        period: int | str = 7,
        region: str = "all_regions",
        industry_id: int | str | None = None,
        new_to_top_100: bool | str = False,
        page_size: int | str = MAX_LIMIT,
        start_page: int | str = 1,
        start: Checkpoint | str | None = None,
        max_items: int | None = None,
        max_pages: int | None = None,
        dedupe: bool = True,
        prefetch: int = 0,
    ) -> Pager[Hashtag]:
        """Every trending hashtag, page after page. Nothing is sent until it is iterated.

        Args:
            period: As for `hashtags`, like all filters.
            region: See `hashtags`.
            industry_id: See `hashtags`.
            new_to_top_100: See `hashtags`.
            page_size: Items per page, 1 to 20.
            start_page: The first page to fetch, from 1.
            start: Go on from this checkpoint, or its `str()`, made with the same filters.
            max_items: Yield at most so many; by default all.
            max_pages: Fetch at most so many pages; by default all.
            dedupe: Drop items already yielded, which shifting ranks moved onto a later page.
            prefetch: Fetch so many pages ahead, through the same limiter. Default 0.

        Raises:
            ValueError: A parameter can't be right, or `start` belongs to another list.
        """
        query = HashtagsQuery.of(
            page=_start_page(start_page, start),
            limit=_page_size(page_size),
            period=period,
            region=region,
            industry_id=industry_id,
            new_to_top_100=new_to_top_100,
        )
        return Pager(
            self._pages(HashtagList),
            query,
            start=start,
            max_items=max_items,
            max_pages=max_pages,
            dedupe=dedupe,
            prefetch=prefetch,
        )

    def iter_videos(
        self,
        *,
        period: int | str = 7,
        region: str = "US",
        order_by: str = "vv",
        page_size: int | str = MAX_LIMIT,
        start_page: int | str = 1,
        start: Checkpoint | str | None = None,
        max_items: int | None = None,
        max_pages: int | None = None,
        dedupe: bool = True,
        prefetch: int = 0,
    ) -> Pager[Video]:
        """Every trending video, page after page. Nothing is sent until it is iterated.

        Args:
            period: As for `videos`, like all filters.
            region: See `videos`.
            order_by: See `videos`.
            page_size: See `iter_hashtags`, like all that follow.
            start_page: See `iter_hashtags`.
            start: See `iter_hashtags`.
            max_items: See `iter_hashtags`.
            max_pages: See `iter_hashtags`.
            dedupe: See `iter_hashtags`.
            prefetch: See `iter_hashtags`.

        Raises:
            ValueError: A parameter can't be right, or `start` belongs to another list.
        """
        query = VideosQuery.of(
            page=_start_page(start_page, start),
            period=period,
            limit=_page_size(page_size),
            region=region,
            order_by=order_by,
        )
        return Pager(
            self._pages(VideoList),
            query,
            start=start,
            max_items=max_items,
            max_pages=max_pages,
            dedupe=dedupe,
            prefetch=prefetch,
        )

    def iter_music(
        self,
        *,
        search_keyword: str | None = None,
        period: int | str = 7,
        region: str = "US",
        new_to_top_100: bool | str = False,
        commercial_music: bool | str = False,
        page_size: int | str = MAX_LIMIT,
        start_page: int | str = 1,
        start: Checkpoint | str | None = None,
        max_items: int | None = None,
        max_pages: int | None = None,
        dedupe: bool = True,
        prefetch: int = 0,
    ) -> Pager[Sound]:
        """Every trending sound, page after page. Nothing is sent until it is iterated.

        Args:
            search_keyword: As for `music`, like all filters.
            period: See `music`.
            region: See `music`.
            new_to_top_100: See `music`.
            commercial_music: See `music`.
            page_size: See `iter_hashtags`, like all that follow.
            start_page: See `iter_hashtags`.
            start: See `iter_hashtags`.
            max_items: See `iter_hashtags`.
            max_pages: See `iter_hashtags`.
            dedupe: See `iter_hashtags`.
            prefetch: See `iter_hashtags`.

        Raises:
            ValueError: A parameter can't be right, or `start` belongs to another list.
        """
        query = MusicQuery.of(
            search_keyword=search_keyword,
            page=_start_page(start_page, start),
            limit=_page_size(page_size),
            period=period,
            region=region,
            new_to_top_100=new_to_top_100,
            commercial_music=commercial_music,
        )
        return Pager(
            self._pages(SoundList),
            query,
            start=start,
            max_items=max_items,
            max_pages=max_pages,
            dedupe=dedupe,
            prefetch=prefetch,
        )

    def _pages(self, shape: type[Any]) -> Callable[[ListQuery], Awaitable[Page[Any]]]:
        """How to fetch pages whose `data` has this shape."""

        async def fetch(query: ListQuery) -> Page[Any]:
            return page_from(await self._session.fetch(query, shape), query.list_key)

        return fetch


def hashtag_detail_from(answer: Answer[HashtagInfo]) -> HashtagDetail:
    """Make the detail of an answer."""
    return answer.data.info.made_from(Source(answer.body), "info")


def music_detail_from(answer: Answer[MusicDetail]) -> MusicDetail:
    """Make the detail of an answer."""
    source = Source(answer.body)
    answer.data.sound.made_from(source, "sound")
    return answer.data.made_from(source)


def _page_size(value: int | str) -> int:
    return whole_number("page_size", value, 1, MAX_LIMIT)


def _start_page(value: int | str, start: Checkpoint | str | None) -> int:
    number = whole_number("start_page", value, 1)
    if start is not None and number != 1:
        raise ValueError(f"start_page={number} and start can't both say where to begin; give one")
    return number
