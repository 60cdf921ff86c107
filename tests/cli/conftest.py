"""The command within this process, pointed at a sandbox, in an empty folder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from keyapi_async.cli import main
from keyapi_async.sandbox import Sandbox
from tests.cli.command_line import KEY, Run, Terminal

ROOT = Path(__file__).parents[2]


@pytest.fixture
def point(monkeypatch: pytest.MonkeyPatch) -> Callable[[Sandbox], Sandbox]:
    """Point the command at a sandbox by its environment."""

    def to(sandbox: Sandbox) -> Sandbox:
        monkeypatch.setenv("KEYAPI_BASE_URL", sandbox.url)
        monkeypatch.setenv("KEYAPI_TOKEN", sandbox.api_key)
        return sandbox

    return to


@pytest.fixture
def sandbox(point: Callable[[Sandbox], Sandbox]) -> Iterator[Sandbox]:
    with Sandbox(api_key=KEY) as running:
        yield point(running)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command line in an empty folder: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def run(line: str, *more: str) -> tuple[int, str, str]:
        code = main([*line.split(), *more])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., str]:
    """Run the command with both standard outputs on one terminal of 80 columns."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_INTERACTIVE", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)

    def run(line: str, code: int = 0) -> str:
        screen = Terminal()
        with monkeypatch.context() as patch:  # here, as pytest's capture patches these as well
            patch.setattr(sys, "stdout", screen)
            patch.setattr(sys, "stderr", screen)
            assert main(line.split()) == code
        return screen.getvalue()

    return run


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start `keyapi` as a process of its own, pointed at a sandbox if one is given."""
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: str, at: Sandbox | None = None, **options: Any) -> subprocess.Popen[str]:
        env = {name: value for name, value in os.environ.items() if name != "FORCE_COLOR"}
        env |= {"TERM": "xterm", "PYTHONPATH": str(ROOT)}
        if at is not None:
            env |= {"KEYAPI_BASE_URL": at.url, "KEYAPI_TOKEN": at.api_key}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        command = [sys.executable, "-m", "keyapi_async.cli", *arguments]
        started.append(
            subprocess.Popen(command, env=env, text=True, encoding="utf-8", cwd=tmp_path, **pipes)
        )
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()
