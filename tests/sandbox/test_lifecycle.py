"""Starting and stopping: addresses, threads, connections."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading

import aiohttp
import pytest

from keyapi_async.sandbox import Fault, Sandbox
from tests.sandbox.bare_client import HASHTAGS, Http, address, open_http, wait_until


async def test_ipv6() -> None:
    try:
        async with Sandbox(host="::1") as sandbox:
            assert sandbox.url.startswith("http://[::1]:")
    except OSError:  # pragma: no cover - depends on the machine
        pytest.skip("no IPv6 here")


async def test_a_taken_port_is_an_os_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        sandbox = Sandbox(port=port)
        with pytest.raises(OSError, match=f"{port}.*address already in use"):
            await sandbox.__aenter__()
        with pytest.raises(OSError, match=f"{port}.*address already in use"):
            sandbox.__enter__()
    async with sandbox:
        assert sandbox.url.endswith(f":{port}")


async def test_closing_cuts_what_is_stalled() -> None:
    async with aiohttp.ClientSession() as session:
        sandbox = Sandbox()
        async with sandbox:
            sandbox.fail(Fault.stall())
            task = asyncio.create_task(Http(session, sandbox).send())
            await wait_until(lambda: bool(sandbox.requests))
        with pytest.raises(aiohttp.ClientError):
            await task
        with pytest.raises(aiohttp.ClientConnectorError):
            await Http(session, sandbox).send()


@pytest.mark.parametrize("iterations", range(5))
async def test_what_connects_at_the_last_moment_is_closed_too(iterations: int) -> None:
    async with Sandbox() as sandbox:
        connections = [socket.create_connection(address(sandbox), timeout=5) for _ in range(3)]
        for _ in range(iterations):  # of the loop: accepted or not, with a transport or without
            await asyncio.sleep(0)
    for connection in connections:
        with connection:
            assert connection.recv(1) == b""


@pytest.mark.parametrize("iterations", range(4))
async def test_a_second_cancellation_leaves_no_port_open(iterations: int) -> None:
    sandbox = Sandbox()

    async def serve() -> None:
        async with sandbox:
            await asyncio.Event().wait()

    task = asyncio.create_task(serve())
    await wait_until(lambda: sandbox._address is not None)
    task.cancel()
    for _ in range(iterations):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address(sandbox))


async def test_idle_connections_are_closed() -> None:
    async with open_http(keepalive=0.01) as http:
        reader, writer = await asyncio.open_connection(*address(http.sandbox))
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


def test_threads_end_even_with_a_request_stalled() -> None:
    with Sandbox() as sandbox:
        sandbox.fail(Fault.stall())
        with socket.create_connection(address(sandbox)) as connection:
            head = f"GET {HASHTAGS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sandbox-key"
            connection.sendall(head.encode() + b"\r\n\r\n")
            while not sandbox.requests:
                pass
            sandbox.__exit__()
            assert connection.recv(1) == b""
    gc.collect()
    assert all(thread.name != "keyapi-sandbox" for thread in threading.enumerate())
