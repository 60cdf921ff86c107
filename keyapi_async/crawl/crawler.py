"""`Crawl` stores every list of a plan in a file; `crawl` streams them and stores nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import ExitStack, aclosing, suppress
from os import PathLike
from pathlib import Path
from typing import Any, Final, TypedDict, Unpack

import attrs

from keyapi_async.client import KeyAPIClient
from keyapi_async.errors import ParameterError
from keyapi_async.queries import Query

from .crawl_file import Summary, summarize
from .database import Database, StoreError, is_begun, parsing, reading, writing
from .jobs import NEW_DETAILS, Clock, CrawlError, Job, Options, Progress, Record
from .plan import Expectation, Plan, Shard, check_plan, expect_jobs, pages_left, take_shard
from .sinks import FileSink, StreamSink
from .snapshots import Decision, Request, carry_out, check_seconds, decide
from .store import Store, read_lists
from .workers import Workers, choose_concurrency

GRACE: Final = 5.0
"""Seconds that `stop` gives the requests under way."""

WAIT_OUTAGE: Final = 600.0
"""Seconds to wait for a server that is down."""


class CrawlOptions(TypedDict, total=False):
    """How a crawl treats its file, beside the plan.

    Attributes:
        max_items: The most items to fetch of each list.
        max_pages: The most pages to fetch of each list.
        details: Also the detail of hashtags and sounds, once per region and period: `"all"`,
            `"new"` (those whose detail the file doesn't have yet), or a number: of that many at the
            top of each list.
        extend: Let a changed plan, or changed limits, replace those of the file: new queries are
            fetched; those that are gone are fetched no more, but what is stored of them stays.
        retry_failed: Try failed lists again.
        fresh_within: Begin a new snapshot if the newest was begun this many seconds ago or
            earlier; else go on with it.
        daily: Begin a new snapshot on each calendar day: True for the machine's time zone, or
            the name of another, such as `Europe/Berlin`.
        shard: Crawl only this part of the plan, such as `(2, 8)`, the second of eight; see
            `take_shard`. Not for a plan that comes from the file, which is its part already.
    """

    max_items: int | None
    max_pages: int | None
    details: str | int | None
    extend: bool
    retry_failed: bool
    fresh_within: float | None
    daily: bool | str | None
    shard: Shard | None


class RunOptions(CrawlOptions, total=False):
    """How a crawl treats its file, and how it runs; see `Crawl`."""

    concurrency: int | None
    keep_going: bool
    wait_outage: float


class Crawl:
    """One crawl into a file: every list of a plan, each exactly once.

    Run it again, however it ended, and it goes on with what is missing. When nothing is, it
    sends nothing.

    Args:
        client: Sends the requests; its `max_credits` bounds what is spent.
        plan: The queries; None to go on with those of the file.
        path: The SQLite file; made if it isn't there, unless it is to give the plan.
        concurrency: Lists to work on at once; by default twice the pace, at least 8.
        keep_going: Record a failed list and go on with the others.
        wait_outage: Seconds to wait for a server that is down. Default 600.
        on_start: Called with the progress once the file is open and before anything is sent.
        options: See `CrawlOptions`.

    Raises:
        ParameterError: A value can't be right; no file was made or changed.
    """

    def __init__(
        self,
        client: KeyAPIClient,
        plan: Iterable[Query[Any]] | None,
        path: str | PathLike[str],
        *,
        concurrency: int | None = None,
        keep_going: bool = False,
        wait_outage: float = WAIT_OUTAGE,
        on_start: Callable[[Progress], None] | None = None,
        **options: Unpack[CrawlOptions],
    ) -> None:
        self._client = client.with_options(cache=None)  # whose usage is the crawl's alone
        self._path = Path(path)
        self._request = make_request(plan, options)
        self._concurrency = choose_concurrency(client.usage.pace, concurrency)
        self._keep_going = keep_going
        self._wait_outage = check_seconds("wait_outage", wait_outage)
        self._on_start = on_start
        self._clock: Clock = time.time  # the tests' own
        self._progress = Progress()
        self._workers: Workers | None = None
        self._is_stopped = False

    async def run(self) -> Summary:
        """Crawl until the snapshot is complete, or `stop` is called.

        Returns:
            What the file holds now; look at `failed` if you `keep_going`.

        Raises:
            StoreError: The file can't be used, or another crawl is using it.
            PlanChangedError: The file has another plan.
            OutageError: The server was down for too long; run it again to go on.
            KeyAPIError: A list failed (without `keep_going`), or every list would: key, credits,
                rate. What was paid for is stored. Run it again to go on, where the error may
                pass (no answer, 5xx); other failed lists wait for `retry_failed`.
        """
        with writing(self._path, create=self._request.plan is not None) as db:
            with parsing(self._path):
                decision = decide(db, self._request, self._clock())
                snapshot = carry_out(db, decision)
                self._progress = _start_progress(db, decision, snapshot)
            try:
                if self._on_start is not None:
                    self._on_start(self.status())
                if self._progress.pending and not self._is_stopped:
                    await self._work(db, decision.options, snapshot)
            finally:
                self._workers, self._is_stopped = None, False
            with parsing(self._path):
                return summarize(db, snapshot)

    def stop(self, grace: float = GRACE) -> None:
        """End the run in good order: start nothing new, store what is under way.

        Call it from the crawl's event loop, perhaps from a signal handler. A second call cancels
        the requests under way at once; they may have cost credits. Called before `run`, that run
        sends nothing. The next run goes on.

        Args:
            grace: Seconds after which requests still under way are cancelled.
        """
        workers = self._workers
        if workers is not None and self._is_stopped:
            workers.cancel()
        elif workers is not None:
            workers.stop()
            asyncio.get_running_loop().call_later(grace, workers.cancel)
        self._is_stopped = True

    def status(self) -> Progress:
        """A copy of the counts at this moment."""
        return attrs.evolve(self._progress)

    async def _work(self, db: Database, options: Options, snapshot: int) -> None:
        usage, in_hand = self._client.usage, self._concurrency
        if options.details is None:
            in_hand = min(in_hand, self._progress.pending)
        store = Store(db, snapshot, options, usage, in_hand=in_hand, clock=self._clock)
        sink = FileSink(store, usage)
        self._workers = Workers(
            self._client,
            sink,
            options,
            concurrency=self._concurrency,
            keep_going=self._keep_going,
            wait_outage=self._wait_outage,
            progress=self._progress,
            clock=self._clock,
        )
        try:
            await self._workers.run()
        finally:
            await sink.close()
            with suppress(StoreError):  # on a full disk it would hide what happened
                store.end(usage)


def _start_progress(db: Database, decision: Decision, snapshot: int) -> Progress:
    """The counts before anything is sent."""
    jobs = [one.job() for one in read_lists(db, snapshot, "l.state = 'pending'")]
    return Progress(
        queries=decision.done + decision.failed + len(jobs),
        done=decision.done,
        failed=decision.failed,
        pages_expected=sum(pages_left(job, decision.options) for job in jobs),
        snapshot=snapshot,
        is_new=decision.snapshot is None,
        pages_before=decision.pages,
        ignored=tuple(one.number for one in decision.ignored),
    )


def make_request(plan: Iterable[Query[Any]] | None, options: CrawlOptions) -> Request:
    """Check what is asked of a crawl's file."""
    given: dict[str, Any] = {**options}
    names = [attribute.name for attribute in attrs.fields(Options)]
    wanted = Options(**{name: given.pop(name) for name in names if name in given})
    shard = given.pop("shard", None)
    if unknown := given.keys() - attrs.fields_dict(Request).keys():
        raise TypeError(f"a crawl has no option {min(unknown)!r}")
    if plan is not None:
        queries = _take_some(plan, shard, wanted)
        return Request(plan=queries, options=wanted, **given)
    if shard is not None:
        allowed = "None, without a plan: that of the file is its part already"
        raise ParameterError("shard", shard, allowed)
    # With the options of the file, unless some are given.
    return Request(options=None if wanted == Options() else wanted, **given)


def _take_some(plan: Iterable[Query[Any]], shard: Shard | None, options: Options) -> Plan:
    whole = check_plan(plan)
    if not whole:
        raise ParameterError("plan", whole, "of at least one query: there is nothing to crawl")
    return take_shard(whole, shard, details=options.details)


async def crawl_to(
    path: str | PathLike[str],
    client: KeyAPIClient,
    plan: Iterable[Query[Any]] | None = None,
    **options: Unpack[RunOptions],
) -> Summary:
    """Run a `Crawl` to its end: the short form of it, with the same arguments.

    Returns:
        What the file holds now; look at `failed` if you `keep_going`.

    Raises:
        KeyAPIError: As of `Crawl` and `Crawl.run`.
    """
    return await Crawl(client, plan, path, **options).run()


def expect(
    plan: Iterable[Query[Any]] | None,
    path: str | PathLike[str] | None = None,
    **options: Unpack[CrawlOptions],
) -> Expectation:
    """Estimate what crawling a plan will cost: a dry run, from the list lengths in the file.

    Nothing is sent or changed, no key is needed, and a crawl may be running on the file.

    Args:
        plan: The queries; None for those of the file.
        path: The file, if there is to be one; it need not be there.
        options: See `CrawlOptions`.

    Raises:
        ParameterError: A value can't be right.
        StoreError: As of the crawl itself.
    """
    request = make_request(plan, options)
    with ExitStack() as stack:
        db = None
        if path is not None and (plan is None or is_begun(Path(path))):
            db = stack.enter_context(reading(Path(path)))
            stack.enter_context(parsing(Path(path)))
        decision = decide(db, request, time.time())
        return expect_jobs(
            decision.jobs(), decision.options, done=decision.done, failed=decision.failed
        )


async def crawl(
    client: KeyAPIClient,
    plan: Iterable[Query[Any]],
    *,
    concurrency: int | None = None,
    max_items: int | None = None,
    max_pages: int | None = None,
    details: str | int | None = None,
    shard: Shard | None = None,
    keep_going: bool = False,
    wait_outage: float = WAIT_OUTAGE,
) -> AsyncGenerator[Record[Any], None]:
    """Stream every item of every list of a plan, without storing any.

    Lists run side by side under the client's pace, so their items come interleaved. To leave it
    early, use `contextlib.aclosing`: then it stops at once.

    Args:
        client: Sends the requests; its `max_credits` bounds what is spent.
        plan: The queries; `grid` makes them.
        concurrency: Lists to work on at once; by default twice the pace, at least 8.
        max_items: The most items to fetch of each list.
        max_pages: The most pages to fetch of each list.
        details: Also the detail of hashtags and sounds, once per region and period: `"all"`, or
            a number: of that many at the top of each list.
        shard: Only this part of the plan, such as `(2, 8)`, the second of eight; see `take_shard`.
        keep_going: Go on when a list fails, and raise `CrawlError` at the end.
        wait_outage: Seconds to wait for a server that is down. Default 600.

    Raises:
        ParameterError: A value can't be right; nothing was sent.
        CrawlError: Some lists failed, the others are done (with `keep_going`).
        OutageError: The server was down for too long.
        KeyAPIError: A list failed (without `keep_going`), or every list would: key, credits,
            rate.
    """
    if details == NEW_DETAILS:
        raise ParameterError("details", details, "'all' or a number: only a file knows what is new")
    options = Options(max_items=max_items, max_pages=max_pages, details=details)
    plan = take_shard(plan, shard, details=details)
    progress = Progress(
        queries=len(plan),
        pages_expected=sum(pages_left(Job(query=query), options) for query in plan),
    )
    sink = StreamSink(plan, options)
    workers = Workers(
        client.with_options(cache=None),
        sink,
        options,
        concurrency=choose_concurrency(client.usage.pace, concurrency),
        keep_going=keep_going,
        wait_outage=check_seconds("wait_outage", wait_outage),
        progress=progress,
        clock=time.time,
    )
    running = asyncio.create_task(workers.run())
    running.add_done_callback(sink.end)
    try:
        async with aclosing(sink.batches()) as batches:
            async for batch in batches:
                for record in batch.records():
                    yield record
    finally:
        workers.cancel()
        await asyncio.wait([running])
        failure = running.exception()
    if failure is not None:
        raise failure
    if sink.failures:
        raise CrawlError(
            f"{len(sink.failures)} of {progress.queries} queries failed, the first with: "
            f"{sink.failures[0].error}",
            tuple(sink.failures),
        )
