"""The fixture `keyapi_sandbox`, as programs that use the client test themselves with it."""

from __future__ import annotations

import asyncio

import pytest

from keyapi_async import KeyAPIClient, ServerError
from keyapi_async.sandbox import Fault, Sandbox


def test_a_program_without_an_event_loop_of_its_own(
    keyapi_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEYAPI_BASE_URL", keyapi_sandbox.url)
    monkeypatch.setenv("KEYAPI_TOKEN", keyapi_sandbox.api_key)

    async def program() -> str:
        async with KeyAPIClient() as client:
            return (await client.trending.hashtags()).items[0].hashtag_name

    assert asyncio.run(program()) == keyapi_sandbox.items("hashtags")[0]["hashtag_name"]
    keyapi_sandbox.fail(Fault.status(500), times=None)
    with pytest.raises(ServerError):
        asyncio.run(program())
    assert (len(keyapi_sandbox.requests), keyapi_sandbox.credits_spent) == (3, 2)
