"""`keyapi crawl`: every list of a grid into one file, exactly once."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from shlex import quote
from typing import Annotated, Any, BinaryIO

import attrs
from cyclopts import Parameter
from rich.console import Console

from keyapi_async import KeyAPIError, reference
from keyapi_async.crawl import ENDPOINTS, Plan, Progress, StoreError, Summary, grid, read_plan
from keyapi_async.crawl.engine import Engine
from keyapi_async.crawl.jobs import Options
from keyapi_async.crawl.plan import endpoint_of, expect_jobs
from keyapi_async.crawl.run import StoredCrawl
from keyapi_async.crawl.snapshots import Opening, Wish, open_snapshot, opened_for, rehearsed
from keyapi_async.crawl.store import opened
from keyapi_async.crawl.summary import summarize
from keyapi_async.queries import whole_number
from keyapi_async.usage import CREDITS_PER_REQUEST

from .app import app, known
from .crawling import (
    FILTERS,
    KEEPING,
    PLAN,
    RUN,
    RUNNING,
    STORE,
    Endpoint,
    Filters,
    Keeping,
    Running,
)
from .errors import INTERRUPTED, PARTIAL, USAGE, CommandError, naming_options, option
from .options import ASK, Ask
from .run import connected, perform
from .watch import Form, Watch, summary_lines

GRACE = 5.0
"""Seconds for requests under way to come home after the first Ctrl-C."""


@app.command(help_epilogue=known(list(reference.REGIONS), industries=True))
def crawl(
    *endpoints: Endpoint,
    filters: Annotated[Filters, Parameter(name="*", group=PLAN)] = FILTERS,
    keeping: Annotated[Keeping, Parameter(name="*", group=STORE)] = KEEPING,
    running: Annotated[Running, Parameter(name="*", group=RUN)] = RUNNING,
    ask: Ask = ASK,
) -> None:
    """Every list of a grid, into one SQLite file, exactly once.

    The same command goes on where it ended; when all is done, it does nothing.

    Args:
        endpoints: What to crawl.
        filters: Which lists.
        keeping: Where to.
        running: How.
        ask: Whom to ask.
    """
    if keeping.status is not None:
        _stands_alone(endpoints, filters, keeping, running, ask)
        _show_status(Path(keeping.status))
        return
    if running.concurrency is not None:
        with naming_options():
            whole_number("concurrency", running.concurrency, 1)
    if running.log_json and running.verbose:
        raise CommandError("--verbose would put plain lines between those of --log-json", USAGE)
    wish = _wish(endpoints, filters, keeping)
    file = keeping.output if keeping.resume is None else keeping.resume
    if keeping.simulate:
        _simulate(wish, file)
        return
    if file is None:
        raise CommandError("-o FILE is needed: the file that keeps the crawl", USAGE)
    perform(_crawl(Path(file), wish, running, ask), verbose=running.verbose)


# -- what is wanted ----------------------------------------------------------------------------


def _wish(endpoints: tuple[Endpoint, ...], filters: Filters, keeping: Keeping) -> Wish:
    wish = Wish(
        extend=keeping.extend,
        retry_failed=keeping.retry_failed,
        fresh_within=keeping.fresh_within,
    )
    if keeping.resume is not None:
        said = [*endpoints, *_said(filters), *(["--output"] if keeping.output is not None else [])]
        _leave_out(said, "--resume takes plan and limits from the file")
        return wish
    plan = _plan(endpoints, filters)
    if plan is None:
        problem = "nothing to crawl: name endpoints (hashtags videos music), -i FILE or --resume"
        raise CommandError(problem, USAGE)
    with naming_options(max_items="--max-items"):
        options = Options(
            max_items=filters.max_items,
            max_pages=filters.max_pages,
            with_details=filters.with_details,
        )
        return attrs.evolve(wish, plan=plan, options=options)


def _stands_alone(endpoints: tuple[Endpoint, ...], *given: Any) -> None:
    """Refuse what says nothing to `--status`."""
    harmless = ("--status", "--quiet", "--verbose")
    said = [*endpoints, *(name for name in _said(*given) if name not in harmless)]
    _leave_out(said, "--status only looks at a file")


def _said(*given: Any) -> list[str]:
    """The options that are not as they are by default."""
    return [
        option(field.name)
        for one in given
        for field in attrs.fields(type(one))
        if getattr(one, field.name) != field.default
    ]


def _leave_out(said: list[str], reason: str) -> None:
    if said:
        raise CommandError(f"{reason}: leave out {' '.join(said)}", USAGE)


def _plan(endpoints: tuple[Endpoint, ...], filters: Filters) -> Plan | None:
    """The queries asked for; None if none were."""
    given = {
        field.name: value
        for field in attrs.fields(Filters)
        if field.name in _AXES and (value := getattr(filters, field.name))
    }
    used: set[str] = set()
    plan: Plan = () if filters.input is None else _read(filters.input)
    for endpoint in endpoints:
        known = attrs.fields_dict(ENDPOINTS[endpoint])
        values: dict[str, Any] = {name: value for name, value in given.items() if name in known}
        used |= values.keys()
        if filters.every_region:
            values["region"] = _EVERY_REGION[endpoint]
        with naming_options():
            plan += grid(endpoint, **values)
    for name in given:
        if name not in used:
            what = " or ".join(endpoints) or "what comes from a file"
            raise CommandError(f"{option(name)} says nothing about {what}", USAGE)
    if filters.every_region and (filters.region or not endpoints):
        problem = "--every-region needs an endpoint, and leaves nothing to say to --region"
        raise CommandError(problem, USAGE)
    return tuple(dict.fromkeys(plan)) if endpoints or filters.input is not None else None


_AXES = {name for query in ENDPOINTS.values() for name in attrs.fields_dict(query)}
_EVERY_REGION = {
    "hashtags": tuple(reference.REGIONS),
    "videos": tuple(reference.VIDEO_REGIONS),
    "music": tuple(reference.REGIONS),
}


def _read(name: str) -> Plan:
    said = "standard input" if name == "-" else name
    try:
        with ExitStack() as stack:
            file = sys.stdin.buffer if name == "-" else stack.enter_context(Path(name).open("rb"))
            plan = read_plan(_lines(file, said), said)
    except ValueError as error:
        raise CommandError(str(error), USAGE) from None
    except OSError as error:
        raise CommandError(f"can't read {said}: {error.strerror or error}") from None
    if not plan:
        raise CommandError(f"{said} holds no query", USAGE)
    return plan


def _lines(file: BinaryIO, name: str) -> Iterator[str]:
    for number, line in enumerate(file, 1):
        try:
            yield line.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise ValueError(f"{name}, line {number}: is not UTF-8") from None


# -- looking -----------------------------------------------------------------------------------


def _show_status(path: Path) -> None:
    with opened(path) as store:
        for line in summary_lines(summarize(store), str(path)):
            print(line)  # noqa: T201


def _simulate(wish: Wish, file: str | None) -> None:
    """Say what it would take: nothing is sent, nothing written."""
    with rehearsed(None if file is None else Path(file), wish) as (store, opening):
        jobs = list(store.pending(opening.snapshot))
    if opening.done:
        print(f"{opening.done} queries are done already")  # noqa: T201
    if opening.failed:
        print(f"{opening.failed} queries failed (--retry-failed tries them again)")  # noqa: T201
    for name in ENDPOINTS:
        count = sum(endpoint_of(job.query) == name for job in jobs)
        if count:
            print(f"{name}: {count} queries")  # noqa: T201
    found = expect_jobs(jobs, opening.options)
    more = f" and {found.details} details" if found.details else ""
    print(  # noqa: T201
        f"{found.queries} queries, about {found.pages - found.details} pages{more}, "
        f"{found.credits} credits if lists are as long as usual"
    )


# -- running -----------------------------------------------------------------------------------


async def _crawl(path: Path, wish: Wish, running: Running, ask: Ask) -> None:
    progress = Progress()
    watch = Watch(progress, _form(running), ask.max_credits)
    if ask.sandbox:
        watch.tell("sandbox", "asking a sandbox: the data is made up, no key is used")
    async with connected(ask, watch) as client:
        with opened_for(path, wish) as store:
            opening = open_snapshot(store, wish)
            watch.tell(
                "snapshot", _announcement(path, opening), file=str(path), snapshot=opening.snapshot
            )
            failure = None
            if opening.pending:
                stored = StoredCrawl(
                    client,
                    store,
                    opening,
                    concurrency=running.concurrency,
                    keep_going=running.keep_going,
                    progress=progress,
                )
                failure = await _watched(stored, watch)
            summary = summarize(store)
            if opening.pending:
                watch.tell_summary(summary, str(path))
            _conclude(failure, summary, watch, path)


async def _watched(stored: StoredCrawl, watch: Watch) -> KeyAPIError | KeyboardInterrupt | None:
    """Run it, and tell how it gets on; returns what ended it early, if something did."""
    async with _signals(stored.engine) as interrupted, watch.running():
        try:
            await stored.run()
        except StoreError as error:
            return error
        except KeyAPIError as error:
            # A request that was under way when the signal came may fail: the signal came first.
            return KeyboardInterrupt() if interrupted.is_set() else error
    return None


def _conclude(
    failure: KeyAPIError | KeyboardInterrupt | None, summary: Summary, watch: Watch, path: Path
) -> None:
    """Let what ended the crawl early end the command, too; say how to go on where one can."""
    again = f"keyapi crawl --resume {quote(str(path))}" + " --retry-failed" * bool(summary.failed)
    if isinstance(failure, KeyAPIError):
        if not isinstance(failure, StoreError):
            watch.tell("resume", f"go on with: {again}")
        raise failure
    if summary.pending or failure is not None:
        raise CommandError(f"interrupted; go on with: {again}", INTERRUPTED)
    if summary.failed:
        told = f"{summary.failed} of {summary.queries} lists failed; try them again with: {again}"
        raise CommandError(told, PARTIAL)


def _announcement(path: Path, opening: Opening) -> str:
    name = f"{path}: snapshot {opening.snapshot}"
    skipped = f"{opening.done} of {opening.queries} lists are done"
    if opening.failed:
        skipped += f" and {opening.failed} failed (--retry-failed tries them again)"
    if not opening.pending:
        return f"{name} is finished: {skipped}; nothing to do (--fresh-within fetches anew)"
    if opening.is_new:
        return f"{name}: {opening.queries} lists"
    paid = f"{opening.pages} pages ({opening.pages * CREDITS_PER_REQUEST} credits)"
    return f"going on with {name}: {skipped}, {paid} are not paid again"


def _form(running: Running) -> Form:
    if running.log_json:
        return "json"
    if running.quiet:
        return "quiet"
    console = Console(stderr=True)
    on_terminal = sys.stderr.isatty() and not console.is_dumb_terminal and not running.verbose
    return "live" if on_terminal else "plain"


@asynccontextmanager
async def _signals(engine: Engine) -> AsyncIterator[asyncio.Event]:
    """Let the first Ctrl-C or SIGTERM end the crawl in good order, a second one at once."""
    loop = asyncio.get_running_loop()
    came = asyncio.Event()

    def stop() -> None:
        if engine.stopping:
            engine.cancel()
        else:
            came.set()
            engine.stop()
            loop.call_later(GRACE, engine.cancel)

    handled = []
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stop)
            handled.append(number)
        except NotImplementedError:  # pragma: no cover - Windows, where Ctrl-C cancels
            break
    try:
        yield came
    finally:
        for number in handled:
            loop.remove_signal_handler(number)
