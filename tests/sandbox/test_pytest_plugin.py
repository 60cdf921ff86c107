"""The fixture `keyapi_sandbox` and its marker, as a project that uses them sees them."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import aiohttp
import anyio
import pytest

from keyapi_async.sandbox import Fault, Sandbox
from tests.sandbox.bare_client import Http

pytest_plugins = ["pytester"]


def test_in_a_thread(keyapi_sandbox: Sandbox) -> None:
    async def fetch() -> int:
        async with aiohttp.ClientSession() as session:
            return (await Http(session, keyapi_sandbox).send())[0]

    assert asyncio.run(fetch()) == 200
    keyapi_sandbox.fail(Fault.status(503))
    assert asyncio.run(fetch()) == 503
    assert (len(keyapi_sandbox.requests), keyapi_sandbox.credits_spent) == (2, 2)


@pytest.mark.keyapi_sandbox(qps=5, latency=2, credits=7)
class TestMarked:
    @pytest.mark.keyapi_sandbox(qps=3, retired=["videos"])
    @pytest.mark.keyapi_sandbox(retired=["music"], credits=9)
    def test_the_nearest_mark_wins(self, keyapi_sandbox: Sandbox) -> None:
        sandbox = keyapi_sandbox
        assert (sandbox.qps, sandbox.retired, sandbox.latency) == (3, ["music"], 2)
        assert (sandbox.credits, sandbox.seed) == (9, 0)

    def test_a_mark_of_the_class(self, keyapi_sandbox: Sandbox) -> None:
        assert (keyapi_sandbox.qps, keyapi_sandbox.retired) == (5, ())


@pytest.mark.parametrize(
    ("mark", "message"),
    [
        ("qsp=5", "keyapi_sandbox has no setting qsp; it has host, port, api_key, qps, window, *"),
        ("_ledger=5", "keyapi_sandbox has no setting _ledger; it has *day, day_seconds, *"),
        ("5", "keyapi_sandbox takes settings by name; got (5,)"),
        ("qps=-1", "*ValueError: qps must be above 0, or None; got -1"),
    ],
)
def test_a_wrong_mark(pytester: pytest.Pytester, mark: str, message: str) -> None:
    pytester.makepyfile(
        f"""
        import pytest

        @pytest.mark.keyapi_sandbox({mark})
        def test_it(keyapi_sandbox):
            pass
        """
    )
    result = pytester.runpytest("--strict-markers", "-p", "no:randomly", "-p", "no:asyncio")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*{message}"])


def test_the_marker_is_described(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest("--markers", "-p", "no:asyncio")
    result.stdout.fnmatch_lines(["@pytest.mark.keyapi_sandbox(qps=5, ...): settings of *"])


def test_under_anyio() -> None:
    """In the event loop, and in a thread beside it."""

    async def fetch(sandbox: Sandbox) -> int:
        async with sandbox.client() as client:
            page = await client.trending.hashtags()
        return len(page.items)

    async def main() -> None:
        async with Sandbox() as sandbox, anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(fetch, sandbox)
        assert sandbox.credits_spent == 6
        with Sandbox() as sandbox:
            assert await fetch(sandbox) == 20

    anyio.run(main, backend="asyncio")


def test_the_plugin_loads_no_sandbox_before_it_is_used() -> None:
    code = "import sys, keyapi_async.pytest_plugin; sys.exit('keyapi_async.sandbox' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
