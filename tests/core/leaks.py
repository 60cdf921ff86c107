"""What a test leaves behind, if it does: tasks and connections."""

from __future__ import annotations

import asyncio

from keyapi_async import KeyAPIClient


async def no_task_left() -> None:
    """Everything else that ran on the loop has ended."""
    for _ in range(10):  # what was just closed is called back
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


def in_use(client: KeyAPIClient) -> int:
    """How many connections the client's requests hold at the moment."""
    session = client._session.pool.transport._http
    return 0 if session is None or session.connector is None else len(session.connector._acquired)
