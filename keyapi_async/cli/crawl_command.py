"""`keyapi crawl`: every list of a grid into one file, exactly once."""

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import attrs

import keyapi_async.crawl as crawls
from keyapi_async import KeyAPIError
from keyapi_async.cli import crawl_options
from keyapi_async.cli.display import Display, choose_form
from keyapi_async.cli.failures import INCOMPLETE, INTERRUPTED, USAGE, CommandError, option
from keyapi_async.cli.known_values import LISTS
from keyapi_async.cli.messages import count, show
from keyapi_async.cli.options import AllowUnknown, Requests
from keyapi_async.cli.query_options import (
    check_known,
    query_options,
    with_options,
)
from keyapi_async.cli.runner import open_client, perform
from keyapi_async.cli.signals import on_signal
from keyapi_async.cli.status_command import summary_lines
from keyapi_async.crawl import Crawl, CrawlFile, CrawlOptions, Plan, Progress

if TYPE_CHECKING:
    Endpoint: TypeAlias = str
else:
    Endpoint = Literal[tuple(LISTS)]


@with_options(query_options(*LISTS.values(), several=True))
def crawl(  # noqa: D417 - the options say what they are
    *endpoints: Endpoint,
    allow_unknown: AllowUnknown = False,
    choice: crawl_options.Choice = crawl_options.Choice(),  # noqa: B008 - frozen
    limits: crawl_options.Limits = crawl_options.Limits(),  # noqa: B008
    target: crawl_options.Target = crawl_options.Target(),  # noqa: B008
    continuation: crawl_options.Continuation = crawl_options.Continuation(),  # noqa: B008
    run: crawl_options.Run = crawl_options.Run(),  # noqa: B008
    requests: Requests = Requests(),  # noqa: B008
    **filters: Any,
) -> None:
    """Run `keyapi crawl`.

    Args:
        endpoints: What to crawl.
    """
    if run.log_json and run.verbose:
        raise CommandError("--verbose would put plain lines between those of --log-json", USAGE)
    plan = None
    if target.resume is None:
        plan = crawl_options.make_plan(endpoints, choice, filters)
        if not allow_unknown:
            check_known(plan)
    else:
        typed = [*endpoints, *(option(name) for name, value in filters.items() if value)]
        typed += crawl_options.changed_options(choice, limits)
        typed += ["--output"] * (target.output is not None)
        if typed:
            reason = "--resume takes plan and limits from the file"
            raise CommandError(f"{reason}: leave out {' '.join(typed)}", USAGE)
    asked: Any = attrs.asdict(limits) | attrs.asdict(continuation) | {"shard": choice.shard}
    file = target.output if target.resume is None else target.resume
    if choice.print_plan:
        for query in crawls.take_shard(plan or (), choice.shard, details=limits.details):
            show(crawls.query_json(query))
    elif target.simulate:
        _simulate(plan, file, asked)
    elif file is None:
        raise CommandError("-o FILE is needed: the file that keeps the crawl", USAGE)
    else:
        perform(_crawl(Path(file), plan, asked, run, requests), verbose=run.verbose)


def _simulate(plan: Plan | None, file: str | None, asked: CrawlOptions) -> None:
    """Print what the crawl should cost: nothing is sent or written."""
    found = crawls.expect(plan, file, **asked)
    if found.done:
        show(f"{count(found.done, 'query')} done already")
    if found.failed:
        show(f"{count(found.failed, 'query')} failed (--retry-failed tries again)")
    for name, number in found.queries.items():
        show(f"{name}: {count(number, 'query')}")
    more = f" and {count(found.details, 'detail')}" if found.details else ""
    show(
        f"{count(sum(found.queries.values()), 'query')}, about {count(found.pages, 'page')}{more}, "
        f"{count(found.credits, 'credit')} if lists are as long as usual"
    )


# -- running -----------------------------------------------------------------------------------


