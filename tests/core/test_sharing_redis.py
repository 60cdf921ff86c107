"""Redis that isn't there, comes back, forgets, is loading or wants a password."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis import Redis

from benchmarks.redis_server import RedisServer, redis_server
from keyapi_async import CreditBudget, KeyAPIClient, RetryPolicy
from keyapi_async.errors import ConfigurationError, ShareError
from keyapi_async.sandbox import Fault
from keyapi_async.shared_state import Claim
from keyapi_async.sharing_redis import RedisStore
from tests.core.calls import Events, failing, lasting, outcomes
from tests.core.scripted_server import KEY
from tests.core.shares import pace_of, sharing

PASSWORD = "pass-word-123"


async def test_redis_that_is_gone_fails_every_call_clearly(server: RedisServer) -> None:
    options = {"qps": 10, "retry": RetryPolicy(unsent=0)}
    async with sharing(server.url, {}, options) as (sandbox, client):
        await client.trending.hashtags()
        server.stop()
        with lasting(0, 0.01):
            found = await outcomes([client.trending.hashtags() for _ in range(20)])
        assert {type(error) for error in found} == {ShareError}
        assert str(found[0]).startswith("Redis, which keeps what processes share, failed: ")
        await asyncio.sleep(0.2)
        found.append(await failing(client.trending.hashtags(), ShareError))
        assert f"connecting to 127.0.0.1:{server.port}" in str(found[-1])
        assert not any(error.permanent or error.maybe_billed for error in found)
        assert len(sandbox.requests) == 1
        server.start()
        await asyncio.sleep(0.2)
        await client.trending.hashtags()


async def test_redis_that_comes_back_within_the_policy_fails_nothing(server: RedisServer) -> None:
    events = Events()
    options = {"qps": 50, "on_event": events}
    async with sharing(server.url, {}, options, options) as (sandbox, one, other):
        await one.trending.hashtags()
        server.stop()
        calls = [client.trending.hashtags() for client in (one, other) for _ in range(10)]
        waiting = asyncio.gather(*calls)
        while events.kinds.count("retry") < 20:
            await asyncio.sleep(0.01)
        server.start()
        await waiting
        assert len(sandbox.requests) == 21
        assert {event.error for event in events if event.kind == "retry"} == {"ShareError"}
        assert one._session.pool.retry_budget.tokens == 100  # the server had no part in it


async def test_a_budget_is_not_spent_by_what_redis_could_not_reserve(server: RedisServer) -> None:
    options = {"qps": 50, "max_credits": CreditBudget(6, 600), "retry": RetryPolicy(unsent=0)}
    async with sharing(server.url, {}, options) as (sandbox, client):
        server.stop()
        for _ in range(50):
            await failing(client.trending.hashtags(), ShareError)
            await asyncio.sleep(0.2)
        assert len(pace_of(client)._returned) == 1
        server.start()
        await asyncio.gather(*(client.trending.hashtags() for _ in range(3)))
        assert len(sandbox.requests) == 3
        assert pace_of(client)._returned == set()


async def test_what_redis_has_forgotten_begins_anew(server: RedisServer) -> None:
    options = {"qps": 10}
    async with sharing(server.url, {"latency": 1}, options, options) as (sandbox, one, other):
        sandbox.fail(Fault.status(429, retry_after="5"))
        call = asyncio.create_task(one.trending.hashtags())
        await asyncio.sleep(0.5)
        with Redis(port=server.port) as connection:
            connection.flushall()
        await asyncio.sleep(1)
        assert one.usage.pace == 10
        with lasting(5.4, 5.7):
            await other.trending.hashtags()
        await call
        assert one.usage.pace == other.usage.pace == 10


async def test_a_429_that_the_others_cannot_be_told_of_still_pauses_this_one(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with sharing(server.url, {"latency": 1}, {"qps": 10}) as (sandbox, client):
        sandbox.fail(Fault.status(429, retry_after="3"))
        call = asyncio.create_task(client.trending.hashtags())
        await asyncio.sleep(0.5)
        server.stop()
        await asyncio.sleep(1)
        server.start()
        with lasting(3.4, 3.7):
            await call
    assert "the others can't be told of a 429: Redis, which keeps" in caplog.text


async def test_credits_that_cannot_be_given_back_are_told(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    options = {"qps": 10, "max_credits": CreditBudget(6, 600)}
    async with sharing(server.url, {}, options) as (sandbox, client):
        sandbox.fail(Fault.status(404))
        await failing(client.trending.hashtags())
        server.stop()
        await client.close()
    assert "2 credits can't be given back: Redis, which keeps" in caplog.text


async def test_without_a_budget_nothing_is_given_back(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with sharing(server.url, {}, {"qps": 10, "retry": RetryPolicy(unsent=0)}) as (_, client):
        server.stop()
        await failing(client.trending.hashtags(), ShareError)
    assert caplog.text == ""


async def test_a_climb_that_is_cancelled_or_fails_costs_no_credits(server: RedisServer) -> None:
    options = {"qps": 50, "max_credits": CreditBudget(8, 6000)}
    async with sharing(server.url, {}, options) as (sandbox, client):
        for page in (1, 2):
            sandbox.fail(Fault.status(429), page=page)
            await client.trending.hashtags(page=page)
        await asyncio.sleep(60)
        before = client.usage.pace
        found = await outcomes([client.trending.hashtags() for _ in range(3)])
        assert sum(not isinstance(one, Exception) for one in found) == 2
        assert client.usage.pace > before


# Loading, and passwords


@pytest.fixture
async def store(server: RedisServer) -> AsyncIterator[RedisStore]:
    loop: Any = asyncio.get_running_loop()
    loop.held += 1
    store = RedisStore(server.url, "name")
    yield store
    await store.close()
    loop.held -= 1


async def test_redis_that_is_loading_is_asked_again(server: RedisServer) -> None:
    """What it answers is scripted: Redis can't be had to load for long."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65536):
            writer.write(b"-LOADING Redis is loading the dataset in memory\r\n" * 3)
        writer.close()

    loading = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = loading.sockets[0].getsockname()[1]
    options = {"qps": 10, "retry": RetryPolicy(unsent=2)}
    async with loading, sharing(f"redis://127.0.0.1:{port}", {}, options) as (_, client):
        error = await failing(client.trending.hashtags(), ShareError)
    assert "loading the dataset" in str(error)
    assert not error.permanent


