"""Where a command line becomes an exit code."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from keyapi_async.cli.app import app
from keyapi_async.cli.commands import add_commands
from keyapi_async.cli.failures import BROKEN_PIPE, conclude
from keyapi_async.cli.signals import handling_signals, interrupt

add_commands()


def run(args: Sequence[str]) -> int:
    """Run a command line; returns its exit code."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by `>&-`
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # rather a `?` than no table
    args = _fill_in(args)
    try:
        with handling_signals(interrupt):
            app(list(args))
            sys.stdout.flush()  # a broken pipe must show here, not when the interpreter exits
    except BrokenPipeError:
        _drop(sys.stdout)
        return BROKEN_PIPE
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - all end in one line and a code
        return conclude(error, args)
    finally:
        try:
            sys.stderr.flush()
        # Python 3.12 and later would end with 120, whatever our code is; 3.11 forgets the failure.
        except OSError:  # pragma: no cover
            _drop(sys.stderr)
    return 0


def _fill_in(args: Sequence[str]) -> list[str]:
    """Options whose value was left out, with one: cyclopts knows no such options."""
    filled = ["--daily=local" if arg == "--daily" else arg for arg in args]
    for place, following in enumerate([*args[1:], "-"][: len(args)]):
        if args[place] == "--post" and following.startswith("-"):
            filled[place] = "--post="
    return filled


def _drop(stream: TextIO) -> None:
    """Send what is buffered to the null device."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
