"""A client and its sandbox, whose books are compared at every turn of the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from keyapi_async import KeyAPIClient
from keyapi_async.sandbox import Sandbox
from tests.core.leaks import in_use, no_task_left
from tests.core.scripted_server import KEY


@asynccontextmanager
async def opened(
    settings: dict[str, Any] | None = None, **options: Any
) -> AsyncIterator[tuple[KeyAPIClient, Sandbox]]:
    """A client and its sandbox, audited at every turn of the loop; nothing is left of them."""
    async with (
        Sandbox(api_key=KEY, **settings or {}) as sandbox,
        sandbox.client(**options) as client,
    ):
        with audited(client, sandbox):
            yield client, sandbox
        assert in_use(client) == 0
    await no_task_left()


@contextmanager
def audited(client: KeyAPIClient, sandbox: Sandbox) -> Iterator[None]:
    """Hold the client's books against the server's at every single turn of the event loop."""
    limits = [budget.credits for budget in client._session.budgets if not budget.per]
    wrong = list[str]()

    def audit() -> None:
        usage, bill = client.usage, sandbox.credits_spent
        most = usage.credits_spent + usage.credits_at_risk
        if not usage.credits_spent <= bill <= most or most > min(limits, default=most):
            wrong.append(f"{bill} billed, {usage}")

    selector = asyncio.get_running_loop()._selector  # type: ignore[attr-defined]
    select = selector.select
    selector.select = lambda timeout=None: (audit(), select(timeout))[1]
    try:
        yield
    finally:
        selector.select = select
    audit()
    assert not wrong, wrong[0]
