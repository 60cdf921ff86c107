"""What an HTTP answer means: every status with every code, and bodies that are no envelope."""

from __future__ import annotations

import json
from typing import Any

import pytest

from keyapi_async import (
    APIError,
    AuthenticationError,
    BadRequestError,
    InsufficientCreditsError,
    InvalidResponseError,
    KeyAPIError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
)
from keyapi_async.protocol import Response, decode
from keyapi_async.raw import WHOLE, Source

SUCCESS = b'{"code": 0, "message": "success", "data": {"list": []}, "requestId": "req-1"}'
CLASSES = {
    400: BadRequestError,
    401: AuthenticationError,
    402: InsufficientCreditsError,
    403: PermissionDeniedError,
    404: NotFoundError,
    429: RateLimitError,
    500: ServerError,
    502: ServerError,
    503: ServerError,
    504: ServerError,
    599: ServerError,
}
UNKNOWN = (405, 418, 499)
PHRASES = {429: "Too Many Requests", 502: "Bad Gateway", 503: "Service Unavailable"}
HTML = b"<html><title>Bad gateway</title></html>"


def envelope(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def failure(status: int, body: bytes, *, secret: str = "", **response: Any) -> Any:
    """The error an answer decodes to."""
    with pytest.raises(KeyAPIError) as caught:
        decode(Response(status=status, body=body, **response), secret=secret)
    error = caught.value
    assert error.__cause__ is error.__context__ is None  # nothing else hangs on it
    return error


@pytest.mark.parametrize("status", [200, 201, 206, 299])
def test_code_0_under_a_2xx_is_a_success(status: int) -> None:
    answer = decode(Response(status=status, body=SUCCESS))
    assert (answer.status, answer.request_id) == (status, "req-1")
    assert Source(answer.body).part(WHOLE) == {"list": []}


@pytest.mark.parametrize("request_id", [None, 7, ["req-1"]])
def test_a_request_id_that_is_no_text_is_none(request_id: object) -> None:
    answer = decode(Response(status=200, body=envelope(code=0, requestId=request_id)))
    assert answer.request_id is None


@pytest.mark.parametrize("status", [200, *CLASSES, *UNKNOWN])
@pytest.mark.parametrize("code", [0, *CLASSES, *UNKNOWN, -1, 1003, 2**70])
def test_the_code_decides_first_and_the_status_second(status: int, code: int) -> None:
    if (status, code) == (200, 0):
        return
    body = envelope(code=code, data=None, message="what happened", requestId="req-1")
    error = failure(status, body, retry_after=2.5)
    assert type(error) is CLASSES.get(code, CLASSES.get(status, APIError))
    assert (error.status, error.code, error.message) == (status, code, "what happened")
    assert (error.request_id, error.retry_after, error.body) == ("req-1", 2.5, b"")


@pytest.mark.parametrize("message", [None, "", " ", 7, {"text": "no"}])
def test_an_envelope_without_a_message_gets_the_phrase_of_what_failed(message: object) -> None:
    assert str(failure(200, envelope(code=429, message=message))) == "429 Too Many Requests"
    assert str(failure(502, envelope(code=0, message=message))) == "502 Bad Gateway"


def test_a_message_is_kept_to_a_reasonable_length() -> None:
    assert failure(400, envelope(code=400, message="x" * 10**6)).message == "x" * 1000


# -- no envelope -----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [*CLASSES, *UNKNOWN])
@pytest.mark.parametrize(
    "body", [b"", HTML, b'{"code": 0, "da', b"[]", b"null", b'{"error": "no"}', b"\xff\xfe"]
)
def test_no_envelope_under_an_error_status_is_the_error_of_that_status(
    status: int, body: bytes
) -> None:
    error = failure(status, body, retry_after=7.0)
    assert type(error) is CLASSES.get(status, APIError)
    assert (error.status, error.code, error.request_id) == (status, None, None)
    assert (error.retry_after, error.body) == (7.0, body)


def test_a_proxy_page_reads_like_its_status() -> None:
    assert str(failure(502, HTML)) == "502 Bad Gateway"
    assert str(failure(429, HTML)) == "429 Too Many Requests"
    assert str(failure(499, HTML)) == "499 unknown status"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "the body is empty"),
        (HTML, "the body is not JSON"),
        (SUCCESS[:-10], "the body is not JSON"),
        (b"[]", "the body is not KeyAPI's envelope (`code` must be an integer)"),
        (b'{"data": {}}', "the body is not KeyAPI's envelope (`code` must be an integer)"),
    ],
)
def test_no_envelope_under_200_is_an_invalid_response(body: bytes, text: str) -> None:
    error = failure(200, body)
    assert type(error) is InvalidResponseError
    assert str(error) == text
    assert (error.status, error.body, error.path, error.maybe_billed) == (200, body, None, True)


@pytest.mark.parametrize("code", ["false", "true", "0.0", "200.0", '"0"', '"429"', "null", "[0]"])
def test_a_code_that_is_no_integer_makes_no_envelope(code: str) -> None:
    body = f'{{"code": {code}, "data": {{"list": []}}}}'.encode()
    assert type(failure(200, body)) is InvalidResponseError
    error = failure(429, body)
    assert type(error) is RateLimitError
    assert error.code is None


@pytest.mark.parametrize("status", [200, 503])
def test_the_first_1000_bytes_of_an_unusable_body_are_kept(status: int) -> None:
    assert failure(status, b"<" + b"x" * 5000).body == b"<" + b"x" * 999


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308, 399])
@pytest.mark.parametrize("body", [b"", HTML, SUCCESS, envelope(code=401)])
def test_a_redirect_is_never_followed_nor_believed(status: int, body: bytes) -> None:
    error = failure(status, body)
    assert type(error) is InvalidResponseError
    assert str(error) == f"refused to follow a redirect ({status})"
    assert (error.status, error.body) == (status, body)


def test_a_body_that_is_not_whole_is_not_read() -> None:
    error = failure(200, SUCCESS, fault="truncated")
    assert type(error) is InvalidResponseError
    assert str(error) == "the body is truncated, 77 bytes came"
    assert error.body == SUCCESS
    error = failure(503, envelope(code=401), fault="truncated")
    assert type(error) is ServerError
    assert error.code is None


# -- the key ---------------------------------------------------------------------------------------

KEY = "sk-0123456789"


@pytest.mark.parametrize("before", [0, 985, 990, 995, 999, 1000, 5000])
def test_the_key_is_struck_from_all_that_an_error_keeps(before: int) -> None:
    text = "x" * before + KEY + "y" * 100
    page = failure(502, text.encode(), secret=KEY)
    told = failure(200, envelope(code=500, message=text, requestId=text), secret=KEY)
    struck = ("x" * before + "***" + "y" * 100)[:1000]
    assert page.body == struck.encode()
    assert (told.message, told.request_id) == (struck, struck)
    for error in (page, told):
        assert "sk-" not in repr(error) + str(error) + repr(vars(error))


def test_the_key_is_struck_from_the_request_id_of_a_success() -> None:
    body = envelope(code=0, data={}, requestId=f"for {KEY}")
    assert decode(Response(status=200, body=body), secret=KEY).request_id == "for ***"


# -- JSON ------------------------------------------------------------------------------------------