async def _crawl(
    path: Path, plan: Plan | None, asked: CrawlOptions, run: crawl_options.Run, requests: Requests
) -> None:
    form = choose_form(quiet=run.quiet, verbose=run.verbose, log_json=run.log_json)
    display = Display(form, max_credits=requests.credits)
    signals: list[int] = []
    failure = start = None

    def announce(progress: Progress) -> None:
        nonlocal start
        start = progress
        for line in _announce(path, progress):
            display.tell("snapshot", line, file=str(path), snapshot=progress.snapshot)

    def stop(number: int) -> None:
        signals.append(number)
        running.stop()
        cost = count(display.usage.credits_at_risk, "credit")
        message = f"what is under way is given up; it may have cost up to {cost}"
        if len(signals) == 1:
            message = f"stopping: 5 s for what is under way, which may cost up to {cost}; "
            message += "a second signal gives it up at once"
        display.tell("signal", message, credits_at_risk=display.usage.credits_at_risk)

    async with open_client(requests, display) as client:
        running = Crawl(
            client,
            plan,
            path,
            concurrency=run.concurrency,
            keep_going=run.keep_going,
            wait_outage=run.wait_outage,
            on_start=announce,
            **asked,
        )
        display.look = running.status
        with on_signal(stop, times=2):
            async with display.running():
                try:
                    await running.run()
                except KeyAPIError as error:
                    failure = error
    if failure is not None and (isinstance(failure, crawls.StoreError) or start is None):
        raise failure
    _conclude(failure, CrawlFile(path), start, display, is_interrupted=bool(signals))


def _conclude(
    failure: KeyAPIError | None,
    file: CrawlFile,
    start: Progress | None,
    display: Display,
    *,
    is_interrupted: bool,
) -> None:
    """Report what the file holds, what ended the crawl early, and how to go on."""
    summary = file.status(start.snapshot if start else None)
    if start and start.pending:
        failures = [
            {"query": crawls.query_text(one.query), "error": one.error} for one in summary.failures
        ]
        fields = {**attrs.asdict(summary, recurse=False), "failures": failures}
        # Of an interrupted crawl, the many lists that are still pending aren't named.
        names_pending = isinstance(failure, crawls.CrawlError) or not summary.pending
        lines = summary_lines(file, summary, names_pending=names_pending)
        for line in lines[:1] if display.form == "json" else lines:
            display.tell("summary", line, file=str(file.path), **fields)
    again = f"go on with: keyapi crawl --resume {quote(str(file.path))}"
    again += " --retry-failed" * bool(summary.failed)
    # After a signal, a request under way may fail: the signal is the cause.
    if is_interrupted and (summary.pending or failure is not None):
        raise CommandError(f"interrupted; {again}", INTERRUPTED)
    if isinstance(failure, crawls.CrawlError):
        raise CommandError(f"{failure}; {again}", INCOMPLETE)
    if failure is not None:
        display.tell("resume", again)
        raise failure
    if summary.failed:
        lists = count(summary.queries, "list")
        raise CommandError(f"{summary.failed} of {lists} failed; {again}", INCOMPLETE)
    if not summary.complete:
        lacking = file.incomplete(summary.snapshot)
        reasons = "; ".join(f"{crawls.query_text(one.query)}: {one.error}" for one in lacking[:3])
        raise CommandError(f"{count(len(lacking), 'list')} incomplete: {reasons}", INCOMPLETE)


def _announce(path: Path, progress: Progress) -> list[str]:
    name = f"{path}: snapshot {progress.snapshot}"
    lists = count(progress.queries, "list")
    done = f"{progress.done} of {lists} done"
    if progress.failed:
        done += f" and {progress.failed} failed (--retry-failed tries them again)"
    message = f"{name}: {lists}"
    if not progress.queries:
        message = f"{name}: this shard has no list of the plan; nothing to do"
    elif not progress.pending:
        message = f"{name} is finished: {done}; nothing to do (--fresh-within fetches anew)"
    elif not progress.is_new:
        paid = f"{count(progress.pages_before, 'page')} ({progress.pages_before * 2} credits)"
        message = f"going on with {name}: {done}, {paid} not paid again"
    wrong = "was begun in the future, by a clock that was wrong; it is left alone"
    return [*(f"{path}: snapshot {number} {wrong}" for number in progress.ignored), message]
