"""A digest sent to a chat: one message, whatever happens."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from attrs import define, field

from keyapi_async import ConfigurationError, HashtagsQuery, trends
from keyapi_async.trends import webhook
from tests.trends.scripted import Listing, add_day, day

US = HashtagsQuery(region="US")
SECRET = "/services/T000/B000/s3cret"


@define
class Receiver:
    """A webhook that takes messages, or answers as told."""

    url: str = ""
    answers: list[Any] = field(factory=list)
    messages: list[Any] = field(factory=list)
    refused: int = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        answer = self.answers.pop(0) if self.answers else 200
        body = await request.json()
        if callable(answer):
            answer(request)
        if isinstance(answer, web.Response):
            self.refused += 1
            return answer
        self.messages.append(body)
        return web.Response()


@asynccontextmanager
async def receiving(*answers: Any) -> AsyncIterator[Receiver]:
    receiver = Receiver(answers=list(answers))
    app = web.Application()
    app.router.add_post(SECRET, receiver.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    receiver.url = f"http://{host}:{port}{SECRET}"
    yield receiver
    await runner.cleanup()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "trends.sqlite"
    add_day(path, day(1), {US: Listing("abc")})
    add_day(path, day(2), {US: Listing("cab")})
    return path


async def test_one_message_for_each_day_and_selection(path: Path) -> None:
    async with receiving() as receiver:
        for _ in range(2):
            first = await trends.post(trends.movers(path), receiver.url)
        assert (first, len(receiver.messages)) == ("sent before", 1)
        assert await trends.post(trends.movers(path, kind="risen"), receiver.url) == "sent"
        assert await trends.post(trends.movers(path), receiver.url, again=True) == "sent"
        assert await trends.post(trends.movers(path), receiver.url + "?other") == "sent"
        assert len(receiver.messages) == 4
        add_day(path, day(3), {US: Listing("abc")})
        assert await trends.post(trends.movers(path), receiver.url) == "sent"
    assert [*receiver.messages[0]] == ["text"]
    assert receiver.messages[0]["text"].startswith("*TikTok trends, 2026-02-02*\n")
    notes = path.with_name("trends.sqlite-posted").read_bytes()
    assert b"s3cret" not in notes


async def test_a_repetition_that_fails_takes_nothing_back(path: Path) -> None:
    async with receiving(200, web.Response(status=404)) as receiver:
        assert await trends.post(trends.movers(path), receiver.url) == "sent"
        with pytest.raises(trends.WebhookError, match="404"):
            await trends.post(trends.movers(path), receiver.url, again=True)
        assert await trends.post(trends.movers(path), receiver.url) == "sent before"
        assert len(receiver.messages) == 1


async def test_a_quiet_day_is_not_told(path: Path) -> None:
    add_day(path, day(3), {US: Listing("cab")})
    async with receiving() as receiver:
        assert await trends.post(trends.movers(path), receiver.url) == "quiet"
        assert receiver.messages == []
        assert await trends.post(trends.movers(path), receiver.url, always=True) == "sent"
        assert receiver.messages[0]["text"].endswith("Nothing moved.")


async def test_it_is_tried_again(path: Path) -> None:
    busy = web.Response(status=429, headers={"Retry-After": "7"})
    async with receiving(busy, web.Response(status=500), web.Response(status=503)) as receiver:
        assert await trends.post(trends.movers(path), receiver.url) == "sent"
        assert (receiver.refused, len(receiver.messages)) == (3, 1)


@pytest.mark.parametrize(
    ("statuses", "tries"), [([500] * 4, 4), ([404], 1), ([302], 1), ([429] * 4, 4)]
)
async def test_what_was_refused_is_sent_next_time(
    path: Path, statuses: list[int], tries: int
) -> None:
    answers = [web.Response(status=status, headers={"Location": "/"}) for status in statuses]
    async with receiving(*answers) as receiver:
        with pytest.raises(
            trends.WebhookError, match=rf"^the webhook answered {statuses[0]}$"
        ) as caught:
            await trends.post(trends.movers(path), receiver.url)
        assert receiver.refused == tries
        assert_no_secret(caught.value)
        assert await trends.post(trends.movers(path), receiver.url) == "sent"


def assert_no_secret(error: BaseException | None) -> None:
    while error is not None:
        assert "s3cret" not in f"{error!r} {error}"
        error = error.__cause__ or error.__context__


async def test_what_may_have_arrived_is_not_sent_twice(path: Path) -> None:
    def hang_up(request: web.Request) -> None:
        assert request.transport
        request.transport.abort()

    async with receiving(hang_up) as receiver:
        with pytest.raises(trends.WebhookError, match="it may have arrived all the same") as caught:
            await trends.post(trends.movers(path), receiver.url)
        assert_no_secret(caught.value)
        assert await trends.post(trends.movers(path), receiver.url) == "sent before"
        assert len(receiver.messages) == 1


async def test_a_webhook_that_cannot_be_reached(path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    url = f"http://127.0.0.1:{port}{SECRET}"
    with pytest.raises(trends.WebhookError, match=r"^the webhook could not be reached$") as caught:
        await trends.post(trends.movers(path), url)
    assert_no_secret(caught.value)
    with closing(sqlite3.connect(f"{path}-posted")) as db:
        assert db.execute("SELECT count(*) FROM posted").fetchall() == [(0,)]


@pytest.mark.parametrize("url", ["", "s3cret", "http://example.com/s3cret", "https://[s3cret"])
async def test_an_address_that_is_none(path: Path, url: str) -> None:
    with pytest.raises(ConfigurationError, match="must begin with https") as caught:
        await trends.post(trends.movers(path), url)
    assert_no_secret(caught.value)


async def test_a_note_that_cannot_be_written(path: Path) -> None:
    Path(f"{path}-posted").mkdir()
    async with receiving() as receiver:
        with pytest.raises(trends.WebhookError, match="can't note what is sent"):
            await trends.post(trends.movers(path), receiver.url)
        assert receiver.messages == []


async def test_discord_takes_content(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []

    async def send(url: str, message: dict[str, Any]) -> tuple[str, bool]:
        sent.append(message)
        return "", False

    monkeypatch.setattr(webhook, "_send", send)
    add_day(path, day(3), {US: Listing(["@everyone *" + "x" * 60 + str(n) for n in range(60)])})
    await trends.post(trends.movers(path), "https://discord.com/api/webhooks/1/s3cret")
    assert sent[0]["allowed_mentions"] == {"parse": []}
    assert "@everyone \\*xxx" in sent[0]["content"]
    assert len(sent[0]["content"]) <= 2000
    assert sent[0]["content"].splitlines()[-1].startswith("… and ")


CRASH = """
import asyncio, sys
from keyapi_async import trends
print(asyncio.run(trends.post(trends.movers(sys.argv[1]), sys.argv[2])))
"""


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow
def test_a_crash_while_sending_doubles_nothing(path: Path) -> None:
    received: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}{SECRET}"
        command = [sys.executable, "-c", CRASH, str(path), url]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        with subprocess.Popen(command, env=environment) as first:
            connection, _ = server.accept()
            with connection:
                while b"\r\n\r\n" not in b"".join(received) or not received[-1].endswith(b"}"):
                    received.append(connection.recv(65536))
                first.send_signal(signal.SIGKILL)  # it has arrived, and nobody knows
                first.wait()
        assert json.loads(b"".join(received).partition(b"\r\n\r\n")[2])["text"]
        second = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True
        )
        assert second.stdout == "sent before\n"
