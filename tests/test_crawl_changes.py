"""A crawl's file over days: failures, new snapshots, changed plans, and what is told before."""

from __future__ import annotations

import asyncio
import json
import math
import tracemalloc
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from crawls import change, content, opened, pages_asked, rows
from keyapi_async.crawl.keepers import StoreKeeper
from keyapi_async.crawl.summary import summarize

from keyapi_async import CreditBudgetError, KeyAPIError, NotFoundError, StopReason
from keyapi_async.cli import main
from keyapi_async.crawl import PlanChangedError, Progress, StoreError, crawl, crawl_to, grid
from keyapi_async.crawl import store as stores
from keyapi_async.crawl.database import locked
from keyapi_async.crawl.export import Selection, export
from keyapi_async.crawl.jobs import Finished, Options
from keyapi_async.crawl.plan import details_of, expect_jobs
from keyapi_async.crawl.snapshots import Opening, Wish, open_snapshot, opened_for, rehearsed
from keyapi_async.crawl.store import Store
from keyapi_async.queries import HashtagDetailQuery, Query
from keyapi_async.sandbox import Fault
from keyapi_async.usage import Usage

TWO = grid("hashtags", region=["US", "GB"])
US, GB = TWO
LONG_AGO = "UPDATE snapshots SET started_at = started_at - 86400"
STATES = "SELECT snapshot, query, state, stop_reason FROM lists ORDER BY id"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a.sqlite"


# -- every fetch has its place ---------------------------------------------------------------


async def test_a_list_that_moved_is_extended_without_harm(file: Path) -> None:
    async with opened() as (client, _):
        await crawl_to(file, client, grid("hashtags"), max_items=25)
    before = rows(file, "SELECT * FROM pages"), rows(file, "SELECT * FROM items")
    async with opened({"seed": 7}) as (client, sandbox):
        summary = await crawl_to(file, client, grid("hashtags"), extend=True)
        assert pages_asked(sandbox) == [2, 3, 4, 5]
        moved = [item["hashtag_id"] for item in sandbox.items("hashtags")[20:]]
    # Nothing of what was there is touched; the page asked for twice has two rows.
    assert rows(file, "SELECT * FROM pages WHERE id <= 2") == before[0]
    assert rows(file, "SELECT * FROM items WHERE id <= 25") == before[1]
    assert [item for (item,) in rows(file, "SELECT item_id FROM items WHERE id > 25")] == moved
    assert rows(file, "SELECT page, credits, status FROM pages WHERE id > 2") == [
        (page, 2, "ok") for page in (2, 3, 4, 5)
    ]
    assert (summary.items, summary.pages, summary.credits_spent) == (105, 6, 12)
    out = file.with_suffix(".jsonl")
    with stores.opened(file) as store:
        export(store, out, Selection())
    places = [json.loads(line)["_keyapi"] for line in out.read_text("utf-8").splitlines()]
    assert [(place["page"], place["position"]) for place in places[:46]] == [
        *((1, position) for position in range(1, 21)),
        *((2, position) for position in range(1, 6)),
        *((2, position) for position in range(1, 21)),
        (3, 1),
    ]
    ids = [request_id for (request_id,) in rows(file, "SELECT request_id FROM pages")]
    assert list(dict.fromkeys(place["request_id"] for place in places)) == ids


# -- failures --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.status(500), "ServerError"),
        (Fault.html(503), "ServerError"),
        (Fault.reset(), "TransportError"),
        (Fault.stall(), "RequestTimeoutError"),
    ],
)
async def test_what_may_pass_is_simply_gone_on_with(fault: Fault, error: str, file: Path) -> None:
    async with opened(timeout=5) as (client, sandbox):
        sandbox.fail(fault, page=3, times=2)
        progress = Progress()
        for pages in ([1, 2, 3], [1, 2, 3, 3]):
            with pytest.raises(KeyAPIError) as caught:
                await crawl_to(file, client, grid("hashtags"), progress=progress)
            assert type(caught.value).__name__ == error
            assert pages_asked(sandbox) == pages
            assert progress.failed == 0
            assert rows(file, "SELECT state, substr(error, 1, instr(error, ':')) FROM lists") == [
                ("pending", f"{error}:")
            ]
        summary = await crawl_to(file, client)
        assert (summary.done, summary.failed, summary.items, summary.pages) == (1, 0, 100, 5)
        assert pages_asked(sandbox) == [1, 2, 3, 3, 3, 4, 5]
    assert rows(file, "SELECT error FROM lists") == [(None,)]
    assert rows(file, "SELECT page, credits, status FROM pages WHERE status <> 'ok'") == [
        (3, 0, error),
        (3, 0, error),
    ]


