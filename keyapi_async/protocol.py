"""What an HTTP answer of KeyAPI means, without any I/O: status and body in, data or error out."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any, Generic, NoReturn, TypeVar

import msgspec
from attrs import define, evolve, frozen

from .converter import get_converter, structure
from .errors import APIError, InvalidResponseError, error_class, status_phrase
from .raw import loads

_T = TypeVar("_T")

MAX_EXCERPT = 1000
"""The most bytes of an unusable body that an error holds."""


@define(kw_only=True, eq=False, repr=False)  # frozen, it would take twice as long to make
class Response:
    """One HTTP answer as it came in.

    Attributes:
        status: The HTTP status.
        body: The body, or what came of it.
        retry_after: The Retry-After header in seconds, if it had one.
        fault: Why the body is not whole, if it isn't.
        retrieved_at: When it came, in Unix seconds.
    """

    status: int
    body: bytes
    retry_after: float | None = None
    fault: str | None = None
    retrieved_at: float | None = None


@frozen(kw_only=True, eq=False, repr=False)
class Envelope(Generic[_T]):
    """What every answer has around its data."""

    code: int
    data: _T = None  # type: ignore[assignment] # of a `Raw | None` msgspec would take null alone
    message: Any = None
    requestId: Any = None  # noqa: N815 - the wire's name


@define(eq=False, repr=False)  # by keywords or frozen, it would take twice as long to make
class Answer(Generic[_T]):
    """The envelope of a success (code 0): billed, whatever its data is.

    Attributes:
        status: The HTTP status.
        data: The data in the shape asked for; of `decode`, where it doesn't fit, as it came
            (`msgspec.Raw`) or decoded.
        request_id: The server's id of the answer.
        body: The whole body.
        retrieved_at: When it came, in Unix seconds.
        from_cache: Whether it took no request of its own.
    """

    status: int
    data: _T
    request_id: str | None
    body: bytes = b""
    retrieved_at: float | None = None
    from_cache: bool = False


def decode(response: Response, shape: type[Any] = msgspec.Raw, *, secret: str = "") -> Answer[Any]:
    """Tell success from failure: the envelope's code decides first, the HTTP status second.

    Args:
        response: The answer.
        shape: What to make of the data of a success, in the same pass over the bytes.
        secret: Text to strike out of whatever an error keeps of the body.

    Raises:
        APIError: The server reports an error; the class tells which.
        InvalidResponseError: A 3xx, or a body that is not the documented envelope.
    """
    status = response.status
    envelope = None if response.fault else _envelope(response.body, shape)
    if 300 <= status <= 399:
        _reject(response, f"refused to follow a redirect ({status})", secret)
    if envelope is None:
        if status >= 400:
            raise error_class(status, None)(
                status_phrase(status),
                status=status,
                retry_after=response.retry_after,
                body=redact(response.body, secret),
            )
        _reject(response, _what_is_wrong(response), secret)
    request_id = envelope.requestId
    request_id = _redact_text(request_id, secret) if isinstance(request_id, str) else None
    if envelope.code == 0 and status < 400:
        return Answer(status, envelope.data, request_id, response.body, response.retrieved_at)
    raise _api_error(response, envelope, request_id, secret)


def fit(answer: Answer[Any], shape: type[_T]) -> Answer[_T]:
    """Give an answer whose data is in that shape.

    Raises:
        InvalidResponseError: It doesn't fit; `path` says where.
    """
    if isinstance(answer.data, shape):
        return answer
    return evolve(answer, data=structure(answer.data, shape))


def _envelope(body: bytes, shape: type[Any]) -> Envelope[Any] | None:
    """The envelope, its data in that shape or still bytes or decoded; None if it isn't one."""
    kinds: tuple[Any, ...] = (shape, msgspec.Raw)
    for kind in kinds:
        try:
            return _envelope_maker(kind)(body, None)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            pass
    try:
        found = loads(body)
    except ValueError:
        return None
    code = found.get("code") if isinstance(found, dict) else None
    if type(code) is not int:
        return None
    return Envelope(
        code=code,
        data=found.get("data"),
        message=found.get("message"),
        requestId=found.get("requestId"),
    )


@cache
def _envelope_maker(kind: Any) -> Callable[[bytes, None], Envelope[Any]]:
    return get_converter().get_structure_hook(Envelope[kind])


def _api_error(
    response: Response, envelope: Envelope[Any], request_id: str | None, secret: str
) -> APIError:
    message, code = envelope.message, envelope.code
    known = isinstance(message, str) and message.strip()
    text = str(message) if known else status_phrase(code or response.status)
    return error_class(response.status, code)(
        _redact_text(text, secret),
        status=response.status,
        code=code,
        request_id=request_id,
        retry_after=response.retry_after,
    )


def _what_is_wrong(response: Response) -> str:
    if response.fault:
        return f"the body is {response.fault}, {len(response.body)} bytes came"
    if not response.body:
        return "the body is empty"
    try:
        loads(response.body)
    except ValueError:
        return "the body is not JSON"
    return "the body is not KeyAPI's envelope (`code` must be an integer)"


def _reject(response: Response, why: str, secret: str) -> NoReturn:
    raise InvalidResponseError(why, status=response.status, body=redact(response.body, secret))


def redact(body: bytes, secret: str) -> bytes:
    """The first bytes of a body, for an error to hold; a secret it echoes is struck out."""
    if secret:
        body = _spellings(secret).sub(b"***", body)
        begun = (secret[:size].encode() for size in range(len(secret) - 1, 3, -1))
        body = body.removesuffix(next(filter(body.endswith, begun), b""))  # cut off within it
    return body[:MAX_EXCERPT]


def echoes(body: bytes, secret: str) -> bool:
    """Whether a body holds the secret, however it is spelt."""
    return _spellings(secret).search(body) is not None


def _redact_text(text: str, secret: str) -> str:
    if secret:
        data = text.encode(errors="surrogatepass")
        text = _spellings(secret).sub(b"***", data).decode(errors="surrogatepass")
    return text[:MAX_EXCERPT]


@lru_cache(maxsize=16)
def _spellings(secret: str) -> re.Pattern[bytes]:
    """A secret as it is, or with some of its characters escaped as JSON, a URL or HTML may."""
    return re.compile(b"".join(map(_spellings_of, secret)))


def _spellings_of(char: str) -> bytes:
    if char.isascii() and char.isalnum():
        return char.encode()  # which nobody escapes
    escapes = {
        f"\\{char}",
        json.dumps(char)[1:-1],
        f"\\u{ord(char):04x}",
        "".join(f"%{byte:02x}" for byte in char.encode()),
        html.escape(char),
        f"&#{ord(char)};",
        f"&#x{ord(char):x};",
        "+" if char == " " else char,
    }
    longest_first = sorted(escapes - {char}, key=len, reverse=True)
    forms = b"|".join(re.escape(escape.encode()) for escape in longest_first)
    return b"(?:(?i:%b)|%b)" % (forms, re.escape(char.encode()))
