"""The tree of errors: what each one is, says and carries, also to another process."""

from __future__ import annotations

import copy
import copyreg
import pickle
import threading
from collections.abc import Callable
from typing import Any

import pytest

import keyapi_async
from keyapi_async import (
    APIError,
    AuthenticationError,
    BadRequestError,
    ClientClosedError,
    ConfigurationError,
    CreditBudgetError,
    DeadlineError,
    InsufficientCreditsError,
    InvalidResponseError,
    KeyAPIError,
    NotFoundError,
    PaginationError,
    ParameterError,
    PermissionDeniedError,
    RateLimitError,
    RequestTimeoutError,
    ServerError,
    ShareError,
    TransportError,
)
from keyapi_async.errors import error_class, excerpt, status_phrase

BASES: dict[type[KeyAPIError], tuple[type, ...]] = {
    KeyAPIError: (Exception,),
    ConfigurationError: (KeyAPIError, ValueError),
    ParameterError: (KeyAPIError, ValueError),
    CreditBudgetError: (KeyAPIError,),
    DeadlineError: (KeyAPIError, TimeoutError),
    PaginationError: (KeyAPIError,),
    ClientClosedError: (KeyAPIError,),
    TransportError: (KeyAPIError,),
    RequestTimeoutError: (TransportError,),
    ShareError: (TransportError,),
    InvalidResponseError: (KeyAPIError,),
    APIError: (KeyAPIError,),
    BadRequestError: (APIError,),
    AuthenticationError: (APIError,),
    InsufficientCreditsError: (APIError,),
    PermissionDeniedError: (APIError,),
    NotFoundError: (APIError,),
    RateLimitError: (APIError,),
    ServerError: (APIError,),
}
ANSWERED = [cls for cls in BASES if cls is not ParameterError]
"""Those that can end a call, and are made of a message."""

COPIES: list[Callable[[Any], Any]] = [
    copy.copy,
    copy.deepcopy,
    *(lambda e, p=p: pickle.loads(pickle.dumps(e, p)) for p in range(pickle.HIGHEST_PROTOCOL + 1)),
]


def full(cls: type[KeyAPIError]) -> KeyAPIError:
    """An error of the class with every attribute set to something else than its default."""
    error: KeyAPIError
    if issubclass(cls, APIError):
        error = cls("no", status=418, code=7, request_id="req-1", retry_after=2.5, body=b"<html>")
    elif issubclass(cls, InvalidResponseError):
        error = cls("no", path="data.list[3].rank", status=200, body=b"<html>")
    else:
        error = cls("no")
    if isinstance(error, TransportError):
        error.permanent = True
    error.endpoint, error.params, error.attempts = "/v1/x", {"page": "2"}, 3
    error.request_id, error.maybe_billed = "req-1", not cls.maybe_billed
    return error


def test_the_tree_is_as_designed() -> None:
    public = [getattr(keyapi_async, name) for name in keyapi_async.__all__]
    assert BASES.keys() == {c for c in public if isinstance(c, type) and issubclass(c, Exception)}
    assert {cls: cls.__bases__ for cls in BASES} == BASES


@pytest.mark.parametrize("cls", ANSWERED)
@pytest.mark.parametrize("again", COPIES)
def test_an_error_is_copied_and_pickled_whole(
    cls: type[KeyAPIError], again: Callable[[Any], Any]
) -> None:
    number = "7 " if issubclass(cls, APIError) else ""
    twin = again(full(cls))
    assert type(twin) is cls
    assert str(twin) == f"{number}no [GET /v1/x?page=2, 3 attempts, request id req-1]"
    assert repr(twin) == f"<{cls.__name__}: {twin}>"
    assert twin.args == ("no",)
    assert (twin.endpoint, twin.params, twin.attempts) == ("/v1/x", {"page": "2"}, 3)
    assert (twin.request_id, twin.maybe_billed) == ("req-1", not cls.maybe_billed)
    if isinstance(twin, InvalidResponseError):
        assert (twin.path, twin.status, twin.body) == ("data.list[3].rank", 200, b"<html>")
    else:
        assert not hasattr(twin, "path")
    if isinstance(twin, TransportError):
        assert twin.permanent
    if isinstance(twin, APIError):
        assert (twin.status, twin.code, twin.message) == (418, 7, "no")
        assert (twin.retry_after, twin.body) == (2.5, b"<html>")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (KeyAPIError(), ""),
        (KeyAPIError("no key"), "no key"),
        (APIError("qps limit exceeded", status=429, code=429), "429 qps limit exceeded"),
        (APIError("qps limit exceeded", status=200, code=429), "429 qps limit exceeded"),
        (APIError("Bad Gateway", status=502), "502 Bad Gateway"),
        (APIError("success", status=500, code=0), "500 success"),
        (APIError(status=503), "503"),
        (APIError("teapot"), "teapot"),
        (InvalidResponseError("data: gone", path="data"), "data: gone"),
    ],
)
def test_an_error_reads(error: KeyAPIError, text: str) -> None:
    assert str(error) == text
    error.attempts = 1  # the usual number needs no word
    assert str(error) == text
    error.endpoint = "/v1/x"
    assert str(error) == f"{text} [GET /v1/x]"
    error.attempts = 2
    assert str(error) == f"{text} [GET /v1/x, 2 attempts]"


