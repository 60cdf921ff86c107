"""`Sandbox` as its users see it."""

from __future__ import annotations

import ast
from pathlib import Path

import aiohttp
import pytest

import keyapi_async.sandbox
from keyapi_async import AuthenticationError, CreditBudgetError, NotFoundError
from keyapi_async.sandbox import Fault, Sandbox
from tests.sandbox.bare_client import Http

PACKAGE = Path(keyapi_async.sandbox.__file__).parent


async def test_addresses() -> None:
    sandbox = Sandbox()
    with pytest.raises(RuntimeError, match="no address before it runs"):
        _ = sandbox.url
    async with sandbox:
        assert sandbox.url.startswith("http://127.0.0.1:")
        with pytest.raises(RuntimeError, match="running already"):
            await sandbox.__aenter__()
        with pytest.raises(RuntimeError, match="running already"):
            sandbox.__enter__()
    await sandbox.__aexit__()
    sandbox.__exit__()


async def test_a_sandbox_can_be_entered_again() -> None:
    sandbox = Sandbox()
    for _ in range(2):
        async with sandbox, aiohttp.ClientSession() as session:
            assert (await Http(session, sandbox).get())[0] == 200
    assert sandbox.credits_spent == 4


async def test_client_knows_where_and_how() -> None:
    async with Sandbox(api_key="mine") as sandbox, sandbox.client(max_credits=2) as client:
        await client.trending.videos()
        with pytest.raises(CreditBudgetError):
            await client.trending.videos()
    assert [(r.authorized, r.credits) for r in sandbox.requests] == [(True, 2)]


def test_items_is_for_lists() -> None:
    sandbox = Sandbox()
    with pytest.raises(ValueError, match="path must be that of a list; got 'music_detail'"):
        sandbox.items("music_detail")
    with pytest.raises(ValueError, match="path must be the path of an endpoint or one of hashtags"):
        sandbox.items("hashtag")
    with pytest.raises(ValueError, match="Invalid parameter: period"):
        sandbox.items("hashtags", period="8")


async def test_heal(http: Http) -> None:
    http.sandbox.fail(Fault.status(500), times=None)
    assert [(await http.get())[0] for _ in range(3)] == [500] * 3
    http.sandbox.heal()
    assert (await http.get())[0] == 200


async def test_a_client_of_another_key_is_refused() -> None:
    async with Sandbox() as sandbox, sandbox.client("another") as client:
        with pytest.raises(AuthenticationError):
            await client.trending.videos()
    assert [record.authorized for record in sandbox.requests] == [False]


async def test_a_client_takes_what_any_client_takes() -> None:
    async with Sandbox() as sandbox, sandbox.client(base_url=f"{sandbox.url}/v0") as client:
        with pytest.raises(NotFoundError):
            await client.trending.videos()
        with pytest.raises(TypeError, match="qsp"):
            sandbox.client(qsp=5)  # type: ignore[call-arg]


@pytest.mark.parametrize("file", sorted(PACKAGE.glob("*.py")), ids=lambda file: file.stem)
def test_the_sandbox_is_its_own_statement_of_the_contract(file: Path) -> None:
    """A mistake in the client can't hide in it: all it imports of the package is itself."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level < 2
            of_the_client = (node.module or "").startswith("keyapi_async")
            assert not of_the_client or (file.name, node.names[0].name) == (
                "server.py",
                "KeyAPIClient",
            )
        elif isinstance(node, ast.Import):
            assert not any(alias.name.startswith("keyapi_async") for alias in node.names)
