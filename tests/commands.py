"""What the tests of the command share: its key, its haste, and what it prints."""

from __future__ import annotations

import json
from typing import Any

KEY = "k3y-that-must-not-be-seen"
FAST = ("--rate", "inf")


def lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.split("\n") if line]
