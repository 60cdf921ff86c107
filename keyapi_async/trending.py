"""The trending endpoints: five coroutines, and three iterators over every page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, TypedDict, TypeVar, Unpack

from .converter import attach_all, wire_params
from .errors import ParameterError
from .models import Hashtag, HashtagDetail, MusicDetail, Sound, Video
from .pages import Page, page_from
from .pagination import Checkpoint, Pager
from .queries import (
    ALL_REGIONS,
    MAX_LIMIT,
    DetailPeriod,
    DetailQuery,
    Flag,
    HashtagDetailQuery,
    HashtagsQuery,
    ItemT,
    ListQuery,
    MusicDetailQuery,
    MusicQuery,
    OrderBy,
    Period,
    Query,
    VideosQuery,
    Whole,
)
from .raw import Source
from .reference import likely_region

if TYPE_CHECKING:
    from .protocol import Answer
    from .session import Session

QueryT = TypeVar("QueryT", bound=Query[Any])


class Paging(TypedDict, total=False):
    """How much of a list to fetch, and how.

    Attributes:
        page_size: Items per page, 1 to 20. Default 20.
        start_page: The first page to fetch, from 1. Default 1.
        start: Go on from this checkpoint, or its `str()`, made with the same filters.
        max_items: Yield at most so many; by default all.
        max_pages: Fetch at most so many pages; by default all.
        dedupe: Drop items already yielded, which shifting ranks moved onto a later page.
            Default True.
        prefetch: Fetch so many pages ahead, under the same pace. Default 0.
    """

    page_size: Whole
    start_page: Whole
    start: Checkpoint | str | None
    max_items: int | None
    max_pages: int | None
    dedupe: bool
    prefetch: int


class Trending:
    """TikTok trends: `client.trending`.

    All parameters take Python values or the documented strings. A value that can't be right
    raises ParameterError before anything is sent. Each request costs 2 credits.

    Every coroutine raises, and every iterator while it is iterated:
        APIError: The server answers with an error; its subclasses tell which.
        TransportError: No answer, after the retries of the client's policy.
        InvalidResponseError: The answer is not what is documented.
        CreditBudgetError: The request could pass `max_credits`; it was not sent.
        ClientClosedError: The client is closed, or belongs to another event loop.
    """

    def __init__(self, session: Session, *, allow_unknown: bool = False) -> None:
        self._session = session
        self._allow_unknown = allow_unknown

    def __reduce__(self) -> NoReturn:
        raise TypeError("a KeyAPIClient can't be pickled or copied, nor what hangs on it")

    async def hashtags(
        self,
        *,
        page: Whole = 1,
        limit: Whole = MAX_LIMIT,
        period: Period = 7,
        region: str = ALL_REGIONS,
        industry_id: Whole | None = None,
        new_to_top_100: Flag = False,
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
            ParameterError: A value can't be right; nothing was sent.
            KeyAPIError: As listed for the class.
        """
        query = HashtagsQuery(
            page=page,
            limit=limit,
            period=period,
            region=region,
            industry_id=industry_id,
            new_to_top_100=new_to_top_100,
        )
        return await self.page(self._check(query))

    async def hashtag_detail(
        self,
        hashtag_name: str = "ufc324",
        *,
        period: DetailPeriod = 7,
        region: str = ALL_REGIONS,
    ) -> HashtagDetail:
        """One hashtag in detail (`GET /v1/tiktok/trending/hashtag/detail`).

        Args:
            hashtag_name: Name as in the hashtag list; a leading `#` is dropped.
            period: Days: 7, 30, 120, 365 (12 months) or 1095 (3 years).
            region: Country code such as `US`, or `all_regions`.

        Raises:
            ParameterError: A value can't be right; nothing was sent.
            KeyAPIError: As listed for the class; NotFoundError for an unknown hashtag.
        """
        query = HashtagDetailQuery(period=period, region=region, hashtag_name=hashtag_name)
        return await self.detail(self._check(query))

    async def videos(
        self,
        *,
        page: Whole = 1,
        period: Period = 7,
        limit: Whole = MAX_LIMIT,
        region: str = "US",
        order_by: OrderBy = "vv",
    ) -> Page[Video]:
        """One page of trending videos (`GET /v1/tiktok/trending/videos`).

        Args:
            page: Page number, from 1.
            period: Days: 7, 30 or 120.
            limit: Items per page, 1 to 20.
            region: Country code; see `reference.VIDEO_REGIONS`.
            order_by: `vv` (hot), `like`, `comment` or `repost`.

        Raises:
            ParameterError: A value can't be right; nothing was sent.
            KeyAPIError: As listed for the class.
        """
        query = VideosQuery(page=page, period=period, limit=limit, region=region, order_by=order_by)
        return await self.page(self._check(query))

    async def music(
        self,
        *,
        search_keyword: str | None = None,
        page: Whole = 1,
        limit: Whole = MAX_LIMIT,
        period: Period = 7,
        region: str = "US",
        new_to_top_100: Flag = False,
        commercial_music: Flag = False,
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
            ParameterError: A value can't be right; nothing was sent.
            KeyAPIError: As listed for the class.
        """
        query = MusicQuery(
            search_keyword=search_keyword,
            page=page,
            limit=limit,
            period=period,
            region=region,
            new_to_top_100=new_to_top_100,
            commercial_music=commercial_music,
        )
        return await self.page(self._check(query))

    async def music_detail(
        self,
        clip_id: Whole = "6703723351497508865",
        *,
        period: Period = 7,
        region: str = "US",
    ) -> MusicDetail:
        """One sound in detail (`GET /v1/tiktok/trending/music/detail`).

        Args:
            clip_id: `clip_id` of a sound in the music list.
            period: Days: 7, 30 or 120.
            region: Country code.

        Raises:
            ParameterError: A value can't be right; nothing was sent.
            KeyAPIError: As listed for the class; NotFoundError for an unknown sound.
        """
        query = MusicDetailQuery(period=period, region=region, clip_id=clip_id)
        return await self.detail(self._check(query))

    def iter_hashtags(
        self,
        *,
        period: Period = 7,
        region: str = ALL_REGIONS,
        industry_id: Whole | None = None,
        new_to_top_100: Flag = False,
        **paging: Unpack[Paging],
    ) -> Pager[Hashtag]:
        """Every trending hashtag, page after page. Nothing is sent until it is iterated.

        Args:
            period: As for `hashtags`, like all filters.
            region: See `hashtags`.
            industry_id: See `hashtags`.
            new_to_top_100: See `hashtags`.
            **paging: How much of the list, and how: `page_size`, `start_page`, `start`,
                `max_items`, `max_pages`, `dedupe`, `prefetch`; see `Paging`.

        Raises:
            ParameterError: A value can't be right, or `start` belongs to another list.
        """
        query = HashtagsQuery(
            period=period,
            region=region,
            industry_id=industry_id,
            new_to_top_100=new_to_top_100,
        )
        return self.iterate(self._check(query), **paging)

    def iter_videos(
        self,
        *,
        period: Period = 7,
        region: str = "US",
        order_by: OrderBy = "vv",
        **paging: Unpack[Paging],
    ) -> Pager[Video]:
        """Every trending video, page after page. Nothing is sent until it is iterated.

        Args:
            period: As for `videos`, like all filters.
            region: See `videos`.
            order_by: See `videos`.
            **paging: See `iter_hashtags`.

        Raises:
            ParameterError: A value can't be right, or `start` belongs to another list.
        """
        query = VideosQuery(
            period=period,
            region=region,
            order_by=order_by,
        )
        return self.iterate(self._check(query), **paging)

    def iter_music(
        self,
        *,
        search_keyword: str | None = None,
        period: Period = 7,
        region: str = "US",
        new_to_top_100: Flag = False,
        commercial_music: Flag = False,
        **paging: Unpack[Paging],
    ) -> Pager[Sound]:
        """Every trending sound, page after page. Nothing is sent until it is iterated.

        Args:
            search_keyword: As for `music`, like all filters.
            period: See `music`.
            region: See `music`.
            new_to_top_100: See `music`.
            commercial_music: See `music`.
            **paging: See `iter_hashtags`.

        Raises:
            ParameterError: A value can't be right, or `start` belongs to another list.
        """
        query = MusicQuery(
            search_keyword=search_keyword,
            period=period,
            region=region,
            new_to_top_100=new_to_top_100,
            commercial_music=commercial_music,
        )
        return self.iterate(self._check(query), **paging)

    def _check(self, query: QueryT) -> QueryT:
        """Refuse a region that looks like a misspelt known one."""
        region = wire_params(query)["region"]
        likely = None if self._allow_unknown else likely_region(region, query.regions)
        if likely is not None:
            allowed = f"{likely!r} (allow_unknown=True lets any other pass)"
            raise ParameterError("region", region, allowed)
        return query

    # -- by descriptor: what the methods above are made of ------------------------------------

    async def page(self, query: ListQuery[ItemT]) -> Page[ItemT]:
        """One page of any list, by its query, whose region is sent as it is.

        Raises:
            KeyAPIError: As listed for the class.
        """
        return page_from(await self._session.fetch(query), query)

    async def detail(self, query: DetailQuery[ItemT]) -> ItemT:
        """One thing in detail, by its query.

        Raises:
            KeyAPIError: As listed for the class; NotFoundError if there is none.
        """
        return detail_from(await self._session.fetch(query), query)

    def iterate(self, query: ListQuery[ItemT], **paging: Unpack[Paging]) -> Pager[ItemT]:
        """Every item of any list, by its query, from its page and with its limit.

        Args:
            query: The list.
            **paging: See `iter_hashtags`.

        Raises:
            ParameterError: A value can't be right, or `start` belongs to another list.
        """
        return Pager(self.page, query, **paging)


def detail_from(answer: Answer[Any], query: DetailQuery[ItemT]) -> ItemT:
    """Make the detail of an answer."""
    item: ItemT = getattr(answer.data, query.data_key) if query.data_key else answer.data
    source = Source(
        answer.body,
        request_id=answer.request_id,
        retrieved_at=answer.retrieved_at,
        from_cache=answer.from_cache,
    )
    attach_all(item, source, query.data_key)
    return item
