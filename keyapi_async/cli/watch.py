"""What a crawl says on stderr while it runs: a live line, plain lines, or JSON lines."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Literal

import attrs
from attrs import frozen
from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner

from keyapi_async.crawl import Progress, Summary
from keyapi_async.crawl.plan import query_text
from keyapi_async.usage import RequestEvent, Usage

from .errors import log, printable, say
from .progress import reason

EVERY = 5.0
"""Seconds between two plain lines."""
WINDOW = 10.0
"""Seconds over which the rate is measured."""

Form = Literal["live", "plain", "json", "quiet"]


@frozen(kw_only=True)
class State:
    """One look at a running crawl; all that is ever said about it."""

    queries: int
    done: int
    failed: int
    items: int
    duplicates: int
    requests_per_second: float
    pace: float | None
    credits_spent: int
    credits_at_risk: int
    max_credits: int | None
    retries: int
    waiting_seconds: float
    waiting_because: str
    eta_seconds: float | None

    def text(self) -> str:
        """The same as one line."""
        pace = "" if self.pace is None else f" of {self.pace:.3g}"
        budget = "" if self.max_credits is None else f" of {self.max_credits}"
        parts = [
            f"{self.done} of {self.queries} lists",
            f"{self.failed} failed" if self.failed else "",
            f"{self.items} items",
            f"{self.duplicates} duplicates" if self.duplicates else "",
            f"{self.requests_per_second:.1f}{pace} requests/s",
            f"{self.credits_spent}{budget} credits",
            f"{self.retries} retries" if self.retries else "",
            f"waiting {self.waiting_seconds:.0f} s: {self.waiting_because}"
            if self.waiting_because
            else "",
            "" if self.eta_seconds is None else f"{span(self.eta_seconds)} left",
        ]
        return " · ".join(part for part in parts if part)


class Watch:
    """Tells how a crawl is getting on.

    Args:
        progress: Its counts.
        form: How to tell.
        max_credits: Its budget.

    Attributes:
        usage: Of the client; set it when there is one.
    """

    def __init__(self, progress: Progress, form: Form, max_credits: int | None) -> None:
        self.usage = Usage()
        self._progress = progress
        self._form = form
        self._max_credits = max_credits
        self._because = ""
        self._until = 0.0
        self._marks: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])
        self._spinner = Spinner("dots")

    def on_event(self, event: RequestEvent) -> None:
        """Note why everything waits."""
        if event.kind == "pause" and event.wait:
            self._because = reason(event)
            self._until = time.monotonic() + event.wait

    def tell(self, event: str, message: str, **fields: object) -> None:
        """Say something that is no news of progress.

        Args:
            event: Its short name, which programs go by.
            message: The same for people.
            fields: More for programs.
        """
        if self._form == "json":
            log(event, message=message, **fields)
        elif self._form != "quiet":
            say(message)

    def tell_summary(self, summary: Summary, file: str) -> None:
        """Say what the file of the crawl holds now."""
        if self._form == "json":
            fields = attrs.asdict(summary, recurse=False)
            fields["failures"] = [
                {"query": query_text(one.query), "error": one.error} for one in summary.failures
            ]
            log("summary", file=file, **fields)
            return
        for line in summary_lines(summary, file):
            self.tell("summary", line)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Tell how it gets on while this is open."""
        if self._form == "quiet":
            yield
            return
        if self._form == "live":
            console = Console(stderr=True)
            with Live(console=console, get_renderable=self._line, transient=True):
                yield
            return
        teller = asyncio.create_task(self._tell())
        try:
            yield
        finally:
            teller.cancel()
            with suppress(asyncio.CancelledError):
                await teller

    def state(self) -> State:
        """How it is getting on at this moment."""
        progress, usage = self._progress, self.usage
        now = time.monotonic()
        rate = self._rate(now)
        left = max(self._until - now, 0.0)
        missing = max(progress.pages_expected - progress.pages, 0)
        return State(
            queries=progress.queries,
            done=progress.done,
            failed=progress.failed,
            items=progress.items,
            duplicates=progress.duplicates,
            requests_per_second=round(rate, 2),
            pace=None if math.isinf(usage.pace) else usage.pace,
            credits_spent=usage.credits_spent,
            credits_at_risk=usage.credits_at_risk,
            max_credits=self._max_credits,
            retries=usage.retries,
            waiting_seconds=round(left, 1),
            waiting_because=self._because if left else "",
            eta_seconds=round(missing / rate, 1) if rate else None,
        )

    def _rate(self, now: float) -> float:
        """Requests per second of late."""
        marks = self._marks
        if now - marks[-1][0] >= 0.5:
            marks.append((now, self.usage.requests))
        while len(marks) > 2 and now - marks[0][0] > WINDOW:
            marks.popleft()
        since, before = marks[0]
        return (self.usage.requests - before) / max(now - since, 0.001)

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(EVERY)
            state = self.state()
            if self._form == "json":
                log("progress", **attrs.asdict(state))
            else:
                say(state.text())

    def _line(self) -> Spinner:
        self._spinner.update(text=self.state().text())
        return self._spinner


def summary_lines(summary: Summary, file: str) -> list[str]:
    """What the file of a crawl holds, for people."""
    if summary.pending:
        state = f"{summary.pending} to do"
    else:
        state = "finished" if not summary.failed else "finished, but for what failed"
    times = "once" if summary.runs == 1 else f"{summary.runs} times"
    head = f"{file}: snapshot {summary.snapshot} of {_date(summary.started_at)}: {state}"
    lists = (
        f"{summary.done} of {summary.queries} lists done, {summary.failed} failed; "
        f"{summary.items} items on {summary.pages} pages, {summary.duplicates} duplicates dropped"
    )
    cost = (
        f"{summary.requests} requests, {summary.retries} retries, {summary.rate_limited} refused "
        f"(429); {summary.credits_spent} credits, {summary.credits_at_risk} more at risk; "
        f"started {times}, ran {span(summary.seconds)}"
    )
    failed = [
        f"failed: {query_text(one.query)}: {printable(one.error)}" for one in summary.failures
    ]
    more = summary.failed - len(summary.failures)
    return [head, lists, cost, *failed, *([f"and {more} more that failed"] if more else [])]


def span(seconds: float) -> str:
    """A length of time, for people."""
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    minutes = whole // 60
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def _date(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
