"""The types users see: `typing_user.py` is right where it should be, and wrong where marked."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import keyapi_async

TEXT = Path(__file__).with_name("typing_user.py").read_text()
MARKED = [n for n, line in enumerate(TEXT.splitlines(), 1) if "# type: ignore[" in line]
ROOT = Path(__file__).parents[1]


def test_the_user_code_touches_the_whole_public_api() -> None:
    assert set(keyapi_async.__all__) - set(re.findall(r"\w+", TEXT)) == set()


@pytest.mark.parametrize(
    ("code", "wrong"),
    [
        pytest.param(TEXT, [], id="marked"),
        pytest.param(TEXT.replace("# type: ignore[", "# ["), MARKED, id="unmarked"),
    ],
)
def test_mypy_finds_the_wrong_uses_and_nothing_else(
    code: str, wrong: list[int], tmp_path: Path
) -> None:
    file = tmp_path / "user.py"
    file.write_text(code)
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", ROOT / ".mypy_cache", file]
    mypy = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    found = {int(n) for n in re.findall(r":(\d+): error: ", mypy.stdout)}
    assert (sorted(found), mypy.stderr) == (wrong, ""), mypy.stdout
