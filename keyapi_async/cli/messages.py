"""Lines of text for people and programs, safe to print whatever is in them."""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import suppress

_SECRET_LENGTH = 8
"""Anything shorter is no key, and would be cut out of ordinary words."""


def say(message: str) -> None:
    """Print one line on stderr, if that can be written to."""
    _print(f"keyapi: {printable(' '.join(message.split()))}")


def log(event: str, **fields: object) -> None:
    """Print what happened as a JSON line on stderr, if that can be written to."""
    _print(json.dumps({"time": round(time.time(), 3), "event": event, **fields}, default=str))


def show(line: str) -> None:
    """Print one line on stdout."""
    print(printable(line))  # noqa: T201


def printable(text: str) -> str:
    """Replace control characters and line breaks, and strike out secrets."""
    for name in ("KEYAPI_TOKEN", "KEYAPI_WEBHOOK"):
        secret = os.environ.get(name, "").strip()
        if len(secret) >= _SECRET_LENGTH:
            text = text.replace(secret, "***")
    return "".join(char if char.isprintable() or char == "\u200d" else "\ufffd" for char in text)


def count(number: int, noun: str) -> str:
    """A number and its noun: `1 query`, `2 queries`."""
    return f"{number} {noun if number == 1 else plural(noun)}"


def plural(noun: str) -> str:
    """A noun in the plural."""
    return f"{noun[:-1]}ies" if noun.endswith("ry") else f"{noun}s"


def duration(seconds: float) -> str:
    """A length of time, for people."""
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    minutes = whole // 60
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def _print(line: str) -> None:
    # A message that can't be written (a full disk, a closed pipe) must not end the work.
    with suppress(OSError):
        print(line, file=sys.stderr, flush=True)  # noqa: T201
