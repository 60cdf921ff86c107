"""`crawl_on_dask`: a crawl in parts on a Dask cluster; their files outlive its workers."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Unpack
from uuid import uuid4

from attrs import frozen

from keyapi_async.client import KeyAPIClient
from keyapi_async.errors import ParameterError
from keyapi_async.queries import Query, whole_number

from .crawl_file import Summary
from .crawler import Crawl, RunOptions
from .database import LockedError
from .jobs import Progress
from .plan import Plan, check_plan, take_shard

try:
    from distributed import Client, Future, Reschedule, get_worker, wait
    from distributed.core import Status
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "a crawl on Dask needs distributed: pip install 'keyapi-async[dask]'", name=error.name
    ) from None

TICK: Final = 1.0
"""Seconds from one look at how a part is doing, and whether it is still wanted, to the next."""

LINGER: Final = 10.0
"""Seconds to wait for parts that are being stopped."""

LOCK_WAIT: Final = 300.0
"""Seconds to wait for a file in use, perhaps by a worker that was given up but still lives."""

_FILE: Final = re.compile(r"part-[0-9]+-of-([0-9]+)\.sqlite")


# Dask logs and displays tasks: no repr must show the key.
@frozen(kw_only=True, eq=False, repr=False)
class _Part:
    """What one task crawls.

    Attributes:
        task: Name of the task.
        topic: Where it reports to.
        lists: How many lists it has.
        plan: Those; for a part without any the whole plan, since no plan may be empty.
        path: Its file.
        client: Arguments of its `KeyAPIClient`.
        crawl: Options of its `Crawl`.
    """

    task: str
    topic: str
    lists: int
    plan: Plan
    path: str
    client: dict[str, Any]
    crawl: RunOptions


class _Reports:
    """What the parts report: how many lists have ended, of how many, and if the file is in use."""

    def __init__(self, parts: Iterable[_Part]) -> None:
        self._reports = {part.task: (0, part.lists, False) for part in parts}

    def receive(self, event: tuple[float, tuple[str, int, int, bool]]) -> None:
        task, ended, lists, is_running = event[1]
        if task in self._reports:  # else of an earlier run, whose caller was killed
            self._reports[task] = (ended, lists, is_running)

    def sum(self) -> tuple[int, int]:
        reports = list(self._reports.values())
        return sum(ended for ended, _, _ in reports), sum(lists for _, lists, _ in reports)

    def are_running(self) -> bool:
        return any(is_running for _, _, is_running in self._reports.values())


# -- at the caller -----------------------------------------------------------------------------


def crawl_on_dask(
    dask_client: Client,
    plan: Iterable[Query[Any]],
    folder: str | os.PathLike[str],
    *,
    shards: int | None = None,
    keys: Sequence[str] | None = None,
    qps: float = 10.0,
    share: str | None = None,
    base_url: str | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    **options: Unpack[RunOptions],
) -> tuple[Summary, ...]:
    """Crawl a plan in parts on a Dask cluster, and block until all are done.

    Each part is a task with a client and a file of its own, `folder/part-1-of-4.sqlite`. When its
    worker dies, another goes on with the file. Run it again, however it ended, and each part
    goes on as a `Crawl` does. An error here, Ctrl-C or the end of this process stops the parts in
    good order.

    Args:
        dask_client: A client of the cluster; its scheduler and workers need this package, too.
        plan: The queries; `grid` makes them.
        folder: A folder that is there, on storage that all workers see, as they name it.
        shards: How many parts. By default as many as the folder's files say, else as there are
            keys, else as there are workers.
        keys: API keys, dealt out to the parts in turn; by default each worker's KEYAPI_TOKEN.
        qps: The most requests per second of each part that runs. Default 10.
        share: As of `KeyAPIClient`; give it where parts with the same key may run together.
        base_url: Where the API is; by default as each worker's environment says.
        on_progress: Called about once a second, and at the end, with how many lists and details
            were answered, or failed, and how many there are.
        options: As of `Crawl`: `daily`, `details`, `keep_going` ...

    Returns:
        What each file holds now; look at `failed` if you `keep_going`.

    Raises:
        ParameterError: A value can't be right; no task was submitted.
        ConfigurationError: The same of a key, `qps` or `base_url`.
        KeyAPIError: What ended a part, as of `Crawl.run`; a note on it names the file. The other
            parts were stopped, or with `keep_going` finished.
        distributed.KilledWorker: More workers died of one part than the scheduler's
            `allowed-failures` permits.
    """
    plan = check_plan(plan)
    client: dict[str, Any] = {"qps": qps, "base_url": base_url}
    if not isinstance(folder, str | os.PathLike) or not os.fspath(folder):
        raise ParameterError("folder", folder, "the name of a folder that all workers see")
    if "shard" in options:
        raise ParameterError(
            "shard", options["shard"], "left out: `shards` says how many there are"
        )
    folder, secrets = os.fspath(folder), _check_keys(keys)
    for secret in secrets:  # checks all that `Crawl` and `KeyAPIClient` take
        Crawl(KeyAPIClient(secret or "the worker's", **client), plan, folder, **options)
    if share is not None:
        client["share"] = share
    count = _count_parts(dask_client, folder, shards, len(keys or ()))
    run, parts = uuid4().hex, []
    for number in range(1, count + 1):
        mine = take_shard(plan, (number, count), details=options.get("details"))
        part = _Part(
            task=f"keyapi-crawl-{run}-{number}",
            topic=f"keyapi-crawl {folder}",
            lists=len(mine),
            plan=mine or plan,
            path=os.path.join(folder, f"part-{number}-of-{count}.sqlite"),  # noqa: PTH118
            client={**client, "api_key": secrets[(number - 1) % len(secrets)]},
            crawl={**options, "shard": (number, count)},
        )
        parts.append(part)
    return _run_parts(dask_client, parts, on_progress)


def _check_keys(keys: Sequence[str] | None) -> tuple[str | None, ...]:
    """The keys to deal out; None is the worker's own."""
    if keys is None:
        return (None,)
    is_list = isinstance(keys, Sequence) and not isinstance(keys, str)
    if not (is_list and keys and all(isinstance(key, str) and key.strip() for key in keys)):
        allowed = "a list of API keys, none of them empty, or None for those of the workers"
        raise ParameterError("keys", type(keys).__name__, allowed)
    return tuple(keys)


