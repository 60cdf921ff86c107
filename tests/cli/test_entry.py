"""How `keyapi` starts, and what it leaves behind."""

from __future__ import annotations

import gc
import io
import os
import runpy
import signal
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from keyapi_async import __version__
from keyapi_async import cli as package
from keyapi_async.cli import main
from keyapi_async.cli.signals import SIGNALS
from keyapi_async.sandbox import Sandbox
from tests.cli.command_line import json_lines


def test_nobody_reads_any_more(sandbox: Sandbox, capsys: Any, monkeypatch: Any) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", encoding="utf-8") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        assert main(["hashtags", "--limit", "1"]) == 141
        monkeypatch.undo()
    assert capsys.readouterr().err == ""


def test_closed_streams(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", None)
        patch.setattr(sys, "stderr", None)
        assert main(["hashtags", "-o", str(tmp_path / "tags"), "--limit", "2"]) == 0
        assert main(["hashtags", "--page-size", "0"]) == 2
        for stream in (sys.stdout, sys.stderr):
            stream.close()
    assert len(json_lines((tmp_path / "tags").read_text(encoding="utf-8"))) == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_stderr_that_cannot_be_written_stops_nothing(capsys: Any, monkeypatch: Any) -> None:
    with Path("/dev/full").open("wb", buffering=0) as raw, monkeypatch.context() as patch:
        stderr = io.TextIOWrapper(raw, encoding="utf-8", write_through=True)
        patch.setattr(sys, "stderr", stderr)
        assert main(["hashtags", "--sandbox", "--limit", "2"]) == 0
        stderr.detach()
    assert len(json_lines(capsys.readouterr().out)) == 2


def test_signals_are_as_they_were(sandbox: Sandbox) -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    assert main(["hashtags", "--limit", "0"]) == 0
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_without_the_extra(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("entry", "app"):
        monkeypatch.delitem(sys.modules, f"keyapi_async.cli.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "cyclopts", None)
    assert main(["--help"]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith("pip install 'keyapi-async[cli]'")
    monkeypatch.setitem(sys.modules, "keyapi_async.cli.entry", None)
    with pytest.raises(ModuleNotFoundError):
        main(["--help"])


def test_the_arguments_of_the_process(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    frozen: list[bool] = []
    monkeypatch.setattr(gc, "freeze", lambda: frozen.append(True))
    monkeypatch.setattr(sys, "argv", ["keyapi", "--version"])
    assert main() == 0
    assert capsys.readouterr().out == f"{__version__}\n"
    for name in ("imported", "__main__"):
        with pytest.raises(SystemExit) if name == "__main__" else nullcontext():
            runpy.run_path(str(Path(package.__file__).with_name("__main__.py")), run_name=name)
    assert frozen == [True, True]
