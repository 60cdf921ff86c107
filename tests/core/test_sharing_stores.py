"""What a share is kept in: a file and Redis give the same answers; what goes wrong, clearly."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sqlite3
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from benchmarks.redis_server import RedisServer
from keyapi_async import KeyAPIError
from keyapi_async.errors import ShareError
from keyapi_async.guard import Guard, Refusal
from keyapi_async.shared_state import HOLD, Claim
from keyapi_async.sharing import open_store, share_name
from keyapi_async.sharing_file import FileStore, _is_busy
from keyapi_async.sharing_redis import RedisStore
from tests.conftest import DrivenClockLoop
from tests.core.calls import lasting
from tests.core.scripted_server import KEY
from tests.core.shares import sharing

# A file and Redis agree

CLAIM = Claim(qps=10)
NAMES = itertools.count()

BUDGETS = st.sampled_from([(0, 0), (0, 0), (4, 2), (6, 30), (7, 2.5)])
CLAIMS = st.builds(
    lambda qps, margin, late, budget: Claim(
        qps=qps, margin=margin, late=late, credits=budget[0], per=budget[1]
    ),
    st.sampled_from([5, 10.0, 20]),
    st.sampled_from([0.0, 0.03]),
    st.sampled_from([0.0, 0.001, 0.01]),
    BUDGETS,
)
REFUSALS = st.builds(
    lambda age, **more: (age, Refusal(sent_at=0, **more)),
    st.sampled_from([0.0, 0.1, 3.0]),
    wait=st.sampled_from([0.1, 1.0, 5.0]),
    is_first=st.booleans(),
    is_asked=st.booleans(),
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.0, 0.01, 0.1, 1.0, 5.0, 61.0, -0.5, -100.0]),
        CLAIMS | CLAIMS | CLAIMS | REFUSALS | st.just("climb") | st.integers(0, 9),
    ),
    max_size=30,
)


def refuse(age: float, refusal: Refusal) -> Any:
    return lambda guard, now: guard.pause(now, attrs.evolve(refusal, sent_at=now - age))


def fields(guard: Guard) -> dict[str, float]:
    return {field.name: getattr(guard, field.name) for field in attrs.fields(Guard)}


async def perform(store: Any, step: Any, number: int) -> dict[str, Any] | None:
    """What one step brings; the reservation of step `n` is called `n`."""
    match step:
        case Claim():
            claim = attrs.evolve(step, reservation=str(number))
            if number % 7 == 6:
                claim = attrs.evolve(claim, returned=(str(number - 1), str(number - 3)))
            return attrs.asdict(await store.reserve(claim))
        case (age, refusal):
            guard, now = await store.update(refuse(age, refusal))
            return fields(guard) | {"now": now}
        case "climb":
            guard, now = await store.update(Guard.climb)
            return fields(guard) | {"now": now}
        case earlier:
            await store.give_back((str(earlier), "unknown"))
            return None


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=STEPS)
def test_a_file_and_redis_give_the_same_answers(
    steps: Any, running_redis: RedisServer, tmp_path_factory: Any
) -> None:
    folder = tmp_path_factory.getbasetemp()

    async def play() -> None:
        now, name = 1_800_000_000.0, f"oracle-{next(NAMES)}"
        file = FileStore(folder / "oracle.share", name, lambda: now)
        other = RedisStore(running_redis.url, name, lambda: now)
        try:
            for number, (gap, step) in enumerate(steps):
                now += gap
                found = await perform(file, step, number)
                assert await perform(other, step, number) == pytest.approx(found, abs=1e-9)
        finally:
            await file.close()
            await other.close()

    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(play())


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def timed(share: str) -> AsyncIterator[tuple[Any, Clock]]:
    """A store of each kind, and its clock; the event loop's waits for it."""
    clock, loop = Clock(), asyncio.get_running_loop()
    assert isinstance(loop, DrivenClockLoop)
    loop.held += 1
    store: Any = open_store(share, "timed")
    store._clock = clock
    yield store, clock
    await store.close()
    loop.held -= 1


@pytest.mark.parametrize("back", [0.1, 50, 1e6])
async def test_a_pause_that_begins_when_the_clock_was_just_set_back_is_not_cut_short(
    timed: tuple[Any, Clock], back: float
) -> None:
    store, clock = timed
    await store.reserve(CLAIM)
    clock.now -= back
    guard, now = await store.update(refuse(0.0, Refusal(sent_at=0, wait=5.0)))
    assert guard.paused_until - now == 5
    clock.now += 1
    # The second that has passed can't be told from the jump.
    assert 4 <= (await store.reserve(CLAIM)).pause <= 5
    clock.now += 3.9
    assert 0 < (await store.reserve(CLAIM)).pause <= 1.1 + 1e-6
    clock.now += 1.2
    assert (await store.reserve(CLAIM)).pause == 0


