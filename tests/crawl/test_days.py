"""Daily crawls: for every day what the server had on that day, whole or marked."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from attrs import define

from keyapi_async import CreditBudgetError, KeyAPIClient
from keyapi_async.converter import filters
from keyapi_async.crawl import CrawlFile, OutageError, Progress, Summary, grid
from keyapi_async.crawl.store import find_day
from keyapi_async.queries import Query
from keyapi_async.sandbox import Fault, Sandbox
from tests.crawl.sandboxed_crawl import TWO, WallClock, crawl_at, opened, rows

PLAN = (*TWO, *grid("music"))
PAGES = 15


@define
class World:
    """A server, a wall clock, and a file that is crawled once a day."""

    file: Path
    client: KeyAPIClient
    sandbox: Sandbox
    clock: WallClock

    def set(self, moment: str) -> None:
        """Let it be that moment, for the server as well."""
        self.clock.set(moment)
        self.sandbox.day = date.fromisoformat(moment[:10])

    async def crawl(
        self, moment: str, plan: Any = PLAN, **options: Any
    ) -> tuple[Summary, Progress, int]:
        """A run at that moment: what it came to, and how many requests it sent."""
        self.set(moment)
        before = len(self.sandbox.requests)
        options = {"daily": "UTC", "keep_going": True, "wait_outage": 60, **options}
        client = options.pop("client", self.client)
        summary, progress = await crawl_at(self.clock, self.file, client, plan, **options)
        return summary, progress, len(self.sandbox.requests) - before

    def truth(self, query: Query[Any], day: date) -> list[str]:
        items = self.sandbox.items(query.name, day=day, **_without_limit(query))
        return [str(item[query.item_key]) for item in items]

    def stored(self, snapshot: int) -> dict[Query[Any], list[str]]:
        found: dict[Query[Any], list[str]] = {}
        for record in CrawlFile(self.file).records(snapshot=snapshot):
            found.setdefault(record.query, []).append(record.query.id_of(record.item))
        return found


def _without_limit(query: Query[Any]) -> dict[str, str]:
    return {name: text for name, text in filters(query).items() if name != "limit"}


@asynccontextmanager
async def _world(file: Path, **settings: Any) -> AsyncIterator[World]:
    async with opened(settings, timeout=100) as (client, sandbox):
        yield World(file, client, sandbox, WallClock())


async def test_a_fortnight(file: Path) -> None:
    async with _world(file) as world:
        sandbox = world.sandbox

        # A day like any other; at noon there is nothing to do.
        summary, progress, sent = await world.crawl("2026-02-01 06:00")
        assert (summary.day, summary.complete, sent) == (date(2026, 2, 1), True, PAGES)
        assert progress.is_new
        assert (await world.crawl("2026-02-01 12:00"))[2] == 0
        assert (await world.crawl("2026-02-02 06:00"))[0].snapshot == 2

        # An outage ends the morning's run; a late one by hand completes the day.
        sandbox.fail(Fault.status(503), times=None, page=2)
        with pytest.raises(OutageError):
            await world.crawl("2026-02-03 06:00")
        sandbox.heal()
        assert CrawlFile(file).status().pending == 3
        summary, _, sent = await world.crawl("2026-02-03 22:00", plan=None)
        assert (summary.snapshot, summary.complete, sent) == (3, True, PAGES - 3)

        # A broken list, and a retry at noon that mends it.
        sandbox.fail(Fault.data(None), path="music", page=2)
        summary, _, sent = await world.crawl("2026-02-04 06:00")
        assert (summary.done, summary.failed, summary.complete, sent) == (2, 1, False, 12)
        summary, _, sent = await world.crawl("2026-02-04 12:00", retry_failed=True)
        assert (summary.snapshot, summary.complete, sent) == (4, True, 4)

        # A list that stays broken all day; the next day's retry begins that day, with all lists.
        sandbox.fail(Fault.data(None), path="music", page=2, times=2)
        assert (await world.crawl("2026-02-05 06:00"))[0].failed == 1
        assert (await world.crawl("2026-02-05 12:00", retry_failed=True))[0].failed == 1
        summary, progress, sent = await world.crawl("2026-02-06 06:00", retry_failed=True)
        assert (summary.snapshot, summary.queries, sent) == (6, 3, PAGES)
        (failed,) = CrawlFile(file).incomplete(5)
        assert (failed.query, "InvalidResponseError" in failed.error) == (PLAN[2], True)

        # Over midnight: the day is that of the beginning, and the next one begins all the same.
        sandbox.latency = 0.5
        summary, _, sent = await world.crawl("2026-02-07 23:59:59", concurrency=1)
        sandbox.latency = 0
        assert (summary.snapshot, summary.day, sent) == (7, date(2026, 2, 7), PAGES)
        assert summary.finished_at is not None
        assert find_day(summary.finished_at, "UTC") == date(2026, 2, 8)
        assert (await world.crawl("2026-02-08 06:00"))[0].snapshot == 8

        # A clock gone wrong: its snapshot is named, and stands in nobody's way.
        world.set("2026-02-09 05:00")
        world.clock.set("2026-03-11 05:00")
        summary, _ = await crawl_at(world.clock, file, world.client, PLAN, daily="UTC")
        assert (summary.snapshot, summary.day) == (9, date(2026, 3, 11))
        summary, progress, sent = await world.crawl("2026-02-09 06:00")
        assert (summary.snapshot, progress.ignored, sent) == (10, (9,), PAGES)
        assert (await world.crawl("2026-02-09 12:00"))[2] == 0

        # A changed plan.
        plan = (TWO[0], *grid("hashtags", region="DE"), *grid("music"))
        summary, _, sent = await world.crawl("2026-02-10 06:00", plan, extend=True)
        assert (summary.snapshot, summary.queries, sent) == (11, 3, PAGES)
        summary, _, sent = await world.crawl("2026-02-11 06:00", None)
        assert (summary.snapshot, summary.complete, sent) == (12, True, PAGES)

        # Nothing on the 12th; the 13th broke off, and the 14th adds nothing to it.
        async with sandbox.client(qps=math.inf, max_credits=14) as poor:
            with pytest.raises(CreditBudgetError):
                await world.crawl("2026-02-13 06:00", plan, client=poor, concurrency=1)
        summary, _, sent = await world.crawl("2026-02-14 06:00", None, daily=None)
        assert (summary.snapshot, summary.complete, sent) == (14, True, PAGES)

        # The day comes that the wrong clock told: it is begun like any other.
        summary, progress, sent = await world.crawl("2026-03-11 12:00", None)
        assert (summary.snapshot, progress.ignored, sent) == (15, (), PAGES)

        _compare_with_the_truth(world)


def _compare_with_the_truth(world: World) -> None:
    summaries = CrawlFile(world.file).snapshots()
    assert [one.snapshot for one in summaries if not one.complete] == [5, 13]
    for one in summaries:
        assert one.day == find_day(one.started_at, "UTC")
        day = date(2026, 2, 9) if one.snapshot == 9 else one.day  # what the server knew
        stored = world.stored(one.snapshot)
        partial = {failed.query for failed in CrawlFile(world.file).incomplete(one.snapshot)}
        for query, ids in stored.items():
            truth = world.truth(query, day)
            assert ids == (truth[: len(ids)] if query in partial else truth), (one, query)
        assert len(stored.keys() | partial) == 3
    spent = sum(one.credits_spent for one in summaries)
    risk = sum(one.credits_at_risk for one in summaries)
    assert spent <= world.sandbox.credits_spent <= spent + risk


async def test_a_day_is_one_of_its_zone(file: Path) -> None:
    async with _world(file) as world:
        for moment, day, snapshot in [
            ("2026-03-28 22:59", "2026-03-28", 1),
            ("2026-03-28 23:01", "2026-03-29", 2),  # one o'clock in Berlin
            ("2026-03-29 21:59", "2026-03-29", 2),
            ("2026-03-29 22:01", "2026-03-30", 3),  # summer time by now
        ]:
            summary, _, _ = await world.crawl(moment, TWO[:1], daily="Europe/Berlin")
            assert (summary.day.isoformat(), summary.snapshot) == (day, snapshot)


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Set the machine's time zone."""

    def set_zone(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    with monkeypatch.context():
        yield set_zone
    monkeypatch.undo()
    time.tzset()


async def test_the_machines_zone_unless_another_is_named(
    zone: Callable[[str], None], file: Path
) -> None:
    async with _world(file) as world:
        zone("Asia/Tokyo")
        summary, _, _ = await world.crawl("2026-02-01 15:30", TWO[:1], daily=True)
        assert summary.day == date(2026, 2, 2)
        zone("America/New_York")  # the machine moved: its day has been begun already
        summary, _, sent = await world.crawl("2026-02-01 16:00", TWO[:1], daily=True)
        assert (summary.snapshot, sent) == (1, 0)


async def test_a_file_that_was_crawled_daily_goes_on_so(file: Path) -> None:
    async with _world(file) as world:
        await world.crawl("2026-02-01 06:00", TWO)
        summary, _, _ = await world.crawl("2026-02-02 06:00", None, daily=None)
        assert (summary.snapshot, summary.queries) == (2, 2)
        summary, _, _ = await world.crawl("2026-02-02 20:00", None, daily=None)
        assert summary.snapshot == 2


async def test_a_file_that_was_not_goes_on_with_its_snapshot(file: Path) -> None:
    async with _world(file) as world:
        await world.crawl("2026-02-01 06:00", TWO, daily=None)
        summary, _, sent = await world.crawl("2026-02-05 06:00", TWO, daily=None)
        assert (summary.snapshot, sent) == (1, 0)
        # Whatever its age is by a clock gone back.
        summary, progress, sent = await world.crawl("2026-01-01 06:00", TWO, daily=None)
        assert (summary.snapshot, progress.ignored, sent) == (1, (), 0)


async def test_age_is_that_of_the_beginning(file: Path) -> None:
    async with _world(file, latency=6.0) as world:
        options = {"daily": None, "fresh_within": 3600}
        # It takes half a minute, which makes it no younger.
        summary, _, _ = await world.crawl("2026-02-01 06:00", TWO, **options)
        assert summary.finished_at is not None
        assert summary.finished_at - summary.started_at >= 30
        assert (await world.crawl("2026-02-01 06:59:59", TWO, **options))[0].snapshot == 1
        # An old list finished a moment ago makes nothing younger.
        summary, _, sent = await world.crawl("2026-02-01 07:00", TWO, **options)
        assert (summary.snapshot, summary.queries, sent) == (2, 2, 10)
        summary, progress, sent = await world.crawl("2026-01-01 07:00", TWO, **options)
        assert (summary.snapshot, progress.ignored, sent) == (3, (1, 2), 10)


async def test_days_and_ages_both_hold(file: Path) -> None:
    async with _world(file) as world:
        await world.crawl("2026-02-01 22:00", TWO, fresh_within=6 * 3600)
        assert (await world.crawl("2026-02-01 23:00", TWO, fresh_within=6 * 3600))[2] == 0
        assert (await world.crawl("2026-02-02 01:00", TWO, fresh_within=6 * 3600))[2] == 10
        assert (await world.crawl("2026-02-02 08:00", TWO, fresh_within=6 * 3600))[2] == 10


async def test_new_details_are_those_the_file_does_not_have_yet(file: Path) -> None:
    async with _world(file) as world:
        plan = TWO[:1]
        _, _, sent = await world.crawl("2026-02-01 06:00", plan, details="new")
        assert sent == 5 + 100
        seen = {item["hashtag_name"] for item in world.sandbox.items("hashtags", region="US")}
        summary, _, sent = await world.crawl("2026-02-02 06:00", plan, details="new")
        now = {item["hashtag_name"] for item in world.sandbox.items("hashtags", region="US")}
        assert 0 < len(now - seen) < 100
        assert (sent, summary.complete) == (5 + len(now - seen), True)
        # One that failed is not there.
        assert rows(file, "SELECT count(*) FROM lists WHERE snapshot = 2") == [
            (1 + len(now - seen),)
        ]