@pytest.mark.parametrize(
    "fault", [Fault.status(400), Fault.status(404), Fault.half_json(), Fault.data(None)]
)
async def test_what_stays_wrong_waits_for_retry_failed(fault: Fault, file: Path) -> None:
    async with opened() as (client, sandbox):
        sandbox.fail(fault, page=3)
        with pytest.raises(KeyAPIError):
            await crawl_to(file, client, grid("hashtags"))
        summary = await crawl_to(file, client, grid("hashtags"))
        assert (summary.done, summary.failed, summary.pending) == (0, 1, 0)
        assert summary.finished_at is not None
        assert pages_asked(sandbox) == [1, 2, 3]
        summary = await crawl_to(file, client, retry_failed=True)
        assert (summary.done, summary.failed, summary.items) == (1, 0, 100)
        assert pages_asked(sandbox) == [1, 2, 3, 3, 4, 5]
    assert rows(file, "SELECT page FROM pages WHERE status <> 'ok'") == [(3,)]
    assert rows(file, "SELECT error FROM lists") == [(None,)]


async def test_with_keep_going_every_failure_is_settled(file: Path) -> None:
    async with opened() as (client, sandbox):
        sandbox.fail(Fault.status(500), page=3)
        summary = await crawl_to(file, client, TWO, keep_going=True)
        assert (summary.done, summary.failed, summary.items) == (1, 1, 140)
        assert "ServerError: 500" in summary.failures[0].error
        assert (await crawl_to(file, client, TWO)).failed == 1
        assert len(sandbox.requests) == 8


# -- snapshots -------------------------------------------------------------------------------


async def stopped(file: Path, client: Any, sandbox: Any, requests: int, **options: Any) -> None:
    """A crawl of two lists, one after the other, that runs out of credits."""
    async with sandbox.client(qps=math.inf, max_credits=2 * requests) as poor:
        with pytest.raises(CreditBudgetError):
            await crawl_to(file, poor, TWO, concurrency=1, **options)


async def test_an_unfinished_snapshot_is_gone_on_with_while_it_is_young(file: Path) -> None:
    async with opened() as (client, sandbox):
        await stopped(file, client, sandbox, 7)
        summary = await crawl_to(file, client, TWO, fresh_within=3600)
        assert (summary.snapshot, summary.items, len(sandbox.requests)) == (1, 200, 10)
        summary = await crawl_to(file, client, TWO, fresh_within=3600)
        assert (summary.snapshot, len(sandbox.requests)) == (1, 10)


async def test_a_new_day_leaves_the_old_one_as_it_is(file: Path) -> None:
    async with opened() as (client, sandbox):
        await stopped(file, client, sandbox, 7)
        change(file, LONG_AGO)
        change(file, "UPDATE lists SET finished_at = finished_at - 86400")
        summary = await crawl_to(file, client, TWO, fresh_within=3600)
        assert (summary.snapshot, summary.queries, summary.items) == (2, 2, 200)
        assert len(sandbox.requests) == 17
    assert rows(file, "SELECT snapshot, state, pages FROM lists ORDER BY id") == [
        (1, "done", 5),
        (1, "pending", 2),
        (2, "done", 5),
        (2, "done", 5),
    ]


