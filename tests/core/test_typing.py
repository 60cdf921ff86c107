"""The types users see: `typing_user.py` is right where it should be, and wrong where marked."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import keyapi_async

ROOT = Path(__file__).parents[2]
TEXT = Path(__file__).with_name("typing_user.py").read_text()
MARK = re.compile(r"  # type: ignore\[([a-z, -]+)\]")
MARKED = {n: mark[1] for n, line in enumerate(TEXT.splitlines(), 1) if (mark := MARK.search(line))}
"""Numbers of the lines that are wrong, and mypy's codes for what is."""


@pytest.fixture
def unmarked(tmp_path: Path) -> Path:
    """The same code without the marks that excuse it."""
    file = tmp_path / "user.py"
    file.write_text(MARK.sub("", TEXT))
    return file


def run(*command: object) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *map(str, command)],
        cwd=ROOT,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.stderr
    return done.stdout


def test_the_user_code_touches_the_whole_public_api() -> None:
    assert set(keyapi_async.__all__) - set(re.findall(r"\w+", TEXT)) == set()


def test_mypy_refuses_the_wrong_uses_and_nothing_else(unmarked: Path) -> None:
    told = run("mypy", "--strict", "--cache-dir", ROOT / ".mypy_cache", unmarked)
    found: dict[int, set[str]] = {}
    for number, code in re.findall(r":(\d+): error: .*  \[([a-z-]+)\]", told):
        found.setdefault(int(number), set()).add(code)
    assert found == {number: set(codes.split(", ")) for number, codes in MARKED.items()}, told


@pytest.mark.slow
def test_pyright_refuses_the_wrong_uses_and_nothing_else(unmarked: Path) -> None:
    told = run("pyright", "--outputjson", "--pythonpath", sys.executable, unmarked)
    found = [
        fault["range"]["start"]["line"] + 1
        for fault in json.loads(told)["generalDiagnostics"]
        if fault["severity"] == "error"
    ]
    assert found == list(MARKED), told


@pytest.mark.parametrize(
    "use",
    [
        'HashtagsQuery(regoin="US")',
        "await client.trending.hashtags(period=9)",
        'VideosQuery(order_by="likes")',
        'await client.trending.videos(order_by="likes")',
        "found: Page[Hashtag] = await client.trending.videos()",
        "client.trending.iter_hashtags(page_siz=3)",
    ],
)
def test_among_them_are_the_slips_that_cost_most(use: str) -> None:
    lines = TEXT.splitlines()
    assert f"    {use}" in [MARK.sub("", lines[number - 1]) for number in MARKED]
