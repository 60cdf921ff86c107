"""Tests run on real sockets with a driven clock: when nothing happens, time jumps."""

from __future__ import annotations

import asyncio
import os
import selectors
import signal
from typing import Any

import pytest

from keyapi_async.cli.signals import SIGNALS

for name in [name for name in os.environ if name.startswith("KEYAPI_")]:
    del os.environ[name]

# Under `nohup`, or behind a script's `&`, signals are ignored, here and in what tests start.
for number in SIGNALS:
    if signal.getsignal(number) == signal.SIG_IGN:
        ours = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        signal.signal(number, ours)

GRACE = 0.0005
"""Real seconds to wait for the kernel to bring what is under way on the loopback interface."""

TICK = 1e-6
"""Virtual seconds that one turn of the loop takes."""


def pytest_xdist_auto_num_workers() -> int:
    """Two more than there are cores: the driven clock waits for sockets."""
    return (os.cpu_count() or 1) + 2


class DrivenClockLoop(asyncio.SelectorEventLoop):
    """An event loop with a clock of its own, which real time doesn't move.

    A turn of the loop takes a microsecond. Only when no socket has had anything for `GRACE` real
    seconds does the clock jump to the next timer. Threads are waited for in real time (`held`
    counts them).
    """

    def __init__(self) -> None:
        super().__init__(_JumpingSelector(self))
        self.now = 1000.0
        self.held = 0

    def time(self) -> float:
        return self.now

    def run_in_executor(self, *args: Any) -> Any:
        self.held += 1
        future = super().run_in_executor(*args)
        future.add_done_callback(self._let_go)
        return future

    async def shutdown_default_executor(self, *args: Any) -> None:
        self.held += 1  # it waits for threads, with a time-out of its own
        try:
            await super().shutdown_default_executor(*args)
        finally:
            self.held -= 1

    def _let_go(self, _: object) -> None:
        self.held -= 1


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self, loop: DrivenClockLoop) -> None:
        super().__init__()
        self.loop = loop

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None or timeout <= 0:
            self.loop.now += TICK
            return super().select(timeout)
        wait = timeout if self.loop.held else GRACE
        events = super().select(wait)
        if not events:
            self.loop.now += timeout
        return events


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> dict[str, Any]:
    """`@pytest.mark.real_time` takes the plain loop."""
    if item.get_closest_marker("real_time"):
        return {"real": asyncio.new_event_loop}
    return {"driven": DrivenClockLoop}