async def test_a_new_snapshot_has_what_was_not_done_since(file: Path) -> None:
    plan = TWO + grid("music") + grid("videos")
    async with opened() as (client, sandbox):
        sandbox.fail(Fault.status(404), path="music", page=2)
        summary = await crawl_to(file, client, plan, keep_going=True)
        assert (summary.done, summary.failed, len(sandbox.requests)) == (3, 1, 37)
        change(file, LONG_AGO)
        change(file, "UPDATE lists SET finished_at = finished_at - 7200 WHERE query = 1")
        summary = await crawl_to(file, client, plan, fresh_within=3600, retry_failed=True)
        # One list is older than that, one failed; the others are fresh.
        assert (summary.snapshot, summary.queries, summary.items) == (2, 2, 200)
        assert len(sandbox.requests) == 47
        summary = await crawl_to(file, client, plan, fresh_within=3600)
        assert (summary.snapshot, len(sandbox.requests)) == (2, 47)
    assert rows(file, "SELECT state FROM lists WHERE snapshot = 1 AND query = 3") == [("failed",)]


async def test_an_old_snapshot_whose_lists_are_fresh_is_still_the_newest(file: Path) -> None:
    async with opened() as (client, sandbox):
        summary = await crawl_to(file, client, TWO)
        change(file, LONG_AGO)  # it took a day
        assert (await crawl_to(file, client, TWO, fresh_within=3600)).snapshot == 1
        assert len(sandbox.requests) == 10
        assert summary.finished_at is not None


async def test_what_changes_on_a_new_day_changes_the_new_snapshot(file: Path) -> None:
    async with opened() as (client, sandbox):
        await stopped(file, client, sandbox, 3, max_pages=2)
        change(file, LONG_AGO)
        old = rows(file, "SELECT options FROM snapshots"), rows(file, STATES)
        plan = (US, *grid("music"))
        summary = await crawl_to(file, client, plan, max_pages=1, extend=True, fresh_within=60)
        # Even what was done a moment ago was done with other options.
        assert (summary.snapshot, summary.queries, summary.pages) == (2, 2, 2)
        assert len(sandbox.requests) == 5
        assert rows(file, "SELECT options FROM snapshots WHERE id = 1") == old[0]
        assert rows(file, STATES)[:2] == old[1]
        summary = await crawl_to(file, client, plan, max_pages=1, fresh_within=60)
        assert (summary.snapshot, len(sandbox.requests)) == (2, 5)


def test_a_snapshot_is_finished_when_its_last_list_is(file: Path) -> None:
    with stores.opened(file, create=True) as store:
        opening = open_snapshot(store, Wish(plan=TWO))
        store.begin_run(opening.snapshot, opening.options, Usage())
        jobs = store.jobs(0, 9)
        store.write([Finished(job=jobs[0], reason="exhausted")], Usage())
        assert summarize(store).finished_at is None
        store.write([Finished(job=jobs[1], reason="exhausted")], Usage())
    # Killed before it could say that it had ended.
    with stores.opened(file) as store:
        ((last,),) = store.rows("SELECT max(finished_at) FROM lists")
        assert summarize(store).finished_at == last is not None


async def test_a_retry_makes_a_snapshot_unfinished_again(file: Path) -> None:
    async with opened() as (client, sandbox):
        sandbox.fail(Fault.status(404), page=1, times=1)
        assert (await crawl_to(file, client, TWO, keep_going=True)).finished_at is not None
    with stores.opened(file, create=True) as store:
        assert open_snapshot(store, Wish(retry_failed=True)).pending == 1
        assert summarize(store).finished_at is None
    assert rows(file, "SELECT count(*) FROM lists WHERE finished_at IS NULL") == [(1,)]


# -- a changed plan --------------------------------------------------------------------------


