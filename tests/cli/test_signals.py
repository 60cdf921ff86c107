"""Signals become interruptions and calls, and are as they were afterwards."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from keyapi_async.cli.runner import perform
from keyapi_async.cli.signals import SIGNALS, handling_signals, interrupt, on_signal


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_an_interruption(number: int) -> None:
    cleaned = []
    with handling_signals(interrupt):
        try:
            os.kill(os.getpid(), number)
            signal.pause()
        except KeyboardInterrupt:
            for again in SIGNALS[1:]:  # a terminal that is closed sends it twice
                os.kill(os.getpid(), again)
            cleaned.append(True)
    assert cleaned == [True]


def test_what_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with handling_signals(interrupt):
            os.kill(os.getpid(), signal.SIGHUP)  # as under nohup
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_one_signal_too_many_ends_it_wherever_it_is() -> None:
    came: list[int] = []

    async def work() -> None:
        with on_signal(came.append, times=2):
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGTERM)
                await asyncio.sleep(0)
            os.kill(os.getpid(), signal.SIGTERM)
            raise AssertionError

    with pytest.raises(KeyboardInterrupt):
        perform(work(), verbose=False)
    assert came == [signal.SIGTERM] * 2