@pytest.mark.usefixtures("running_redis")
@pytest.mark.parametrize("wrong", [f"redis://:{PASSWORD}-wrong@", "redis://"])
async def test_a_password_that_is_refused_is_told_at_once_and_never_shown(
    wrong: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with redis_server("--requirepass", PASSWORD) as server:
        share = server.url.replace("redis://", wrong)
        async with sharing(share, {}, {"qps": 10}) as (sandbox, client):
            error = await failing(client.trending.hashtags(), ShareError)
            assert error.permanent
            seen = f"{error} {error!r} {client!r} {caplog.text} {vars(error)}"
            assert sandbox.requests == []
        right = server.url.replace("redis://", f"redis://:{PASSWORD}@")
        async with sharing(right, {}, {"qps": 10}) as (_, client):
            await client.trending.hashtags()
            seen += repr(client)
            server.stop()
            seen += str(await failing(client.with_options(
                retry=RetryPolicy(unsent=0)).trending.hashtags(), ShareError))  # fmt: skip
    assert PASSWORD not in seen + caplog.text


async def test_a_user_who_may_not_run_scripts_is_told(server: RedisServer) -> None:
    with Redis(port=server.port) as connection:
        connection.execute_command("ACL", "SETUSER", "poor", "on", ">secret", "+get", "~*")
    share = server.url.replace("redis://", "redis://poor:secret@")
    async with sharing(share, {}, {"qps": 10}) as (_, client):
        error = await failing(client.trending.hashtags(), ShareError)
    assert error.permanent
    assert "no permissions" in str(error)


async def test_whatever_is_kept_is_forgotten_in_the_end(
    server: RedisServer, store: RedisStore
) -> None:
    claim = Claim(qps=10, credits=10, per=60, reservation="r")
    await store.reserve(claim)
    await store.update(lambda *_: None)
    store._clock = lambda: 1e9
    await store.reserve(Claim(qps=10))  # the clock was set back
    store._clock = None
    with Redis(port=server.port) as connection:
        lives = {key.decode().rsplit(":", 1)[1]: connection.ttl(key) for key in connection.keys()}  # noqa: SIM118
    assert lives.keys() == {"slots", "guard", "spent", "budgets"}
    assert all(86_000 < seconds <= 86_500 for seconds in lives.values()), lives


# What can't be a share


@pytest.mark.parametrize(
    ("share", "problem"),
    [
        ("file:", "share must be file:PATH or redis://HOST, not 'file:'"),
        ("", "share must be file:PATH or redis://HOST, not ''"),
        (7, "share must be file:PATH or redis://HOST, not 7"),
        ("/tmp/pace", "share must be file:PATH or redis://HOST, not '/tmp/pace'"),
        (f"redis:{PASSWORD}@host", "share must be file:PATH or redis://HOST, not '***@host'"),
        (f"http://u:{PASSWORD}@h/1", "share must be file:PATH or redis://HOST, not '***@h/1'"),
        ("file:/nowhere/at/all", "share: no file can be made at /nowhere/at/all"),
        ("file:/tmp/a\0b", "share: no file can be made at /tmp/a\0b"),
        ("file:/", "share: no file can be made at /"),
        ("file:" + 999 * "x", "share: no file can be made there: .*File name too long"),
        ("file:~nobody-here/x", "share: no file can be made there: "),
        (f"redis://:{PASSWORD}@h:99999", "share: what Redis is reached by must look like redis:"),
        (f"redis://:{PASSWORD}@h?what=1", "share: what Redis is reached by must look like redis:"),
    ],
)
def test_a_share_that_cannot_be_is_refused(share: Any, problem: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        KeyAPIClient(KEY, share=share)
    assert str(caught.value).startswith(problem.split(".*", 1)[0])
    assert problem.rsplit(".*", 1)[-1] in str(caught.value)
    frames = [caught.value.__traceback__]
    while frames[-1] is not None:
        assert PASSWORD not in repr({**frames[-1].tb_frame.f_locals, "share": ""}) or (
            frames[-1].tb_frame.f_code.co_filename == __file__
        )
        frames.append(frames[-1].tb_next)
    assert PASSWORD not in str(caught.value)


def test_a_share_and_a_limiter_or_no_pace_exclude_each_other(tmp_path: Any) -> None:
    share = f"file:{tmp_path}/x"
    with pytest.raises(ConfigurationError, match=r"^share and limiter exclude each other"):
        KeyAPIClient(KEY, share=share, limiter=asyncio.Semaphore(1))
    with pytest.raises(ConfigurationError, match=r"^share needs a pace: qps can't be math\.inf$"):
        KeyAPIClient(KEY, share=share, qps=float("inf"))


def test_redis_that_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(__import__("sys").modules, "keyapi_async.sharing_redis", raising=False)
    monkeypatch.setitem(__import__("sys").modules, "redis.asyncio", None)
    problem = r"sharing by Redis needs more: pip install 'keyapi-async\[redis\]'"
    with pytest.raises(ConfigurationError, match=problem):
        KeyAPIClient(KEY, share="redis://localhost")


@pytest.mark.parametrize("text", ["redis://localhost", "rediss://h:1/2", "unix:///a/b.sock"])
def test_what_redis_can_be_reached_by(text: str) -> None:
    assert KeyAPIClient(KEY, share=text)
