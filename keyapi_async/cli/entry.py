"""Where a command line becomes an exit code. Importing the commands' modules adds them."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from . import crawl, export, serve, trending
from .app import app
from .errors import BROKEN_PIPE, conclude

COMMANDS = (trending, crawl, export, serve)


def run(args: Sequence[str]) -> int:
    """Run a command line; tell its exit code."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by `>&-`: nobody wants it
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
    try:
        app(list(args))
        sys.stdout.flush()  # a broken pipe must show here, not when the interpreter exits
    except BrokenPipeError:
        # Whoever read has left. What is buffered must go nowhere, without complaint.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - all end in one line and a code
        return conclude(error, args)
    return 0
