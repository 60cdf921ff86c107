"""The constructor: what makes a client, what doesn't and why, and that the key stays inside."""

from __future__ import annotations

import copy
import inspect
import math
import pickle
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from keyapi_async import ConfigurationError, KeyAPIClient, RetryPolicy, Usage
from keyapi_async.errors import excerpt

KEY = "sk-0123456789"


def client(**options: Any) -> KeyAPIClient:
    return KeyAPIClient(**{"api_key": KEY} | options)


def refusal(**options: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        client(**options)
    return str(caught.value)


def test_the_constructor_needs_no_event_loop_and_has_the_documented_defaults() -> None:
    made = KeyAPIClient(KEY)
    assert repr(made) == "<KeyAPIClient https://api.keyapi.ai qps=10>"
    assert made.usage == Usage(
        requests=0, retries=0, rate_limited=0, credits_spent=0, credits_at_risk=0, pace=10.0
    )
    parameters = list(inspect.signature(KeyAPIClient).parameters.values())
    assert {p.name: p.default for p in parameters} == {
        "api_key": None,
        "base_url": None,
        "qps": 10.0,
        "adaptive": True,
        "margin": 0.03,
        "limiter": None,
        "share": None,
        "timeout": 30.0,
        "retry": RetryPolicy(),
        "max_credits": None,
        "cache": None,
        "allow_unknown": False,
        "session": None,
        "trace_configs": (),
        "on_event": None,
    }
    assert [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY] == ["api_key"]


async def test_a_client_never_used_closes_cleanly_and_says_so() -> None:
    async with client() as made:
        pass
    await made.close()
    assert repr(made) == "<KeyAPIClient https://api.keyapi.ai qps=10 closed>"


# -- the key ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [None, "", " ", "\n", 5, b"key"])
def test_a_client_needs_a_key(key: Any) -> None:
    assert refusal(api_key=key) == (
        "no API key: pass api_key= or set the environment variable KEYAPI_TOKEN"
    )


@pytest.mark.parametrize("key", ["sk-01\n23", "sk\r\nX-Evil: 1", "sk\x00", "sk\t1", "sk\udc80"])
def test_a_key_that_no_header_can_hold_is_refused_without_printing_it(key: str) -> None:
    assert refusal(api_key=key) == (
        "the API key has characters that no header can hold (a line break, perhaps)"
    )


def test_the_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYAPI_TOKEN", f" {KEY}\n")  # as `export KEYAPI_TOKEN=$(cat file)` may be
    assert repr(KeyAPIClient()) == "<KeyAPIClient https://api.keyapi.ai qps=10>"
    monkeypatch.setenv("KEYAPI_TOKEN", " ")
    assert "no API key" in refusal(api_key=None)


@pytest.mark.parametrize("key", ["", " "])
def test_an_empty_key_is_not_replaced_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("KEYAPI_TOKEN", KEY)
    assert "no API key" in refusal(api_key=key)


@pytest.mark.parametrize("key", ["x", "clé", "a b", "Bearer x"])
def test_any_other_text_is_a_key(key: str) -> None:
    client(api_key=key)


@pytest.mark.parametrize(
    "part",
    [lambda c: c, lambda c: c.trending, lambda c: c.trending.hashtags],
    ids=["client", "trending", "method"],
)
@pytest.mark.parametrize("duplicate", [pickle.dumps, copy.deepcopy])
def test_nothing_that_holds_the_key_is_pickled(
    part: Callable[[KeyAPIClient], object], duplicate: Callable[[object], object]
) -> None:
    with pytest.raises(TypeError, match=r"^a KeyAPIClient can't be pickled or copied"):
        duplicate(part(client()))


def test_a_client_says_why_it_is_not_copied() -> None:
    with pytest.raises(TypeError) as caught:
        copy.copy(client())
    assert str(caught.value) == (
        "a KeyAPIClient can't be pickled or copied: it holds your API key and open "
        "connections; make one in each process"
    )


def test_no_repr_shows_the_key() -> None:
    made = client(base_url="http://localhost:8000/keyapi/")
    assert repr(made) == "<KeyAPIClient http://localhost:8000/keyapi qps=10>"
    assert KEY not in repr(made) + repr(made.trending) + repr(vars(made)) + repr(made.usage)


# -- base_url --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "https://api.keyapi.ai",
        "https://proxy.example:8443/keyapi/v2",
        "HTTPS://API.KEYAPI.AI",
        "http://localhost:8000",
        "http://127.0.0.1",
        "http://127.8.9.10:1",
        "http://[::1]:8000",
        "https://[2001:db8::1]",
    ],
)
def test_https_anywhere_and_http_on_this_machine_are_taken(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = f"<KeyAPIClient {url} qps=10>"
    assert repr(client(base_url=url)) == repr(client(base_url=f"{url}/")) == expected
    monkeypatch.setenv("KEYAPI_BASE_URL", url)
    assert repr(client()) == expected
    assert "example.org" in repr(client(base_url="https://example.org"))  # it goes first


@pytest.mark.parametrize(
    "host",
    [
        *(
            "api.keyapi.ai",
            "10.0.0.1",
            "0.0.0.0",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
        ),
        *("127.1", "2130706433", "0x7f.0.0.1", "[::]", "[2001:db8::1]"),
    ],
)
def test_http_would_send_the_key_in_the_clear(host: str) -> None:
    assert refusal(base_url=f"http://{host}:8000") == (
        "bad base_url (or KEYAPI_BASE_URL): http:// would send the key in the clear to "
        f"{host.strip('[]')}; use https://"
    )


SHAPE = "it must look like https://api.keyapi.ai, not "
ASCII = "it must be text, plain ASCII without spaces or backslashes"


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("https://user:secret@api.keyapi.ai", "it must not hold a user name or password"),
        ("https://user@api.keyapi.ai", "it must not hold a user name or password"),
        ("https://@api.keyapi.ai", "it must not hold a user name or password"),
        ("https://api.keyapi.ai?token=secret", "it must not hold a query or a fragment"),
        ("https://api.keyapi.ai?", "it must not hold a query or a fragment"),
        ("https://api.keyapi.ai/#secret", "it must not hold a query or a fragment"),
        ("https://api.keyapi.ai#", "it must not hold a query or a fragment"),
        ("api.keyapi.ai", SHAPE + "'api.keyapi.ai'"),
        ("//api.keyapi.ai", SHAPE + "'//api.keyapi.ai'"),
        ("ftp://api.keyapi.ai", SHAPE + "'ftp://api.keyapi.ai'"),
        ("file:///etc/passwd", SHAPE + "'file:///etc/passwd'"),
        ("https://", SHAPE + "'https://'"),
        ("https:///v1", SHAPE + "'https:///v1'"),
        ("https://api.keyapi.ai:0", SHAPE + "'https://api.keyapi.ai:0'"),
        ("https://api.keyapi.ai:99999", "Port out of range 0-65535"),
        ("https://[::1", "Invalid IPv6 URL"),
        (" https://api.keyapi.ai", ASCII),
        ("https://api.keyapi.ai\n", ASCII),
        ("https://api.keyapi.ai/\r\nX-Evil:1", ASCII),
        ("https://api.keyap\u0131.ai", ASCII),
        ("https://user:secret@ex\u2100mple", ASCII),
        ("https://evil.example\\.api.keyapi.ai", ASCII),
        ("http://localhost\\.evil.example", ASCII),
        (b"https://api.keyapi.ai", ASCII),
        (5, ASCII),
    ],
)
def test_a_url_that_cannot_be_right_is_refused_and_shows_no_secret(
    url: Any, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = f"bad base_url (or KEYAPI_BASE_URL): {problem}"
    assert refusal(base_url=url) == message
    assert "secret" not in message
    if isinstance(url, str):
        monkeypatch.setenv("KEYAPI_BASE_URL", url)
        assert refusal() == message


def test_an_empty_url_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYAPI_BASE_URL", "")
    assert "https://api.keyapi.ai " in repr(client())
    assert "https://api.keyapi.ai " in repr(client(base_url=""))


# -- numbers ---------------------------------------------------------------------------------------

NEVER: list[Any] = [math.nan, -1, -math.inf, True, False, "10", [], 1j, 10**400, -(10**5000)]


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        (name, value, allowed)
        for name, more, allowed in [
            ("qps", [0, 0.0, 5e-324, 9e-7, None], "of at least 0.000001, or math.inf"),
            ("timeout", [0, 0.0, None], "of seconds above 0"),
            ("margin", [1, 1.0, 2, None], "from 0 to below 1"),
        ]
        for value in NEVER + more
    ],
    ids=excerpt,
)
def test_a_number_that_cannot_be_right_is_refused_by_name(
    name: str, value: Any, allowed: str
) -> None:
    assert refusal(**{name: value}) == f"{name} must be a number {allowed}, not {excerpt(value)}"


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("qps", [1e-6, 0.001, 1, 50, 1e6, math.inf]),
        ("timeout", [0.001, 1, math.inf]),
        ("margin", [0, 0.0, 0.999]),
        ("max_credits", [0, 1, 10**18, None]),
    ],
)
def test_the_bounds_themselves_are_fine(name: str, values: list[float]) -> None:
    for value in values:
        client(**{name: value})


