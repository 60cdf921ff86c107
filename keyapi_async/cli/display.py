"""What a command writes to stderr while it runs: a bar, plain lines, JSON lines or nothing."""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Literal, TypeAlias

import attrs
from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as RichProgress
from rich.table import Column

from keyapi_async import RequestEvent, Usage
from keyapi_async.cli.messages import count, duration, log, printable, say
from keyapi_async.crawl import Progress

EVERY = {"live": 0.1, "plain": 5.0, "json": 5.0}
"""Seconds between two updates."""
WINDOW = 10.0
"""Seconds over which the rate is measured."""
BAR = 8
"""Columns of the bar."""

Form: TypeAlias = Literal["live", "plain", "json", "quiet"]

_REASONS = {
    "RateLimitError": "rate limit",
    "RequestTimeoutError": "no answer",
    "ServerError": "server error",
    "TransportError": "no connection",
}


def choose_form(*, quiet: bool, verbose: bool, log_json: bool = False) -> Form:
    """Choose the form; with `verbose` there is no bar, as log lines would break it."""
    if log_json:
        return "json"
    if quiet:
        return "quiet"
    is_terminal = sys.stderr.isatty() and Console(stderr=True).is_interactive
    return "live" if is_terminal and not verbose else "plain"


class Display:
    """Reports the progress of a command.

    Args:
        form: In which form.
        noun: What an item is called.
        max_credits: The budget.

    Attributes:
        usage: The client's counts; set it once there is a client.
        look: Returns the progress at the moment; set it once there is any.
    """

    def __init__(self, form: Form, *, noun: str = "item", max_credits: int | None = None) -> None:
        self.usage = Usage()
        self.look: Callable[[], Progress] = Progress
        self.form = form
        self._noun = noun
        self._max_credits = max_credits
        self._because = ""
        self._until = 0.0
        self._marks: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])
        text = Column(no_wrap=True, overflow="ellipsis")
        self._bar = RichProgress(
            BarColumn(BAR),
            TextColumn("{task.description}", markup=False, table_column=text),
            console=Console(stderr=True),
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._bar.add_task("", total=None)

    def on_event(self, event: RequestEvent) -> None:
        """Note what the client waits for."""
        if event.kind in ("pause", "retry") and event.wait:
            reason = _REASONS.get(event.error or "", event.error or "")
            reason += f" ({event.status})" if event.status else ""
            self._because = reason if event.kind == "pause" else f"retry after {reason}"
            self._until = time.monotonic() + event.wait

    def tell(self, event: str, message: str, **fields: object) -> None:
        """Report an event other than progress.

        Args:
            event: Its name, for programs.
            message: What happened, for people.
            fields: More details, for programs.
        """
        if self.form == "json":
            log(event, message=message, **fields)
        elif self.form != "quiet":
            with self.aside():
                say(message)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Remove the bar while something else is written to the terminal."""
        is_started = self._bar.live.is_started
        if is_started:
            self._bar.stop()
        yield
        if is_started:
            self._bar.start()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Report progress within this context."""
        if self.form == "quiet":
            yield
            return
        telling = asyncio.create_task(self._tell())
        try:
            if self.form == "live":
                self._bar.start()
            yield
        finally:
            telling.cancel()
            if self.form == "live":
                with suppress(OSError):  # the terminal may be gone
                    self._bar.stop()
            with suppress(asyncio.CancelledError):
                await telling

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(EVERY[self.form])
            if self.form == "json":
                log("progress", **self.state())
            elif self.form == "plain":
                say(self.line())
            else:
                progress = self.look()
                self._bar.update(
                    self._bar.task_ids[0],
                    total=max(progress.pages, progress.pages_expected) or None,
                    completed=progress.pages,
                    description=self.line(self._bar.console.width - BAR - 2),
                    refresh=True,
                )

    def state(self) -> dict[str, Any]:
        """Everything there is to report on progress."""
        progress, pace, now = self.look(), self.usage.pace, time.monotonic()
        rate = self._rate(now)
        because = self._because
        left = max((progress.next_probe if progress.outage else self._until) - now, 0.0)
        if progress.outage:
            because = f"the server is down, {progress.outage}"
        missing = max(progress.pages_expected - progress.pages, 0)
        return {
            **attrs.asdict(progress),
            **attrs.asdict(self.usage),
            "pace": None if pace is None or math.isinf(pace) else pace,
            "max_credits": self._max_credits,
            "requests_per_second": round(rate, 2),
            "waiting_seconds": round(left, 1),
            "waiting_because": because if left or progress.outage else "",
            "eta_seconds": round(missing / rate, 1) if rate and progress.pages_expected else None,
        }

    def line(self, width: int | None = None) -> str:
        """The same as a line: all of it, or as much as fits."""
        parts = self._parts(**self.state())
        while True:
            line = printable(" · ".join(text for _, text in parts))
            if width is None or len(parts) == 1 or len(line) <= width:
                return line
            parts.remove(max(parts))

    def _parts(self, **now: Any) -> list[tuple[int, str]]:
        """The parts of a line, each with its rank: the highest is dropped first."""
        pages = f"{now['pages']}/{max(now['pages'], now['pages_expected'])} pages"
        pace = "" if now["pace"] is None else f"/{now['pace']:.3g}"
        budget = "" if self._max_credits is None else f"/{self._max_credits}"
        parts: list[tuple[int, str, object]] = [
            (1, pages, now["pages_expected"]),
            (3, f"{now['done']}/{now['queries']} lists", now["queries"]),
            (5, f"{now['failed']} failed", now["failed"]),
            (6, count(now["items"], self._noun), True),
            (8, count(now["duplicates"], "duplicate"), now["duplicates"]),
            (4, f"{now['requests_per_second']:.1f}{pace} req/s", True),
            (3, f"{now['credits_spent']}{budget} credits", True),
            (7, count(now["retries"], "retry"), now["retries"]),
            (2, f"{duration(now['eta_seconds'] or 0)} left", now["eta_seconds"]),
            (
                0,
                f"waiting {now['waiting_seconds']:.1f} s: {now['waiting_because']}",
                now["waiting_because"],
            ),
        ]
        return [(rank, text) for rank, text, is_there in parts if is_there]

    def _rate(self, now: float) -> float:
        """Requests per second over the last seconds."""
        marks = self._marks
        if now - marks[-1][0] >= 0.5:
            marks.append((now, self.usage.requests))
        while len(marks) > 2 and now - marks[0][0] > WINDOW:
            marks.popleft()
        since, before = marks[0]
        return (self.usage.requests - before) / max(now - since, 0.001)
