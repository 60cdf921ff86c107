"""Signals that ask a program to end, made an interruption or a call."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]
"""Windows has no SIGHUP."""


@contextmanager
def handling_signals(handler: Callable[[int, Any], object]) -> Iterator[None]:
    """Have a handler called for every signal that asks a program to end."""
    # What `nohup` or a shell's `&` has ignored stays so.
    before = {number: signal.getsignal(number) for number in SIGNALS}
    before = {number: old for number, old in before.items() if old != signal.SIG_IGN}
    try:
        for number in before:
            signal.signal(number, handler)
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def interrupt(*_: object) -> NoReturn:
    """Handle every signal as Ctrl-C, so that the command cleans up after itself."""
    for number in SIGNALS[1:]:  # a terminal that is closed may send SIGHUP twice
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


@contextmanager
def on_signal(act: Callable[[int], object], *, times: int = 1) -> Iterator[None]:
    """Have a signal call something in the running event loop.

    Args:
        act: Called with the signal's number.
        times: How many signals call it; the next one raises KeyboardInterrupt wherever the
            program is.
    """
    loop = asyncio.get_running_loop()
    came: list[int] = []

    def handle(number: int, _: object) -> None:
        came.append(number)
        if len(came) > times:
            raise KeyboardInterrupt
        loop.call_soon_threadsafe(act, number)  # add_signal_handler would do, but for Windows

    with handling_signals(handle):
        yield
