"""`crawl` streams a whole plan; `crawl_to` stores it, and goes on where it stopped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing, suppress
from os import PathLike
from pathlib import Path
from typing import Any

from attrs import frozen

from keyapi_async.client import KeyAPIClient
from keyapi_async.queries import Query

from .engine import Engine, concurrency_for
from .errors import CrawlError, StoreError
from .jobs import Fetched, Job, Options, Progress
from .keepers import StoreKeeper, StreamKeeper
from .plan import checked, endpoint_of, usual_left
from .snapshots import Opening, Wish, open_snapshot, opened_for
from .store import Store
from .summary import Summary, summarize


@frozen(kw_only=True)
class Record:
    """One item of a crawl.

    Attributes:
        endpoint: Name of the endpoint, such as `hashtags`.
        query: The query it answers.
        page: Number of its page; 1 for a detail.
        position: Its place on that page, from 1.
        item: The item: a `Hashtag`, `Video`, `Sound`, `HashtagDetail` or `MusicDetail`.
        request_id: The server's id of the answer.
        retrieved_at: When it came, in Unix seconds.
    """

    endpoint: str
    query: Query
    page: int
    position: int
    item: Any
    request_id: str | None
    retrieved_at: float

    @property
    def raw(self) -> dict[str, Any]:
        """The JSON object of the item, exactly as received."""
        raw: dict[str, Any] = self.item.raw
        return raw


async def crawl(
    client: KeyAPIClient,
    plan: Iterable[Query],
    *,
    concurrency: int | None = None,
    max_items: int | None = None,
    max_pages: int | None = None,
    with_details: bool = False,
    keep_going: bool = False,
    progress: Progress | None = None,
) -> AsyncGenerator[Record, None]:
    """Stream every item of every list of a plan, without keeping any.

    Lists run side by side under the client's pace, so their items come mixed. Leave it early
    with `contextlib.aclosing`, so that it stops at once.

    Args:
        client: Sends the requests; its `max_credits` bounds what is spent.
        plan: The queries; `grid` makes them.
        concurrency: Lists to work on at once; by default twice the pace, at least 8.
        max_items: At most so many items of each list.
        max_pages: At most so many pages of each list.
        with_details: Also the detail of each hashtag and sound, once per region and period.
        keep_going: Go on when a list fails, and raise `CrawlError` at the end.
        progress: Counts to keep up while it runs.

    Raises:
        CrawlError: All is done but what failed (with `keep_going`).
        KeyAPIError: A list failed (without `keep_going`), or every list would: key, credits,
            rate.
    """
    options = Options(max_items=max_items, max_pages=max_pages, with_details=with_details)
    plan = checked(plan)
    progress = Progress() if progress is None else progress
    progress.queries = len(plan)
    progress.pages_expected = sum(usual_left(Job(query=query), options) for query in plan)
    keeper = StreamKeeper(plan, with_details=with_details)
    engine = Engine(
        client,
        keeper,
        options,
        concurrency=concurrency,
        keep_going=keep_going,
        progress=progress,
    )
    running = asyncio.create_task(engine.run())
    running.add_done_callback(keeper.end)
    try:
        async with aclosing(keeper.pages()) as pages:
            async for page in pages:
                for record in _records(page):
                    yield record
    finally:
        engine.cancel()
        await asyncio.wait([running])
        failure = running.exception()
    if failure is not None:
        raise failure
    if keeper.failures:
        raise CrawlError(
            f"{len(keeper.failures)} of {progress.queries} queries failed, the first with: "
            f"{keeper.failures[0].error}",
            tuple(keeper.failures),
        )


def _records(page: Fetched) -> Iterable[Record]:
    for row in page.rows:
        yield Record(
            endpoint=endpoint_of(page.job.query),
            query=page.job.query,
            page=page.page,
            position=row.position,
            item=row.item,
            request_id=page.request_id,
            retrieved_at=page.retrieved_at,
        )


async def crawl_to(
    path: str | PathLike[str],
    client: KeyAPIClient,
    plan: Iterable[Query] | None = None,
    *,
    concurrency: int | None = None,
    max_items: int | None = None,
    max_pages: int | None = None,
    with_details: bool = False,
    keep_going: bool = False,
    extend: bool = False,
    retry_failed: bool = False,
    fresh_within: float | None = None,
    progress: Progress | None = None,
) -> Summary:
    """Store every item of every list of a plan in a SQLite file, or go on where it stopped.

    Call it again, however it ended, and it goes on with what is missing. When nothing is, it
    sends nothing.

    What the summary says of requests and credits is the difference that the runs made to
    `client.usage`: what else is asked of the same client meanwhile is in it. Use a client of its
    own where that matters.

    Args:
        path: The file; made if it isn't there, unless it is to give the plan.
        client: Sends the requests; its `max_credits` bounds what is spent.
        plan: The queries; None to go on with those of the file.
        concurrency: Lists to work on at once; by default twice the pace, at least 8.
        max_items: At most so many items of each list.
        max_pages: At most so many pages of each list.
        with_details: Also the detail of each hashtag and sound, once per region and period.
        keep_going: Note a failed list and go on with the others.
        extend: Let a changed plan, or changed limits, take the place of those of the file:
            what is new is fetched; what is no longer there is fetched no more, and keeps what is
            stored of it.
        retry_failed: Try failed lists again.
        fresh_within: If the newest snapshot was begun longer ago than so many seconds, begin a
            new one of the lists that were not done since; else go on with it.
        progress: Counts to keep up while it runs.

    Returns:
        What the file holds now; look at `failed` if you `keep_going`.

    Raises:
        StoreError: The file can't be used, or another crawl is using it.
        PlanChangedError: The file has another plan.
        ValueError: The plan is empty, or a number can't be right; no file was made or changed.
        TypeError: Something in the plan is no query; likewise.
        KeyAPIError: A list failed (without `keep_going`), or every list would: key, credits,
            rate. What was paid for is stored. Call it again to go on, where the error may pass
            (no answer, 5xx); other failed lists wait for `retry_failed`.
    """
    concurrency = concurrency_for(client.usage.pace, concurrency)
    wish = Wish(
        plan=plan,
        options=None
        if plan is None
        else Options(max_items=max_items, max_pages=max_pages, with_details=with_details),
        extend=extend,
        retry_failed=retry_failed,
        fresh_within=fresh_within,
    )
    with opened_for(Path(path), wish) as store:
        opening = open_snapshot(store, wish)
        if opening.pending:
            stored = StoredCrawl(
                client,
                store,
                opening,
                concurrency=concurrency,
                keep_going=keep_going,
                progress=progress,
            )
            await stored.run()
        return summarize(store)


class StoredCrawl:
    """One run of a crawl into an open store.

    Args:
        client: Sends the requests.
        store: Where to.
        opening: The snapshot to work on.
        concurrency: As for `crawl_to`.
        keep_going: As for `crawl_to`.
        progress: As for `crawl_to`.
    """

    def __init__(
        self,
        client: KeyAPIClient,
        store: Store,
        opening: Opening,
        *,
        concurrency: int | None = None,
        keep_going: bool = False,
        progress: Progress | None = None,
    ) -> None:
        self._client = client
        self._store = store
        self._opening = opening
        self.progress = Progress() if progress is None else progress
        self._keeper = StoreKeeper(store, client.usage)
        self.engine = Engine(
            client,
            self._keeper,
            opening.options,
            concurrency=concurrency,
            keep_going=keep_going,
            progress=self.progress,
        )

    async def run(self) -> None:
        """Work until the snapshot is complete, or `engine.stop` is called.

        Raises:
            KeyAPIError: What ended it early. What was paid for is stored.
        """
        usage = self._client.usage
        self._store.begin_run(self._opening.snapshot, self._opening.options, usage)
        self._count()
        try:
            await self.engine.run()
        except BaseException:
            await self._keeper.close()
            with suppress(StoreError):  # on a full disk it would hide what happened
                self._store.end_run(usage)
            raise
        await self._keeper.close()
        self._store.end_run(usage)

    def _count(self) -> None:
        """Tell the progress what there is to do."""
        progress, opening = self.progress, self._opening
        progress.queries, progress.done = opening.queries, opening.done
        progress.failed = opening.failed
        progress.pages_expected = sum(
            usual_left(job, opening.options) for job in self._store.pending(opening.snapshot)
        )
