"""Every error of this package: one tree under `KeyAPIError`.

An error of a request tells what was asked (`endpoint`, `params`), how often it was tried
(`attempts`), the server's `request_id` where there was one, and whether it may have cost
credits (`maybe_billed`). All errors pickle, and none holds the API key.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Self


class KeyAPIError(Exception):
    """Base class: catch it to catch all that this package raises by itself.

    Attributes:
        endpoint: Path of the endpoint asked, such as `/v1/tiktok/trending/hashtags`.
        params: The query parameters sent, as strings.
        attempts: How many times the request was tried.
        request_id: The server's id of the answer, if it gave one.
        maybe_billed: Whether an attempt of this call may have cost credits.
    """

    endpoint: str | None = None
    params: Mapping[str, str] = MappingProxyType({})
    attempts: int = 0
    request_id: str | None = None
    maybe_billed: bool = False

    def __init__(self, message: str = "") -> None:
        super().__init__(message)

    def __str__(self) -> str:
        query = "&".join(f"{name}={value}" for name, value in self.params.items())
        notes = [f"GET {self.endpoint}{'?' * bool(query)}{query}"] if self.endpoint else []
        if self.attempts > 1:
            notes.append(f"{self.attempts} attempts")
        if self.request_id:
            notes.append(f"request id {self.request_id}")
        return f"{self._what()} [{', '.join(notes)}]" if notes else self._what()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self}>"

    def __copy__(self) -> Self:
        # Not by what pickling would do: tblib, which Dask loads, has copies share their attributes.
        made = type(self).__new__(type(self))
        made.args = self.args
        vars(made).update(vars(self))
        return made

    def _what(self) -> str:
        return str(self.args[0])


class ConfigurationError(KeyAPIError, ValueError):
    """The client can't be made like this: no key, a bad `base_url`, a number out of range."""


class ParameterError(KeyAPIError, ValueError):
    """A value that can't be right. Nothing was sent.

    Attributes:
        parameter: Name of the parameter.
        value: What it was given.
        allowed: What it takes.
    """

    def __init__(self, parameter: str, value: object, allowed: str) -> None:
        Exception.__init__(self, parameter, value, allowed)  # what a pickle is made of
        self.parameter = parameter
        self.value = value
        self.allowed = allowed

    def __reduce__(self) -> tuple[Any, ...]:
        import pickle  # noqa: PLC0415 - whoever asks for this has it

        value = self.value
        try:
            pickle.dumps(value)
        except Exception:  # noqa: BLE001 - a lambda, a lock: what it looks like has to do
            value = excerpt(value)
        state = {**vars(self), "value": value}
        return type(self), (self.parameter, value, self.allowed), state

    def _what(self) -> str:
        return f"{self.parameter} must be {self.allowed}, not {excerpt(self.value)}"


class CreditBudgetError(KeyAPIError):
    """The next attempt could pass the budget. It was not sent.

    Attributes:
        retry_after: Seconds until a rolling budget has room for it again.
    """

    retry_after: float | None = None


class DeadlineError(KeyAPIError, TimeoutError):
    """A call could not be answered within its `deadline`.

    Attributes:
        last_error: What the last attempt failed with, if there was one.
        retry_after: Seconds that had to be waited for a pause, a backoff or the queue, if that
            is why it couldn't.
    """

    last_error: KeyAPIError | None = None
    retry_after: float | None = None


class PaginationError(KeyAPIError):
    """The server repeats pages or ignores `page`; going on would waste credits."""


class ClientClosedError(KeyAPIError):
    """The client was used after `close()`, or from another event loop than its own."""


class TransportError(KeyAPIError):
    """No answer: the connection could not be made, or was lost.

    `maybe_billed` is False when the request never left this machine.

    Attributes:
        permanent: Trying again can't help, as with a certificate that can't be verified.
    """

    permanent: bool = False


class RequestTimeoutError(TransportError):
    """One attempt took longer than the client's `timeout`."""


class ShareError(TransportError):
    """What processes share (`share=`) can't be reached. Nothing was sent."""


class InvalidResponseError(KeyAPIError):
    """The answer is not what KeyAPI documents.

    Attributes:
        path: Where in the body the fault is, such as `data.list[3].rank`; None for the whole.
        status: HTTP status of the answer.
        body: The first bytes of the body.
    """

    def __init__(
        self,
        message: str = "",
        *,
        path: str | None = None,
        status: int | None = None,
        body: bytes = b"",
    ) -> None:
        super().__init__(message)
        self.path = path
        self.status = status
        self.body = body
        self.maybe_billed = True


class APIError(KeyAPIError):
    """KeyAPI answered with an error.

    Attributes:
        status: HTTP status of the answer.
        code: Code of the envelope; None if the body was no envelope (a proxy's page).
        message: The server's message, or the HTTP status' phrase.
        retry_after: Seconds the server asks to wait, if it does.
        body: The first bytes of a body that was no envelope.
    """

    maybe_billed = True  # unless a subclass knows better: what isn't documented may cost

    def __init__(
        self,
        message: str = "",
        *,
        status: int = 0,
        code: int | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        body: bytes = b"",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.request_id = request_id
        self.retry_after = retry_after
        self.body = body

    def _what(self) -> str:
        return f"{self.code or self.status or ''} {self.message}".strip()


class BadRequestError(APIError):
    """400: a parameter the server does not take."""

    maybe_billed = False


class AuthenticationError(APIError):
    """401: the API key is missing or invalid."""

    maybe_billed = False


class InsufficientCreditsError(APIError):
    """402: the account is out of credits."""

    maybe_billed = False


class PermissionDeniedError(APIError):
    """403: this key may not call this endpoint."""

    maybe_billed = False


class NotFoundError(APIError):
    """404: no such hashtag or sound."""

    maybe_billed = False


class RateLimitError(APIError):
    """429: still refused for the rate of requests after all the waiting allowed."""

    maybe_billed = False


class ServerError(APIError):
    """5xx: the server failed."""


_BY_NUMBER: dict[int, type[APIError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    402: InsufficientCreditsError,
    403: PermissionDeniedError,
    404: NotFoundError,
    429: RateLimitError,
}


def error_class(status: int, code: int | None) -> type[APIError]:
    """The class for an answer: by the envelope's code if that is known, else by the status."""
    for number in (code, status):
        if number is None:
            continue
        if number in _BY_NUMBER:
            return _BY_NUMBER[number]
        if 500 <= number <= 599:
            return ServerError
    return APIError


def excerpt(value: object) -> str:
    """The repr of a value for an error message, cut short if it is long."""
    try:
        text = repr(value)
    except ValueError:  # Python prints no integer of more than 4300 digits
        text = f"an {type(value).__name__} too long to print"
    return text if len(text) <= 100 else f"{text[:97]}..."


def status_phrase(status: int) -> str:
    """The standard phrase of an HTTP status, such as `Bad Gateway`."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "unknown status"