def _count_parts(dask_client: Client, folder: str, shards: int | None, keys: int) -> int:
    """How many parts to make, after a look at the folder by all workers."""
    if not isinstance(dask_client, Client) or dask_client.asynchronous:
        allowed = "a distributed.Client, and not an asynchronous one"
        raise ParameterError("dask_client", dask_client, allowed)
    wanted = None if shards is None else whole_number("shards", shards, 1)
    folders: Any = dask_client.run(_find_counts, folder)
    if not folders:
        allowed = "the client of a cluster that has workers (wait_for_workers waits for them)"
        raise ParameterError("dask_client", dask_client, allowed)
    for worker, counts in folders.items():
        if counts is None:
            allowed = f"a folder that all workers see; {worker} has no such folder"
            raise ParameterError("folder", folder, allowed)
    there: set[int] = set().union(*folders.values())
    if len(there) > 1:
        raise ParameterError("folder", folder, "one with the files of one crawl")
    (count,) = there or {wanted or keys or len(folders)}
    if wanted not in (None, count):
        allowed = f"{count}, as of the files in the folder, or another folder"
        raise ParameterError("shards", wanted, allowed)
    return count


def _run_parts(
    dask_client: Client, parts: list[_Part], on_progress: Callable[[int, int], None] | None
) -> tuple[Summary, ...]:
    """Run the tasks until all have ended, or one failed."""
    reports, topic = _Reports(parts), parts[0].topic
    running: dict[Future[Summary], _Part] = {}
    summaries: dict[_Part, Summary] = {}
    failure: Exception | None = None
    keep_going = parts[0].crawl.get("keep_going", False)
    dask_client.subscribe_topic(topic, reports.receive)
    try:
        for part in parts:
            running[dask_client.submit(_crawl_part, part, key=part.task, pure=False)] = part
        while running and (failure is None or keep_going):
            with suppress(TimeoutError):
                wait(list(running), timeout=TICK, return_when="FIRST_COMPLETED")
            for future in [one for one in running if one.done()]:
                part = running.pop(future)
                try:
                    summaries[part] = future.result()
                except Exception as error:  # noqa: BLE001 - of the worker's, or Dask's own
                    error.add_note(f"This ended {part.path}.")
                    failure = failure or error
            if on_progress is not None:
                on_progress(*reports.sum())
    finally:
        dask_client.cancel(list(running))
        deadline = time.monotonic() + LINGER
        while reports.are_running() and time.monotonic() < deadline:
            time.sleep(TICK / 10)
        dask_client.unsubscribe_topic(topic)
    if failure is not None:
        raise failure
    return tuple(summaries[part] for part in parts)


# -- on the workers ----------------------------------------------------------------------------


def _find_counts(folder: str) -> list[int] | None:
    """Of how many parts a folder has files; None if there is no such folder."""
    if not Path(folder).is_dir():
        return None
    names = (_FILE.fullmatch(each.name) for each in Path(folder).iterdir())
    return [int(name[1]) for name in names if name]


def _crawl_part(part: _Part) -> Summary:
    """Crawl one part, in a thread of a worker, until it is done or no longer wanted."""
    return _Task(part).run()


class _Task:
    """The task of one part.

    Dask doesn't stop a task that runs: neither when it is cancelled, nor when its caller is gone or
    its worker is being closed. So the task looks whether it is still wanted.
    """

    def __init__(self, part: _Part) -> None:
        self._part = part
        self._worker = get_worker()

    def run(self) -> Summary:
        """Crawl until the part is done.

        Raises:
            KeyAPIError: What ended it.
            Reschedule: It is not wanted here any more.
        """
        give_up = time.monotonic() + LOCK_WAIT
        while True:
            try:
                return asyncio.run(self._crawl())
            except LockedError:
                if time.monotonic() > give_up:
                    raise
            if not self._is_wanted():
                raise Reschedule
            time.sleep(TICK)

    async def _crawl(self) -> Summary:
        part, is_stopped = self._part, False
        async with KeyAPIClient(**part.client) as client:
            crawl = Crawl(client, part.plan, part.path, **part.crawl)
            running = asyncio.create_task(crawl.run())
            try:
                while not running.done():
                    self._report(crawl.status(), is_running=True)
                    await asyncio.wait([running], timeout=TICK)
                    if not is_stopped and not self._is_wanted():
                        is_stopped = True
                        crawl.stop()
            finally:
                self._report(crawl.status(), is_running=False)
            summary = running.result()
            if is_stopped:
                raise Reschedule  # which Dask passes over if the task was cancelled
            return summary

    def _is_wanted(self) -> bool:
        task = self._worker.state.tasks.get(self._part.task)
        is_alive = self._worker.status in (Status.running, Status.paused)
        return is_alive and task is not None and task.state in ("executing", "long-running")

    def _report(self, status: Progress, *, is_running: bool) -> None:
        ended, lists = status.done + status.failed, status.queries or self._part.lists
        self._worker.log_event(self._part.topic, (self._part.task, ended, lists, is_running))
