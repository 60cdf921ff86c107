"""What an HTTP answer of KeyAPI means, without any I/O: status and body in, data or error out."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

import msgspec
from attrs import frozen

from .errors import APIError, InvalidResponseError, error_class, status_phrase

BODY_KEPT = 1000
"""How many bytes of an unusable body an error holds."""


@frozen(kw_only=True)
class Response:
    """One HTTP answer as it came in.

    Attributes:
        status: The HTTP status.
        body: The body, or what came of it.
        retry_after: The Retry-After header in seconds, if it had one.
        fault: Why the body is not whole, if it isn't.
    """

    status: int
    body: bytes
    retry_after: float | None = None
    fault: str | None = None


@frozen(kw_only=True)
class Answer:
    """The envelope of a success (code 0): billed, its data not yet looked at."""

    status: int
    data: Any
    request_id: str | None


def decode(response: Response, *, secret: str = "") -> Answer:
    """Tell success from failure: the envelope's code decides first, the HTTP status second.

    Args:
        response: The answer.
        secret: Text to strike out of whatever an error keeps of the body.

    Raises:
        APIError: The server reports an error; the class tells which.
        InvalidResponseError: A 3xx, or a body that is not the documented envelope.
    """
    status = response.status
    envelope = None if response.fault else loads(response.body)
    code = envelope.get("code") if isinstance(envelope, dict) else None
    if 300 <= status <= 399:
        _reject(response, f"refused to follow a redirect ({status})", secret)
    if type(code) is not int or not isinstance(envelope, dict):
        if status >= 400:
            raise error_class(status, None)(
                status_phrase(status),
                status=status,
                retry_after=response.retry_after,
                body=_kept(response.body, secret),
            )
        _reject(response, _what_is_wrong(response, envelope), secret)
    request_id = envelope.get("requestId")
    request_id = _told(request_id, secret) if isinstance(request_id, str) else None
    if code == 0 and status < 400:
        return Answer(status=status, data=envelope.get("data"), request_id=request_id)
    raise _api_error(response, code, envelope.get("message"), request_id, secret)


def loads(body: bytes) -> Any:
    """Decode JSON; what isn't JSON is None.

    msgspec is fast, but refuses lone surrogates, which a text cut in the middle of an emoji
    has; the standard library takes those, so that a page paid for isn't lost.
    """
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return json.loads(body, parse_constant=_no_number, parse_float=_finite)
    except (ValueError, RecursionError):
        return None


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _no_number(text)


def _api_error(
    response: Response, code: int, message: object, request_id: str | None, secret: str
) -> APIError:
    known = isinstance(message, str) and message.strip()
    text = str(message) if known else status_phrase(code or response.status)
    return error_class(response.status, code)(
        _told(text, secret),
        status=response.status,
        code=code,
        request_id=request_id,
        retry_after=response.retry_after,
    )


def _what_is_wrong(response: Response, envelope: object) -> str:
    if response.fault:
        return f"the body is {response.fault}, {len(response.body)} bytes came"
    if not response.body:
        return "the body is empty"
    if envelope is None:
        return "the body is not JSON"
    return "the body is not KeyAPI's envelope (`code` must be an integer)"


def _reject(response: Response, why: str, secret: str) -> NoReturn:
    raise InvalidResponseError(why, status=response.status, body=_kept(response.body, secret))


def _kept(body: bytes, secret: str) -> bytes:
    return body.replace(secret.encode(), b"***")[:BODY_KEPT] if secret else body[:BODY_KEPT]


def _told(text: str, secret: str) -> str:
    return text.replace(secret, "***")[:BODY_KEPT] if secret else text[:BODY_KEPT]