async def test_what_is_dropped_is_fetched_no_more(file: Path) -> None:
    plan = (US, *grid("music"))
    async with opened() as (client, sandbox):
        await stopped(file, client, sandbox, 7)  # the first list, and two pages of the second
        with pytest.raises(PlanChangedError, match="new: music; no longer there: hashtags regi"):
            await crawl_to(file, client, plan)
        summary = await crawl_to(file, client, plan, extend=True)
        assert (summary.done, summary.pending, summary.items) == (3, 0, 100 + 40 + 100)
        assert len(sandbox.requests) == 12
        assert rows(file, STATES)[1] == (1, 2, "done", "dropped")
        await crawl_to(file, client, plan)  # it is the file's plan now
        await crawl_to(file, client)
        assert len(sandbox.requests) == 12
        change(file, LONG_AGO)
        change(file, "UPDATE lists SET finished_at = finished_at - 86400")
        summary = await crawl_to(file, client, fresh_within=3600)
        assert (summary.snapshot, summary.queries, len(sandbox.requests)) == (2, 2, 22)


async def test_what_was_dropped_and_is_wanted_again_goes_on(file: Path) -> None:
    async with opened() as (client, sandbox):
        await stopped(file, client, sandbox, 7)
        await crawl_to(file, client, (US,), extend=True)
        assert len(sandbox.requests) == 7
        change(file, LONG_AGO)
        with rehearsed(file, Wish(plan=TWO, extend=True, fresh_within=3600)) as (store, opening):
            # Done a moment ago, the one; but the other was only dropped.
            assert [job.query for job in store.pending(opening.snapshot)] == [GB]
            assert opening.is_new
        summary = await crawl_to(file, client, TWO, extend=True)
        assert (summary.snapshot, summary.items) == (1, 200)
        assert len(sandbox.requests) == 10


async def test_other_limits_are_for_the_lists_of_older_snapshots_too(file: Path) -> None:
    async with opened() as (client, sandbox):
        sandbox.fail(Fault.status(404))
        await crawl_to(file, client, TWO, max_items=10, keep_going=True, concurrency=1)
        change(file, LONG_AGO)
        summary = await crawl_to(file, client, TWO, max_items=10, fresh_within=3600)
        assert (summary.snapshot, summary.queries, summary.items) == (2, 1, 10)
        summary = await crawl_to(file, client, TWO, max_items=40, extend=True)
        assert (summary.snapshot, summary.queries, summary.items) == (2, 2, 80)


@pytest.mark.parametrize("age", ["1h", -1, math.nan])
def test_an_age_is_a_number_of_seconds(age: Any) -> None:
    with pytest.raises(ValueError, match=f"fresh_within must be a number of seconds, not {age!r}"):
        Wish(plan=TWO, fresh_within=age)


async def test_a_failed_list_that_is_dropped_is_not_retried(file: Path) -> None:
    async with opened() as (client, sandbox):
        sandbox.fail(Fault.status(404), page=2)
        with pytest.raises(NotFoundError):
            await crawl_to(file, client, TWO, concurrency=1)
        summary = await crawl_to(file, client, (GB,), extend=True, retry_failed=True)
        assert (summary.done, summary.failed, summary.items) == (2, 0, 120)
        assert rows(file, "SELECT error LIKE 'NotFoundError%' FROM lists") == [(1,), (None,)]
        assert len(sandbox.requests) == 7


async def test_details_end_and_go_on_with_the_wish_for_them(file: Path) -> None:
    plan = grid("hashtags")
    async with opened() as (client, sandbox):
        async with sandbox.client(qps=math.inf, max_credits=2 * 8) as poor:
            with pytest.raises(CreditBudgetError):
                await crawl_to(file, poor, plan, with_details=True, max_pages=2, concurrency=1)
        # The two pages of the list, and six of forty details.
        summary = await crawl_to(file, client, plan, max_pages=2, extend=True)
        assert (summary.done, summary.items, len(sandbox.requests)) == (41, 46, 8)
        summary = await crawl_to(file, client, plan, max_pages=2, with_details=True, extend=True)
        assert (summary.done, summary.items, len(sandbox.requests)) == (41, 80, 42)
        assert rows(file, "SELECT stop_reason, count(*) FROM lists GROUP BY 1 ORDER BY 1") == [
            ("exhausted", 40),
            ("max_pages", 1),
        ]


