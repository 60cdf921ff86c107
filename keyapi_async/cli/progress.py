"""What the command says on stderr while it runs: how far it is, when it waits and why."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner

from keyapi_async.usage import RequestEvent, Usage

from .errors import say

WORTH_A_LINE = 1.0
"""Seconds; where there is no live line, only longer waits are told."""

_REASONS = {
    "RateLimitError": "rate limit",
    "RequestTimeoutError": "no answer",
    "ServerError": "server error",
    "TransportError": "no connection",
}


def reason(event: RequestEvent) -> str:
    """Why the client waits, for people."""
    status = f" ({event.status})" if event.status else ""
    return _REASONS.get(event.error or "", event.error or "") + status


class Progress:
    """A live line on a terminal; elsewhere a line for each long wait.

    Args:
        noun: What is fetched, such as `hashtags`.
        quiet: Say nothing.
        verbose: No live line: the log tells it all.
        made_up: Say first that the data comes from a sandbox.

    Attributes:
        usage: Of the client; set it when there is one.
    """

    def __init__(self, noun: str, *, quiet: bool, verbose: bool, made_up: bool) -> None:
        self._noun = noun
        self._items = self._pages = 0
        self._total: int | None = None
        self.usage = Usage()
        self._reason = ""
        self._until = 0.0
        self._spinner = Spinner("dots")
        console = Console(stderr=True)
        self._notice = made_up and not quiet
        talks = not quiet and not verbose
        self._on_terminal = talks and sys.stderr.isatty() and not console.is_dumb_terminal
        self._tells_waits = talks and not self._on_terminal
        self._live = Live(
            console=console,
            get_renderable=self._line,
            transient=True,
            refresh_per_second=10,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        if self._notice:
            say("asking a sandbox: the data is made up, no key is used")
        if self._on_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._live.stop()
        if self._on_terminal and exc_type is None and self._pages:
            say(self._state())

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Take the live line away while something else is written to the terminal."""
        self._live.stop()
        yield
        if self._on_terminal:
            self._live.start()

    def arrived(self, items: int, total: int | None) -> None:
        """Note one page."""
        self._items += items
        self._pages += 1
        self._total = total

    def on_event(self, event: RequestEvent) -> None:
        """Note what the client waits for."""
        if event.kind not in ("pause", "retry") or not event.wait:
            return
        self._reason = reason(event)
        self._until = time.monotonic() + event.wait
        if self._tells_waits and event.wait >= WORTH_A_LINE:
            say(f"waiting {event.wait:.1f} s: {self._reason}")

    def _line(self) -> Spinner:
        left = self._until - time.monotonic()
        if left > 0:
            now = f" · waiting {left:.1f} s: {self._reason}"
        else:
            now = f" · at most {self.usage.pace:.3g}/s"
        self._spinner.update(text=self._state() + now)
        return self._spinner

    def _state(self) -> str:
        if not self._pages:
            return self._noun
        of = "" if self._total is None else f" of {self._total}"
        pages = "1 page" if self._pages == 1 else f"{self._pages} pages"
        return f"{self._items}{of} {self._noun} · {pages} · {self.usage.credits_spent} credits"
