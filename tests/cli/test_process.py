"""The command `keyapi` as a process of its own: signals, pipes, terminals."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keyapi_async.cli import main
from keyapi_async.sandbox import Fault, Sandbox
from tests.cli.command_line import Tripwire

VIDEOS = ("crawl", "videos", "--rate=inf", "--region=US", "--region=GB", "--concurrency=1")

Start = Callable[..., "subprocess.Popen[str]"]


def test_piped(start: Start) -> None:
    with Sandbox() as sandbox:
        process = start("hashtags", "--rate", "inf", at=sandbox)
        out, err = process.communicate(timeout=20)
        assert [json.loads(line) for line in out.splitlines()] == sandbox.items("hashtags")
        assert (process.returncode, err) == (0, "")
        assert (len(sandbox.requests), sandbox.credits_spent) == (5, 10)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_interrupted(number: int, start: Start) -> None:
    with Sandbox() as sandbox:
        sandbox.fail(Fault.stall(), page=2)
        process = start("hashtags", "--prefetch", "0", at=sandbox)
        assert process.stdout is not None
        came = [process.stdout.readline() for _ in range(20)]
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
        assert [json.loads(line) for line in came] == sandbox.items("hashtags")[:20]
        assert (process.returncode, out, err) == (130, "", "keyapi: interrupted\n")


def test_a_reader_that_leaves(start: Start) -> None:
    with Sandbox() as sandbox:
        process = start("hashtags", "--rate", "inf", at=sandbox)
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()  # the rest doesn't fit into the pipe
        process.stdout = None
        assert process.communicate(timeout=20)[1] == ""
        assert process.returncode == 141


@pytest.mark.slow
@pytest.mark.parametrize("form", ["plain", "--log-json"])
@pytest.mark.parametrize("told", ["full", "left"])
@pytest.mark.parametrize("code", [0, 3])
def test_a_crawl_that_can_not_tell_goes_on(
    code: int, told: str, form: str, start: Start, tmp_path: Path
) -> None:
    if told == "full":
        stderr = os.open("/dev/full", os.O_WRONLY)
    else:
        reader, stderr = os.pipe()
        os.close(reader)
    with Sandbox() as sandbox:
        if code:
            sandbox.fail(Fault.status(404), page=5)
        line = ["crawl", "hashtags", "--keep-going", "--rate", "inf", "-o", f"{tmp_path}/t.sqlite"]
        more = [] if form == "plain" else [form]
        process = start(*line, *more, at=sandbox, stderr=stderr)
        os.close(stderr)
        assert process.wait(timeout=20) == code
        assert len(sandbox.requests) == 5


def test_a_crawl_is_told_to_stop(start: Start, tmp_path: Path) -> None:
    with Sandbox() as sandbox:
        process = start(*VIDEOS, "-o", "t t.sqlite", at=sandbox)
        sandbox._ledger.requests = Tripwire(process.pid, signal.SIGTERM, 1, 9)
        _, err = process.communicate(timeout=20)
        assert process.returncode == 130
        assert err.splitlines()[-1].endswith("keyapi crawl --resume 't t.sqlite'")
        assert 9 <= len(sandbox.requests) <= 50
        assert (tmp_path / "t t.sqlite").exists()


def test_an_export_leaves_nothing_half_done(start: Start, tmp_path: Path) -> None:
    line = ["crawl", "videos", "--sandbox", "--rate", "inf", "-q", "-o", "t.sqlite"]
    assert start(*line).wait(timeout=20) == 0
    process = start("export", "t.sqlite", "-o", "-")
    assert process.stdout is not None
    process.stdout.readline()  # it waits for the rest to be read
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (130, "keyapi: interrupted\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.sqlite", "t.sqlite-lock"]


def test_on_a_terminal(start: Start) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 80, 0, 0))
    with Sandbox() as sandbox:
        process = start(
            "hashtags", "--limit", "25", at=sandbox, stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        screen = _read_all(ours)
        assert process.wait(timeout=20) == 0
        names = [item["hashtag_name"] for item in sandbox.items("hashtags")[:25]]
    assert sandbox.credits_spent == 4
    assert "\x1b[?25l" in screen  # a bar was there
    text = re.sub(r"\x1b\][^\x1b]*\x1b\\|\x1b\[[0-9;?]*[A-Za-z]", "", screen).replace("\r", "")
    rows = [line for line in text.splitlines() if re.match(r" *[0-9]+  ", line)]
    assert len(rows) == 25
    for row, name in zip(rows, names, strict=True):
        assert name in row
        assert re.search("[▁▂▃▄▅▆▇█]$", row)
    assert text.endswith("keyapi: 25 of 100 hashtags · 2 pages · 4 credits\n")


def test_sandbox_for_others(start: Start, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    process = start("sandbox", "--seed", "7")
    assert process.stdout is not None
    for _ in range(2):
        line = process.stdout.readline()
        name, value = line.removeprefix("export ").rstrip("\n").split("=", 1)
        monkeypatch.setenv(name, value)
    assert main(["hashtags", "--limit", "3"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    process.terminate()
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, "")
    assert err == "keyapi: serving made-up data; Ctrl-C stops it\n"


def test_importing_the_library_imports_nothing_of_this() -> None:
    code = (
        "import sys, keyapi_async\n"
        "strange = {'keyapi_async.cli', 'keyapi_async.sandbox', 'cyclopts', 'rich', 'pytest'}\n"
        "assert not strange & set(sys.modules)\n"
        "import keyapi_async.cli\n"
        "assert 'cyclopts' not in sys.modules\n"
        "assert keyapi_async.cli.main(['--help']) == 0\n"
        "late = {'keyapi_async.crawl', 'keyapi_async.trends', 'aiohttp', 'duckdb'}\n"
        "assert not late & set(sys.modules)\n"
        "import keyapi_async.crawl, keyapi_async.trends\n"
        "assert not {'aiohttp', 'duckdb'} & set(sys.modules)\n"
    )
    root = Path(__file__).parents[2]
    env = {**os.environ, "PYTHONPATH": str(root)}
    subprocess.run(
        [sys.executable, "-c", code], check=True, timeout=20, stdout=subprocess.DEVNULL, env=env
    )


def _read_all(fd: int) -> str:
    chunks = []
    while True:
        try:
            chunk = os.read(fd, 65536)
        except OSError:  # Linux: the other side is closed
            chunk = b""
        if not chunk:
            os.close(fd)
            return b"".join(chunks).decode()
        chunks.append(chunk)