async def test_a_planned_detail_that_is_dropped_stays_so_unless_it_is_found(file: Path) -> None:
    async with opened() as (client, sandbox):
        first = details_of(US, sandbox.items("hashtags", region="US"))[0]
        other: Query = HashtagDetailQuery(hashtag_name="unheard of", region="US")
        plan = (first, other)
        async with sandbox.client(qps=math.inf, max_credits=0) as poor:
            with pytest.raises(CreditBudgetError):
                await crawl_to(file, poor, plan, with_details=True, max_items=20)
        await crawl_to(file, client, (US,), with_details=True, max_items=20, extend=True)
        assert len(sandbox.requests) == 1 + 19
        # Found on the way, the one is known for a detail from now on.
        assert rows(file, "SELECT planned FROM queries WHERE id <= 2") == [(0,), (-1,)]


def test_a_limit_that_ended_a_dropped_list_does_not_open_it_again(file: Path) -> None:
    def begun(plan: Any, **options: Any) -> list[Query]:
        wish = Wish(plan=plan, options=Options(**options), extend=True)
        opening = open_snapshot(store, wish)
        store.begin_run(opening.snapshot, opening.options, Usage())
        jobs = store.jobs(0, 9)
        store.write([Finished(job=job, reason="max_items") for job in jobs], Usage())
        return [job.query for job in jobs]

    with stores.opened(file, create=True) as store:
        assert begun(TWO, max_items=1) == [US, GB]
        assert begun((GB,), max_items=1) == []
        assert begun((GB,), max_items=2) == [GB]
        assert begun(TWO, max_items=2) == []  # what it has is what is wanted
        assert begun(TWO, max_items=3) == [US, GB]


async def test_details_are_added_list_by_list(file: Path) -> None:
    async with opened() as (client, _):
        await crawl_to(file, client, grid("hashtags", region=[f"r{n}" for n in range(8)]))
    # Fifty thousand letters each, forty million in all.
    longer = "json_insert(json, '$.more', hex(zeroblob(25000)))"
    change(file, f"UPDATE items SET json = {longer}")
    with stores.opened(file, create=True) as store:
        tracemalloc.start()
        try:
            opening = open_snapshot(store, Wish(options=Options(with_details=True), extend=True))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert opening.pending == 800
        assert rows(file, "SELECT sum(length(json)) > 40000000 FROM items") == [(1,)]
    assert peak < 10_000_000


# -- what would be done ----------------------------------------------------------------------


WISHES = {
    "the same": Wish(plan=TWO, options=Options(max_pages=2)),
    "resume": Wish(),
    "another plan": Wish(plan=grid("music") + TWO[:1], options=Options(max_pages=2)),
    "new plan": Wish(plan=grid("music") + TWO[:1], options=Options(max_pages=3), extend=True),
    "details": Wish(plan=TWO, options=Options(max_pages=2, with_details=True), extend=True),
    "new day": Wish(fresh_within=0),
    "failed": Wish(retry_failed=True),
    "young": Wish(retry_failed=True, fresh_within=3600),
}


@pytest.mark.parametrize("name", WISHES)
@pytest.mark.parametrize("held", ["nothing", "some", "all"])
async def test_a_rehearsal_is_what_happens(name: str, held: str, file: Path) -> None:
    wish = WISHES[name]
    async with opened() as (client, sandbox):
        if held == "some":
            sandbox.fail(Fault.status(404), page=2)
            with pytest.raises(NotFoundError):
                await crawl_to(file, client, TWO, max_pages=2, concurrency=1)
        elif held == "all":
            await crawl_to(file, client, TWO, max_pages=2)
    before = content(file) if held != "nothing" else []
    told = outcome(rehearsed(file, wish))
    assert file.exists() == bool(before)
    assert before == (content(file) if before else [])

    @contextmanager
    def done() -> Iterator[tuple[Store, Opening]]:
        with opened_for(file, wish) as store:
            yield store, open_snapshot(store, wish)

    assert told == outcome(done())


