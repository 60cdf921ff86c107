"""Tests run on real sockets with a driven clock: when nothing happens, time jumps."""

from __future__ import annotations

import asyncio
import os
import selectors
from typing import Any

import pytest

for name in [name for name in os.environ if name.startswith("KEYAPI_")]:
    del os.environ[name]

GRACE = 0.002
"""Real seconds to wait for the kernel to bring what is under way on the loopback interface."""


class DrivenClockLoop(asyncio.SelectorEventLoop):
    """An event loop that skips idle time: an hour of waiting takes no time at all.

    Real I/O comes first; only when no socket has anything for `GRACE` seconds does the clock
    jump to the next timer. Threads are waited for in real time (`hold` is their count).
    """

    def __init__(self) -> None:
        super().__init__(_SkippingSelector(self))
        self.skipped = 0.0
        self.hold = 0

    def time(self) -> float:
        return super().time() + self.skipped

    def run_in_executor(self, *args: Any) -> Any:
        self.hold += 1
        future = super().run_in_executor(*args)
        future.add_done_callback(self._let_go)
        return future

    def _let_go(self, _: object) -> None:
        self.hold -= 1


class _SkippingSelector(selectors.DefaultSelector):
    def __init__(self, loop: DrivenClockLoop) -> None:
        super().__init__()
        self.loop = loop

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None or timeout <= 0 or self.loop.hold:
            return super().select(timeout)
        events = super().select(min(timeout, GRACE))
        if not events:
            self.loop.skipped += max(timeout - GRACE, 0.0)
        return events


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> dict[str, Any]:
    """`@pytest.mark.real_time` takes the plain loop."""
    if item.get_closest_marker("real_time"):
        return {"real": asyncio.new_event_loop}
    return {"driven": DrivenClockLoop}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "real_time: needs the real clock")