async def test_credits_count_from_their_slot_on(timed: tuple[Any, Clock]) -> None:
    store, clock = timed
    claim = Claim(qps=0.1, credits=4, per=15)
    waits = [(await store.reserve(attrs.evolve(claim, reservation=name))).wait for name in "ab"]
    assert waits == [0, 10]
    clock.now += 16
    assert (await store.reserve(attrs.evolve(claim, reservation="c"))).remaining == 2
    reply = await store.reserve(attrs.evolve(claim, reservation="d"))
    assert (reply.remaining, reply.room_in) == (0, pytest.approx(9, abs=1e-6))


async def test_what_is_left_of_a_budget_that_others_have_passed_is_none(
    timed: tuple[Any, Clock],
) -> None:
    store, clock = timed
    poor, rich = Claim(qps=10, credits=4, per=3600), Claim(qps=10, credits=100, per=3600)
    await store.reserve(attrs.evolve(poor, reservation="poor"))
    clock.now += HOLD + 1
    for number in range(4):
        await store.reserve(attrs.evolve(rich, reservation=f"rich-{number}"))
    assert (await store.reserve(attrs.evolve(poor, reservation="again"))).remaining == 0


async def test_what_a_clock_that_was_ahead_has_spent_leaves_the_window(
    timed: tuple[Any, Clock],
) -> None:
    store, clock = timed
    poor, rich = Claim(qps=10, credits=2, per=90), Claim(qps=10, credits=100, per=90)
    clock.now += 1e6
    await store.reserve(attrs.evolve(poor, reservation="ahead"))
    clock.now -= 1e6
    reply = await store.reserve(attrs.evolve(rich, reservation="bound"))
    assert (reply.remaining, reply.room_in) == (0, pytest.approx(90, abs=0.2))
    clock.now += HOLD + 1
    assert (await store.reserve(attrs.evolve(rich, reservation="free"))).room_in is None
    clock.now += 30
    assert (await store.reserve(attrs.evolve(poor, reservation="again"))).remaining == 0
    clock.now += 91
    assert (await store.reserve(attrs.evolve(poor, reservation="once more"))).room_in is None


async def test_without_a_given_clock_they_take_a_real_one(
    tmp_path: Path, running_redis: RedisServer
) -> None:
    loop: Any = asyncio.get_running_loop()
    loop.held += 1
    for store in (FileStore(tmp_path / "x", "now"), RedisStore(running_redis.url, "now")):
        before = (await store.update(lambda *_: None))[1]
        claim = Claim(qps=0.1)
        assert (await store.reserve(claim)).wait == 0
        assert 0 <= (await store.update(lambda *_: None))[1] - before < 5
        assert 5 < (await store.reserve(claim)).wait <= 10
        await store.close()
    loop.held -= 1


# The key is nowhere


async def test_the_key_is_in_no_file_and_no_key_of_redis(
    share: str, tmp_path: Path, running_redis: RedisServer
) -> None:
    async with sharing(share, {}, {"qps": 50}) as (_, client):
        await client.trending.hashtags()
        kept = b"".join(file.read_bytes() for file in sorted(tmp_path.iterdir()))
    kept += b"".join(file.read_bytes() for file in sorted(tmp_path.iterdir()))
    if share.startswith("redis"):
        with Redis(port=running_redis.port) as connection:
            for key in connection.keys():  # noqa: SIM118 - it is no dict
                kind = connection.type(key)
                kept += key
                kept += repr(connection.hgetall(key) if kind == b"hash" else connection.zrange(
                    key, 0, -1)).encode()  # fmt: skip
    assert b"ceiling" in kept
    assert KEY.encode() not in kept
    assert share_name(KEY, "x") != share_name(KEY, "y") != share_name("z", "y")


# What is wrong with a file


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[FileStore]:
    store = FileStore(tmp_path / "pace.share", "name")
    yield store
    await store.close()


@pytest.mark.parametrize(
    ("code", "passes"),
    [("BUSY", True), ("BUSY_RECOVERY", True), ("LOCKED", True), ("FULL", False), (None, False)],
)
def test_a_lock_passes_and_other_faults_stay(code: str | None, *, passes: bool) -> None:
    """As when another process has just died in a transaction, and a third one clears up."""
    error = sqlite3.OperationalError("a fault")
    if code is not None:
        error.sqlite_errorcode = getattr(sqlite3, f"SQLITE_{code}")
    assert _is_busy(error) is passes


def hold(file: Path, how: str) -> sqlite3.Connection:
    """Hold the file as another process would; all but `using` before it is a share."""
    db = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
    if how == "reading":
        db.execute("CREATE TABLE x (y)")
        db.execute("BEGIN")
        db.execute("SELECT * FROM x")
    else:
        db.execute("BEGIN EXCLUSIVE" if how == "making" else "BEGIN IMMEDIATE")
    return db