def outcome(opening: AbstractContextManager[tuple[Store, Opening]]) -> Any:
    """What there is to do, or why nothing can be done."""
    try:
        with opening as (store, found):
            return found, [job.query for job in store.pending(found.snapshot)]
    except StoreError as error:
        return str(error)


def test_a_rehearsal_meets_what_the_crawl_would_meet(file: Path) -> None:
    wish = Wish(plan=TWO)
    with rehearsed(None, wish) as (_, opening):
        assert (opening.pending, opening.is_new) == (2, True)
    with (
        pytest.raises(StoreError, match="check that its folder exists"),
        rehearsed(file.parent / "no" / "a.sqlite", wish),
    ):
        pass
    with pytest.raises(StoreError, match="is a folder"), rehearsed(file.parent, wish):
        pass
    with stores.opened(file, create=True) as store:
        open_snapshot(store, wish)
        with pytest.raises(StoreError, match="another crawl is running"), rehearsed(file, wish):
            pass


async def test_a_rehearsal_counts_details_that_are_pending(file: Path) -> None:
    async with opened() as (_, sandbox), sandbox.client(qps=math.inf, max_credits=4) as poor:
        with pytest.raises(CreditBudgetError):
            await crawl_to(file, poor, grid("music"), with_details=True, concurrency=1)
    with rehearsed(file, Wish()) as (store, opening):
        found = expect_jobs(store.pending(opening.snapshot), opening.options)
    # Three pages of the list, the details of two pages, and those to be found on the three.
    assert (found.queries, found.details, found.pages) == (41, 60, 3 + 40 + 60)
    assert found.credits == 2 * 103


@pytest.mark.parametrize(("first", "then", "sent"), [(30, 35, 1), (30, 90, 4), (40, 90, 3)])
async def test_a_rehearsal_counts_a_page_that_was_cut(
    first: int, then: int, sent: int, file: Path
) -> None:
    async with opened() as (client, sandbox):
        await crawl_to(file, client, (US,), max_items=first)
        before = len(sandbox.requests)
        wish = Wish(plan=(US,), options=Options(max_items=then), extend=True)
        with rehearsed(file, wish) as (store, opening):
            found = expect_jobs(store.pending(opening.snapshot), opening.options)
        summary = await crawl_to(file, client, (US,), max_items=then, extend=True)
        assert (found.pages, len(sandbox.requests) - before, summary.items) == (sent, sent, then)


async def test_a_rehearsal_goes_by_the_length_the_server_told(file: Path) -> None:
    async with (
        opened({"totals": {"hashtags": 300}}) as (_, sandbox),
        sandbox.client(qps=math.inf, max_credits=12) as poor,
    ):
        with pytest.raises(CreditBudgetError):
            await crawl_to(file, poor, (US,))
    with rehearsed(file, Wish()) as (store, opening):
        assert expect_jobs(store.pending(opening.snapshot), opening.options).pages == 15 - 6