def test_qps_stands_in_repr_and_usage() -> None:
    assert repr(client(qps=2.5)) == "<KeyAPIClient https://api.keyapi.ai qps=2.5>"
    assert client(qps=2.5).usage.pace == 2.5
    assert repr(client(qps=math.inf)) == "<KeyAPIClient https://api.keyapi.ai qps=inf>"


# -- the rest --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", [x for x in NEVER if x != 10**400] + [1.0, 2.5, math.inf], ids=excerpt
)
def test_max_credits_must_be_whole_or_a_budget(value: Any) -> None:
    allowed = "a whole number of credits that is not negative, a CreditBudget, or None"
    assert refusal(max_credits=value) == f"max_credits must be {allowed}, not {excerpt(value)}"


@pytest.mark.parametrize("retry", [None, 3, {}, RetryPolicy])
def test_retry_must_be_a_policy(retry: Any) -> None:
    assert refusal(retry=retry) == f"retry must be a RetryPolicy, not {retry!r}"


def test_a_session_must_be_one_of_aiohttp() -> None:
    assert refusal(session=3) == "session must be an aiohttp.ClientSession, not 3"


async def test_trace_configs_cannot_go_with_a_borrowed_session() -> None:
    async with aiohttp.ClientSession() as session:
        assert refusal(session=session, trace_configs=[aiohttp.TraceConfig()]) == (
            "trace_configs goes with the client's own session: give it to yours instead"
        )
        client(session=session, trace_configs=[])
    client(trace_configs=[aiohttp.TraceConfig()])


def test_a_configuration_error_is_a_value_error_and_an_unknown_option_a_type_error() -> None:
    with pytest.raises(ValueError, match=r"^qps must be"):
        client(qps=0)
    with pytest.raises(TypeError, match="max_retries"):
        client(max_retries=3)


async def _async_listener(_: object) -> None: ...


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limiter": 5}, "limiter must work with `async with`, not 5"),
        ({"on_event": 5}, "on_event must be a plain function"),
        ({"on_event": _async_listener}, "on_event must be a plain function"),
        ({"base_url": "https://a..b"}, "bad base_url"),
        ({"base_url": f"https://{'a' * 64}.example"}, "bad base_url"),
    ],
)
def test_what_could_not_work_is_refused_at_once(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        KeyAPIClient("key", **options)
