"""How one job is done: the pages of a list by its pager, or one detail, as a stream of events."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final

import attrs

from keyapi_async.client import KeyAPIClient
from keyapi_async.errors import (
    AuthenticationError,
    ClientClosedError,
    CreditBudgetError,
    InsufficientCreditsError,
    KeyAPIError,
    RateLimitError,
)
from keyapi_async.models import MusicDetail
from keyapi_async.pages import Page, StopReason
from keyapi_async.pagination import Pager
from keyapi_async.queries import (
    HashtagDetailQuery,
    HashtagsQuery,
    ListQuery,
    MusicDetailQuery,
    VideosQuery,
)

from .jobs import Event, Failed, Fetched, Finished, Job, Options, Row

HOPELESS: Final = (
    AuthenticationError,
    InsufficientCreditsError,
    CreditBudgetError,
    RateLimitError,
    ClientClosedError,
)
"""Errors that no list is to blame for, and that every list would meet: they end the crawl."""


async def fetch(client: KeyAPIClient, job: Job, options: Options) -> AsyncGenerator[Event, None]:
    """Do a job: `Fetched` for each answer, then `Finished` or `Failed`.

    Args:
        client: Sends the requests.
        job: What to do.
        options: What is wanted of each list.

    Raises:
        KeyAPIError: One of `HOPELESS`.
    """
    if isinstance(job.query, ListQuery):
        page = job.start.page if job.start is not None else job.query.page
        source = _list(client, job, options)
    else:
        page = 1
        source = _detail(client, job)
    failure: KeyAPIError
    try:
        async with aclosing(source) as events:
            async for event in events:
                if isinstance(event, Fetched):
                    page = event.next_page
                yield event
    except HOPELESS:
        raise
    except KeyAPIError as error:
        failure = error
    else:
        return
    yield Failed(job=job, page=page or 1, error=failure)


async def _list(client: KeyAPIClient, job: Job, options: Options) -> AsyncGenerator[Event, None]:
    pager = _pager(client, job, options)
    async with aclosing(pager.pages()) as pages:
        async for page in pages:
            yield _fetched(job, page, pager)
    yield Finished(job=job, reason=pager.stop_reason or StopReason.EXHAUSTED)


def _pager(client: KeyAPIClient, job: Job, options: Options) -> Pager[Any]:
    query = job.query
    filters = attrs.asdict(query)
    page, size = filters.pop("page"), filters.pop("limit")
    trending = client.trending
    if isinstance(query, HashtagsQuery):
        pages: Any = trending.iter_hashtags
    elif isinstance(query, VideosQuery):
        pages = trending.iter_videos
    else:
        pages = trending.iter_music
    pager: Pager[Any] = pages(
        **filters,
        page_size=size,
        start_page=page if job.start is None else 1,
        start=job.start,
        max_items=_left(options.max_items, job.items),
        max_pages=_left(options.max_pages, job.pages),
    )
    return pager


def _left(most: int | None, have: int) -> int | None:
    return None if most is None else max(most - have, 0)


def _fetched(job: Job, page: Page[Any], pager: Pager[Any]) -> Fetched:
    query = type(job.query)
    assert issubclass(query, ListQuery)  # noqa: S101 - for the type checkers
    source, *_ = page.origin
    rows = tuple(
        Row(
            position=item.origin[-1] + 1,
            item_id=getattr(item, query.item_key),
            item=item,
        )
        for item in page.items
    )
    after = pager.checkpoint()
    # Read to the end, unless max_items cut it; what an earlier run took of it isn't looked at.
    looked_at = after.offset or source.count(query.list_key)
    taken = job.start.offset if job.start is not None and job.start.page == page.number else 0
    return Fetched(
        job=job,
        page=page.number,
        rows=rows,
        duplicates=max(looked_at - taken - len(rows), 0),
        total=page.total,
        next_page=after.page,
        next_offset=after.offset,
        request_id=page.request_id,
        retrieved_at=time.time(),
    )


async def _detail(client: KeyAPIClient, job: Job) -> AsyncGenerator[Event, None]:
    query = job.query
    assert isinstance(query, HashtagDetailQuery | MusicDetailQuery)  # noqa: S101 - likewise
    if not job.pages:  # else it was stored, and the process killed before it could say so
        detail, request_id = await client.trending.detail(query)
        identity = detail.sound.clip_id if isinstance(detail, MusicDetail) else detail.hashtag_id
        yield Fetched(
            job=job,
            page=1,
            rows=(Row(position=1, item_id=identity, item=detail),),
            request_id=request_id,
            retrieved_at=time.time(),
        )
    yield Finished(job=job, reason=StopReason.EXHAUSTED)
