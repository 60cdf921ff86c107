"""Lines of text: safe to print, and right in singular and plural."""

from __future__ import annotations

import pytest

from keyapi_async.cli.messages import count, duration, printable


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (119, "119 s"), (150, "2 min"), (7199, "119 min"), (9000, "2 h 30 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_counts() -> None:
    told = [count(number, noun) for number in (0, 1, 2) for noun in ("query", "page", "day")]
    assert told == [
        *("0 queries", "0 pages", "0 days"),
        *("1 query", "1 page", "1 day"),
        *("2 queries", "2 pages", "2 days"),
    ]


def test_nothing_moves_the_cursor_nor_tells_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYAPI_TOKEN", "sk-123456789")
    text = "a\x1b]0;title\x07 \x9b2J\r\n\u202e sk-123456789 👩\u200d🚀 日本"
    assert printable(text) == "a\ufffd]0;title\ufffd \ufffd2J\ufffd\ufffd\ufffd *** 👩\u200d🚀 日本"
    monkeypatch.setenv("KEYAPI_TOKEN", "a")  # no secret, but part of every other word
    assert printable("latest") == "latest"
