"""The contract's five documented bodies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parents[1] / "examples"
LISTS = {"hashtags": "list", "videos": "videos", "music": "sound_list"}
DETAILS = {"hashtag_detail": "info", "music_detail": "sound"}
ENDPOINTS = {**LISTS, **DETAILS}


def example(endpoint: str) -> Any:
    """A fresh copy of the documented body."""
    return json.loads((EXAMPLES / f"{endpoint}.json").read_bytes())


def example_item(endpoint: str) -> dict[str, Any]:
    """The documented item, or the object of a detail."""
    found = example(endpoint)["data"][ENDPOINTS[endpoint]]
    item: dict[str, Any] = found[0] if endpoint in LISTS else found
    return item
