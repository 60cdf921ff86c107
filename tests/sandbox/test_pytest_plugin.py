"""The fixture `keyapi_sandbox`."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import aiohttp

from keyapi_async.sandbox import Fault, Sandbox
from tests.sandbox.bare_client import Http


def test_in_a_thread(keyapi_sandbox: Sandbox) -> None:
    async def fetch() -> int:
        async with aiohttp.ClientSession() as session:
            return (await Http(session, keyapi_sandbox).send())[0]

    assert asyncio.run(fetch()) == 200
    keyapi_sandbox.fail(Fault.status(503))
    assert asyncio.run(fetch()) == 503
    assert (len(keyapi_sandbox.requests), keyapi_sandbox.credits_spent) == (2, 2)


def test_the_plugin_loads_no_sandbox_before_it_is_used() -> None:
    code = "import sys, keyapi_async.pytest_plugin; sys.exit('keyapi_async.sandbox' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