@pytest.mark.parametrize("how", ["using", "making", "writing", "reading"])
async def test_a_file_that_is_freed_in_time_is_waited_for(
    store: FileStore, tmp_path: Path, how: str
) -> None:
    if how == "using":
        await store.reserve(CLAIM)
    with contextlib.closing(hold(tmp_path / "pace.share", how)) as db:
        thread = threading.Timer(0.1, db.rollback)
        thread.start()
        await store.reserve(CLAIM)
        thread.join()


@pytest.mark.parametrize("how", ["using", "making", "writing", "reading"])
async def test_a_file_that_is_not_freed_fails_clearly_and_may_be_tried_again(
    store: FileStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr("keyapi_async.sharing_file.PATIENCE", 0.05)
    if how == "using":
        await store.reserve(CLAIM)
    with contextlib.closing(hold(tmp_path / "pace.share", how)) as db:
        with pytest.raises(ShareError, match=r"pace.share can't be used: database is locked$") as e:
            await store.reserve(CLAIM)
        assert not e.value.permanent
        db.rollback()
        await store.reserve(CLAIM)


@pytest.mark.parametrize(
    ("content", "problem"),
    [("no database, but long enough" * 99, "file is not a database"), (2, "another version")],
    ids=["no database", "newer"],
)
async def test_a_file_that_is_no_share_of_ours_is_refused_and_left_alone(
    store: FileStore, tmp_path: Path, content: Any, problem: str
) -> None:
    file = tmp_path / "pace.share"
    if isinstance(content, str):
        file.write_text(content)
    else:
        with contextlib.closing(sqlite3.connect(file)) as db:
            db.execute("CREATE TABLE t (x)")
            db.execute(f"PRAGMA user_version = {content}")
    with pytest.raises(ShareError, match=problem) as caught:
        await store.reserve(CLAIM)
    assert caught.value.permanent
    if isinstance(content, str):
        assert file.read_text() == content


async def test_a_disk_that_is_full_fails_clearly_and_goes_on_later(store: FileStore) -> None:
    await store.reserve(CLAIM)
    assert store._db is not None
    store._db.execute("PRAGMA max_page_count = 1")
    names = tuple(f"{number:0>500}" for number in range(99))
    with pytest.raises(ShareError, match="database or disk is full") as caught:
        for name in names:
            await store.reserve(Claim(qps=10, credits=999, per=60, reservation=name))
    assert caught.value.permanent
    await store.reserve(Claim(qps=10, credits=999, per=60, reservation="later"))


async def test_a_file_that_is_deleted_is_made_again_and_still_shared(
    store: FileStore, tmp_path: Path
) -> None:
    other = FileStore(tmp_path / "pace.share", "name")
    for one in (store, other, store):
        await one.reserve(Claim(qps=0.01))
    (tmp_path / "pace.share").unlink()
    assert (await store.reserve(Claim(qps=0.01))).wait == 0
    assert 90 < (await other.reserve(Claim(qps=0.01))).wait <= 100
    await other.close()


async def test_a_folder_that_has_gone_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    store = FileStore(folder / "pace.share", "name")
    folder.rmdir()
    with pytest.raises(ShareError, match="unable to open database file") as caught:
        await store.reserve(CLAIM)
    assert caught.value.permanent


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
async def test_a_place_where_nothing_can_be_written_is_told() -> None:
    store = FileStore(Path("/proc/pace.share"), "name")
    with pytest.raises(ShareError, match="unable to open database file") as caught:
        await store.reserve(CLAIM)
    assert caught.value.permanent


def test_a_new_file_may_be_opened_by_several_at_once(tmp_path: Path) -> None:
    failed = list[Exception]()

    def use(file: Path, barrier: threading.Barrier) -> None:
        async def reserve() -> None:
            store = FileStore(file, "name")
            await store.reserve(CLAIM)
            await store.close()

        barrier.wait()
        try:
            asyncio.run(reserve())
        except KeyAPIError as error:
            failed.append(error)

    for number in range(20):
        job = tmp_path / str(number), threading.Barrier(4)
        threads = [threading.Thread(target=use, args=job) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failed == []


async def test_a_call_tells_what_is_wrong_with_the_file_at_once(tmp_path: Path) -> None:
    file = tmp_path / "pace.share"
    file.write_text("no database, but long enough" * 99)
    async with sharing(f"file:{file}", {}, {"qps": 10}) as (sandbox, client):
        with lasting(0, 0.01), pytest.raises(ShareError, match="is not a database") as caught:
            await client.trending.hashtags()
        assert (caught.value.attempts, caught.value.maybe_billed) == (0, False)
        assert sandbox.requests == []
