"""What ends a command early: one line on stderr and an exit code."""

from __future__ import annotations

import re
from collections.abc import Sequence

from cyclopts import CycloptsError

import keyapi_async
from keyapi_async import KeyAPIError, ParameterError
from keyapi_async.cli.messages import log, say

FAILURE = 1
USAGE = 2
INCOMPLETE = 3
"""Of a crawl: lists failed, or the server was down for too long."""
AUTHENTICATION = 4
BUDGET = 5
RATE_LIMIT = 6
INTERRUPTED = 130
BROKEN_PIPE = 141
"""As a shell reports a program that SIGPIPE ended."""

KEY_OPTIONS = ("--api-key", "--apikey", "--key", "--token", "--keyapi-token")

_CODES: dict[type[BaseException], int] = {
    CycloptsError: USAGE,
    ParameterError: USAGE,
    keyapi_async.ConfigurationError: USAGE,
    keyapi_async.AuthenticationError: AUTHENTICATION,
    keyapi_async.CreditBudgetError: BUDGET,
    keyapi_async.InsufficientCreditsError: BUDGET,
    keyapi_async.RateLimitError: RATE_LIMIT,
    KeyboardInterrupt: INTERRUPTED,
}
_SUBJECTS = {getattr(query, "subject", None) for query in keyapi_async.ENDPOINTS.values()}


class CommandError(Exception):
    """Ends the command.

    Attributes:
        code: The exit code.
    """

    def __init__(self, message: str, code: int = FAILURE) -> None:
        super().__init__(message)
        self.code = code


def option(parameter: str) -> str:
    """The command line's name for a parameter."""
    return parameter.upper() if parameter in _SUBJECTS else "--" + parameter.replace("_", "-")


def conclude(error: BaseException, args: Sequence[str]) -> int:
    """Report what ended a command, in the form asked for; returns the exit code."""
    message = _message(error, args)
    codes = (code for kind, code in _CODES.items() if isinstance(error, kind))
    code = error.code if isinstance(error, CommandError) else next(codes, FAILURE)
    if any(arg.replace("_", "-") == "--log-json" for arg in args):
        log("end", message=message, exit_code=code)
    else:
        say(message)
    return code


def _message(error: BaseException, args: Sequence[str]) -> str:
    match error:
        case KeyboardInterrupt():
            return "interrupted"
        case CycloptsError():
            return _usage_problem(error, args)
        case ParameterError():
            return str(ParameterError(option(error.parameter), error.value, error.allowed))
        case CommandError() | KeyAPIError() | OSError():
            return str(error).replace("max_credits=", "--max-credits ")
    return f"this is a bug: {type(error).__name__}: {error} (-v tells more)"


def _usage_problem(error: CycloptsError, args: Sequence[str]) -> str:
    """What is wrong with the command line; never the value of an option for a key."""
    for arg in args:
        name = arg.partition("=")[0].lower().replace("_", "-")
        if name in KEY_OPTIONS:
            return f"there is no {name}: set the environment variable KEYAPI_TOKEN instead"
    return re.sub(r"://[^/\s]*@", "://***@", str(error))  # a password of a --share
