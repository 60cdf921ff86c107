"""What ends a command early: one line on stderr and an exit code."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from cyclopts import CycloptsError

from keyapi_async.errors import (
    AuthenticationError,
    CreditBudgetError,
    InsufficientCreditsError,
    KeyAPIError,
    RateLimitError,
)

FAILURE = 1
USAGE = 2
PARTIAL = 3
"""Of a crawl: it went on, but lists failed."""
AUTHENTICATION = 4
BUDGET = 5
RATE_LIMIT = 6
INTERRUPTED = 130
BROKEN_PIPE = 141
"""As a shell reports a program that SIGPIPE ended."""

KEY_OPTIONS = ("--api-key", "--apikey", "--key", "--token", "--keyapi-token")

_TYPED = {
    "max_items": "--limit",
    "hashtag_name": "NAME",
    "clip_id": "CLIP_ID",
}


class CommandError(Exception):
    """Ends the command.

    Attributes:
        code: The exit code.
    """

    def __init__(self, message: str, code: int = FAILURE) -> None:
        super().__init__(message)
        self.code = code


def say(message: str) -> None:
    """Print one line on stderr, if that can be written to."""
    _print(f"keyapi: {printable(' '.join(message.split()))}")


def log(event: str, **fields: object) -> None:
    """Print what happened as a JSON line on stderr, if that can be written to."""
    _print(json.dumps({"time": round(time.time(), 3), "event": event, **fields}))


def _print(line: str) -> None:
    # On a full disk, or to a reader that left, what there is to say must not end the work.
    with suppress(OSError):
        print(line, file=sys.stderr, flush=True)  # noqa: T201


def printable(text: str) -> str:
    """Text of others without what would move the cursor or end the line."""
    return "".join(char if char.isprintable() or char == "\u200d" else "\ufffd" for char in text)


@contextmanager
def naming_options(**typed: str) -> Iterator[None]:
    """Make a usage error of the library's ValueErrors: about options, not parameters.

    Args:
        typed: How the command line calls a parameter, where that isn't the same word.

    Raises:
        CommandError: There was one.
    """
    problem = None
    try:
        yield
    except ValueError as error:
        problem = str(error).replace("math.inf", "inf")
    if problem is not None:
        name, _, rest = problem.partition(" ")
        if rest.startswith("must "):
            problem = f"{({**_TYPED, **typed}).get(name) or option(name)} {rest}"
        raise CommandError(problem, USAGE)


def option(name: str) -> str:
    """The option for a parameter."""
    return "--" + name.replace("_", "-")


def conclude(error: BaseException, args: Sequence[str]) -> int:
    """Say what ended a command, in the form it was asked for; tell its exit code."""
    message, code = verdict(error, args)
    if any(arg.replace("_", "-") == "--log-json" for arg in args):
        log("end", message=message, exit_code=code)
    else:
        say(message)
    return code


def verdict(error: BaseException, args: Sequence[str]) -> tuple[str, int]:
    """What to say about whatever ended a command, and its exit code."""
    message, code = str(error), FAILURE
    match error:
        case KeyboardInterrupt():
            message, code = "interrupted", INTERRUPTED
        case CycloptsError():
            message, code = _usage_problem(error, args), USAGE
        case CommandError():
            code = error.code
        case AuthenticationError():
            code = AUTHENTICATION
        case CreditBudgetError() | InsufficientCreditsError():
            message, code = message.replace("max_credits=", "--max-credits "), BUDGET
        case RateLimitError():
            code = RATE_LIMIT
        case KeyAPIError() | OSError():
            pass
        case _:
            message = f"this is a bug: {type(error).__name__}: {message} (-v tells more)"
    return message, code


def _usage_problem(error: CycloptsError, args: Sequence[str]) -> str:
    """What is wrong with the command line; never what stands behind an option for a key."""
    for arg in args:
        name = arg.partition("=")[0].lower().replace("_", "-")
        if name in KEY_OPTIONS:
            return f"there is no {name}: set the environment variable KEYAPI_TOKEN instead"
    return str(error)