@pytest.mark.parametrize("again", COPIES)
@pytest.mark.parametrize("value", [21, "x", None, [1], "x" * 500])
def test_a_parameter_error_names_what_it_got_and_what_is_allowed(
    value: object, again: Callable[[Any], Any]
) -> None:
    error = ParameterError("limit", value, "a whole number from 1 to 20")
    for twin in (error, again(error)):
        assert type(twin) is ParameterError
        assert (twin.parameter, twin.value) == ("limit", value)
        assert twin.allowed == "a whole number from 1 to 20"
        assert str(twin) == f"limit must be a whole number from 1 to 20, not {excerpt(value)}"
        assert (twin.endpoint, twin.attempts, twin.maybe_billed) == (None, 0, False)


def test_a_parameter_error_pickles_whatever_it_got() -> None:
    error = ParameterError("page", threading.Lock(), "a whole number of at least 1")
    twin = pickle.loads(pickle.dumps(error))
    assert (twin.parameter, twin.value, twin.allowed) == (
        *("page", repr(error.value), "a whole number of at least 1"),
    )


def test_only_what_may_have_cost_something_is_maybe_billed() -> None:
    billed = {cls for cls in ANSWERED if cls("no").maybe_billed}
    assert billed == {InvalidResponseError, APIError, ServerError}


def test_an_error_without_a_request_says_so() -> None:
    for cls in ANSWERED:
        error = cls("no")
        assert (error.endpoint, error.attempts, error.request_id) == (None, 0, None)
        assert not getattr(error, "permanent", False)


def test_params_of_an_error_without_a_request_are_empty_for_good() -> None:
    with pytest.raises(TypeError):
        KeyAPIError("no").params["page"] = "1"  # type: ignore[index]
    assert KeyAPIError("no").params == {}


@pytest.mark.parametrize(
    ("status", "code", "cls"),
    [
        (200, 429, RateLimitError),
        (500, 401, AuthenticationError),
        (404, 500, ServerError),
        (404, 0, NotFoundError),
        (404, 1003, NotFoundError),
        (404, None, NotFoundError),
        (599, None, ServerError),
        (600, None, APIError),
        (499, None, APIError),
        (200, -1, APIError),
        (200, 10**30, APIError),
    ],
)
def test_the_code_decides_before_the_status(
    status: int, code: int | None, cls: type[APIError]
) -> None:
    assert error_class(status, code) is cls


def test_statuses_nobody_knows_have_a_phrase_too() -> None:
    assert status_phrase(502) == "Bad Gateway"
    assert status_phrase(799) == "unknown status"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("US", "'US'"),
        ("x" * 98, f"'{'x' * 98}'"),
        ("x" * 99, f"'{'x' * 96}..."),
        pytest.param(-(10**5000), "an int too long to print", id="too long to print"),
    ],
)
def test_values_are_shown_in_messages_at_reasonable_length(value: object, text: str) -> None:
    assert excerpt(value) == text


def test_copies_are_apart_though_dask_loads_tblib(monkeypatch: pytest.MonkeyPatch) -> None:
    support = pytest.importorskip("tblib.pickling_support")
    monkeypatch.setitem(copyreg.dispatch_table, NotFoundError, support.pickle_exception)
    error = NotFoundError("no", status=404)
    twin = copy.copy(error)
    twin.attempts = 3
    assert (error.attempts, repr(twin)) == (0, "<NotFoundError: 404 no [3 attempts]>")
