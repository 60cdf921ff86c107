"""Sends a digest to a chat: once for each day and selection, whatever happens."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
import time
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import urlsplit

from keyapi_async.errors import ConfigurationError, KeyAPIError

from .digest import write_digest
from .movers import Move, Movers

Outcome: TypeAlias = Literal["sent", "quiet", "sent before"]

TOP: Final = 20
"""So many moves a message has unless `top` says otherwise."""

_RETRIES: Final = 3
_MAX_WAIT: Final = 30.0
_TIMEOUT: Final = 30.0
_DISCORD: Final = ("discord.com", "discordapp.com")
_DISCORD_LENGTH: Final = 2000
_SLACK_LENGTH: Final = 12_000

_TABLE: Final = """
CREATE TABLE IF NOT EXISTS posted (
    day TEXT, selection TEXT, address TEXT, at REAL, PRIMARY KEY (day, selection, address)
)
"""
_TAKE: Final = "INSERT OR IGNORE INTO posted VALUES (?, ?, ?, ?)"
_GIVE_BACK: Final = "DELETE FROM posted WHERE day = ? AND selection = ? AND address = ?"


class WebhookError(KeyAPIError):
    """A message could not be sent; the text never holds the address."""


async def post(movers: Movers, url: str, *, again: bool = False, always: bool = False) -> Outcome:
    """Send what moved to a chat's webhook, as one JSON message.

    What was sent is noted in `<first file>-posted`, before it is sent: a crash may lose a message,
    but never double it. A 429 and a 5xx are tried again; after any other failure, the note is
    taken back unless the message may have arrived all the same.

    Args:
        movers: What moved.
        url: Address of the webhook. Discord takes `content`, others (Slack, Mattermost, Google
            Chat) `text`.
        again: Send it even if it was sent before.
        always: Send it even if nothing moved.

    Returns:
        `sent`, `quiet` (nothing moved) or `sent before`.

    Raises:
        ConfigurationError: The address can't be one.
        WebhookError: It could not be sent, or may not have been.
        StoreError: A file can't be read.
    """
    host = _check(url)
    moves = [move for move in movers if move.kind != "same"]
    if not moves and not always:
        return "quiet"
    moves.sort(key=lambda move: move.weight, reverse=True)
    message = _message(movers, moves[:TOP] if movers.top is None else moves, host)
    notes = Notes(movers.paths[0], url)
    is_first = notes.take(movers.day, movers.selection)
    if not is_first and not again:
        return "sent before"
    problem, may_have_arrived = await _send(url, message)
    if problem:
        if may_have_arrived:
            raise WebhookError(
                f"{problem}; it may have arrived all the same: --again sends it again"
            )
        if is_first:
            notes.give_back(movers.day, movers.selection)
        raise WebhookError(problem)
    return "sent"


def _check(url: str) -> str:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        parts, host = urlsplit(""), ""
    is_local = host in {"localhost", "127.0.0.1", "::1"}
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and is_local)):
        raise ConfigurationError("the webhook's address must begin with https:// (not shown here)")
    return host


def _message(movers: Movers, moves: list[Move], host: str) -> dict[str, Any]:
    if host.removeprefix("www.").endswith(_DISCORD):
        text = write_digest(movers, moves, most=_DISCORD_LENGTH)
        return {"content": text, "allowed_mentions": {"parse": []}}
    return {"text": write_digest(movers, moves, style="slack", most=_SLACK_LENGTH)}


async def _send(url: str, message: dict[str, Any]) -> tuple[str, bool]:
    """Send it; what went wrong, if anything did, and whether it may have arrived all the same."""
    import aiohttp  # noqa: PLC0415 - of all that reads a crawl's file, this alone needs it

    timeout = aiohttp.ClientTimeout(total=_TIMEOUT)
    async with aiohttp.ClientSession(timeout=timeout, trust_env=True) as session:
        attempt = 0
        while True:
            try:
                async with session.post(url, json=message, allow_redirects=False) as response:
                    status, after = response.status, response.headers.get("Retry-After", "")
            except aiohttp.ClientConnectorError:
                return "the webhook could not be reached", False
            except (aiohttp.ClientError, TimeoutError):
                return "the connection to the webhook was lost", True
            if 200 <= status < 300:
                return "", False
            if attempt == _RETRIES or not (status == 429 or status >= 500):
                return f"the webhook answered {status}", False
            await asyncio.sleep(_wait(after, attempt))
            attempt += 1


def _wait(after: str, attempt: int) -> float:
    return min(float(after), _MAX_WAIT) if after.isdecimal() else float(2**attempt)


class Notes:
    """Which messages were sent, in a small file beside the crawl's.

    Args:
        file: The crawl's file.
        url: The address, of which a hash alone is kept.
    """

    def __init__(self, file: Path, url: str) -> None:
        self.path = Path(f"{file}-posted")
        self._url = hashlib.sha256(url.encode()).hexdigest()[:16]

    def take(self, day: date | None, selection: str) -> bool:
        """Note that a message is about to be sent; False if that was noted before."""
        return self._change(_TAKE, (*self._key(day, selection), time.time())) > 0

    def give_back(self, day: date | None, selection: str) -> None:
        """The message was not sent after all."""
        self._change(_GIVE_BACK, self._key(day, selection))

    def _key(self, day: date | None, selection: str) -> tuple[str, str, str]:
        return str(day), selection, self._url

    def _change(self, sql: str, values: tuple[object, ...]) -> int:
        problem = ""
        try:
            with closing(sqlite3.connect(self.path)) as db, db:
                db.execute(_TABLE)
                return db.execute(sql, values).rowcount
        except sqlite3.Error as error:
            problem = str(error)
        raise WebhookError(f"{self.path}: can't note what is sent ({problem}); nothing was sent")
