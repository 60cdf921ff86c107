"""What the tests of the command share: its key, what it prints, a terminal, a signal."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from typing import Any

from keyapi_async.sandbox import RecordedRequest

KEY = "k3y-that-must-not-be-seen"
FAST = ("--rate", "inf")
CRAWL = "crawl hashtags --region US --region GB -o t.sqlite --rate inf"

Run = Callable[..., tuple[int, str, str]]


def json_lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.split("\n") if line]


def hashtags_body(*names: str, has_more: bool = False) -> bytes:
    items = [{"hashtag_id": str(i), "hashtag_name": name} for i, name in enumerate(names)]
    pagination = {"page": 1, "size": 20, "total": len(items), "has_more": has_more}
    data = {"list": items, "pagination": pagination}
    return json.dumps({"code": 0, "message": "success", "data": data}).encode()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Tripwire(list[RecordedRequest]):
    """Sends a signal with the n-th request, and perhaps more with the next ones."""

    def __init__(self, pid: int, number: int, times: int, at: int) -> None:
        self.pid, self.number, self.times, self.at = pid, number, times, at

    def append(self, record: RecordedRequest) -> None:
        super().append(record)
        if len(self) >= self.at and self.times:
            self.times -= 1
            os.kill(self.pid, self.number)