async def test_simulate_tells_it(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def told(*line: str) -> tuple[int, str, str]:
        code = main(["crawl", *line, "-s"])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    resume = ("--resume", str(file))
    assert told(*resume) == (
        1,
        "",
        f"keyapi: {file}: there is no such file; start a crawl with `-o {file}`\n",
    )
    assert list(file.parent.iterdir()) == []
    async with opened() as (client, sandbox):
        sandbox.fail(Fault.status(404), path="music", page=2)
        with pytest.raises(NotFoundError):
            plan = grid("music") + grid("hashtags")
            await crawl_to(file, client, plan, with_details=True, concurrency=1)
    before = content(file)
    assert told(*resume) == (
        0,
        """1 queries failed (--retry-failed tries them again)
hashtags: 1 queries
music_detail: 20 queries
21 queries, about 25 pages and 100 details, 250 credits if lists are as long as usual
""",
        "",
    )
    assert told(*resume, "--retry-failed") == (
        0,
        """hashtags: 1 queries
music: 1 queries
music_detail: 20 queries
22 queries, about 29 pages and 180 details, 418 credits if lists are as long as usual
""",
        "",
    )
    code, out, err = told("music", "-o", str(file))
    assert (code, out, "holds the crawl of another plan (no longer there: hashtags" in err) == (
        1,
        "",
        True,
    )
    with locked(file):
        code, out, err = told(*resume)
    assert (code, out, "another crawl is running on it" in err) == (1, "", True)
    assert content(file) == before


def test_resuming_what_is_not_there_makes_nothing(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["crawl", "--resume", str(file), "--sandbox"]) == 1
    assert "there is no such file" in capsys.readouterr().err
    assert list(file.parent.iterdir()) == []


def test_a_command_without_queries(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = file.with_suffix(".jsonl")
    plan.write_text("\n")
    for line in (["-o", str(file)], ["-s"]):
        assert main(["crawl", "-i", str(plan), *line]) == 2
        assert "a.jsonl holds no query" in capsys.readouterr().err
    assert not file.exists()


# -- what can't be right ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plan", "options", "error", "problem"),
    [
        ((), {}, ValueError, "the plan is empty"),
        ((US, "music"), {}, TypeError, "a plan must have queries, .* number 2 is 'music'"),
        ((Query(),), {}, TypeError, r"number 1 is Query\(\)"),
        (TWO, {"concurrency": 0}, ValueError, "concurrency must be a whole number of at least 1"),
        (TWO, {"max_items": -1}, ValueError, "max_items must be"),
        (None, {}, StoreError, "there is no such file; start a crawl with"),
    ],
)
@pytest.mark.parametrize("kept", [False, True])
async def test_nothing_is_made_or_changed_for_what_cannot_be_right(
    kept: bool, plan: Any, options: dict[str, Any], error: Any, problem: str, file: Path
) -> None:
    async with opened() as (client, sandbox):
        if kept and plan is not None:
            with stores.opened(file, create=True) as store:
                open_snapshot(store, Wish(plan=grid("music")))
        before = sorted(file.parent.iterdir()), content(file) if file.exists() else None
        with pytest.raises(error, match=problem):
            await crawl_to(file, client, plan, extend=True, **options)
        assert before == (
            sorted(file.parent.iterdir()),
            content(file) if file.exists() else None,
        )
        assert not sandbox.requests


async def test_a_stream_says_what_is_no_query() -> None:
    async with opened() as (client, sandbox):
        with pytest.raises(TypeError, match="number 1 is 'hashtags'"):
            async for _ in crawl(client, ["hashtags"]):  # type: ignore[list-item]
                pass
        assert not sandbox.requests


async def test_a_stream_counts_and_fetches_each_query_once() -> None:
    async with opened() as (client, sandbox):
        detail = details_of(US, sandbox.items("hashtags", region="US"))[3]
        progress = Progress()
        # The list comes upon the detail before its turn has come.
        records = [
            record
            async for record in crawl(
                client,
                (US, US, detail, detail),
                with_details=True,
                max_items=20,
                progress=progress,
                concurrency=1,
            )
        ]
        assert len(records) == 20 + 20
        assert sandbox.credits_spent == 2 * (1 + 20)
        assert (progress.queries, progress.done) == (21, 21)
        assert progress.pages == progress.pages_expected == 21


async def test_what_waits_is_stored_before_the_keeper_closes(file: Path) -> None:
    with stores.opened(file, create=True) as store:
        opening = open_snapshot(store, Wish(plan=TWO))
        store.begin_run(opening.snapshot, opening.options, Usage())
        keeper = StoreKeeper(store, Usage())
        first, second = await keeper.take(), await keeper.take()
        assert first is not None
        assert second is not None  # so that what comes of the first waits a moment for company
        reason = StopReason.EXHAUSTED
        keeping = asyncio.create_task(keeper.keep(Finished(job=first, reason=reason)))
        await asyncio.sleep(0)
        await keeper.close()
        assert await keeping == 0
    assert rows(file, STATES) == [(1, 1, "done", "exhausted"), (1, 2, "pending", None)]
