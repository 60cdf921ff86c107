"""How `keyapi` starts, fails and stops, within this process and over real sockets."""

from __future__ import annotations

import gc
import io
import os
import runpy
import signal
import sys
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from commands import FAST, KEY, lines

from keyapi_async import RetryPolicy, __version__
from keyapi_async import cli as package
from keyapi_async.cli import main
from keyapi_async.cli.output import Sink
from keyapi_async.sandbox import Fault, Sandbox

# Exit codes


@pytest.mark.parametrize(
    ("fault", "code", "told"),
    [
        (Fault.status(401), 4, "401"),
        (Fault.status(402), 5, "402"),
        (Fault.status(403), 1, "403"),
        (Fault.status(404), 1, "404"),
        (Fault.status(429, retry_after="31"), 6, "429"),
        (Fault.data(None), 1, "data"),
        (Fault.body(b"<html>"), 1, "not JSON"),
        (Fault.redirect("https://example.com"), 1, "redirect"),
    ],
)
def test_failures(sandbox: Sandbox, capsys: Any, fault: Fault, code: int, told: str) -> None:
    sandbox.fail(fault, page=2)
    assert main(["hashtags", "--prefetch", "0", *FAST]) == code
    out, err = capsys.readouterr()
    assert len(lines(out)) == 20
    *waits, line = err.splitlines()
    assert all("waiting" in wait for wait in waits)
    assert line.startswith("keyapi: ")
    assert told in line
    assert len(sandbox.requests) == 2


def test_max_credits(sandbox: Sandbox, capsys: Any) -> None:
    assert main(["hashtags", "--max-credits", "5", *FAST]) == 5
    out, err = capsys.readouterr()
    assert len(lines(out)) == 40
    assert err.startswith("keyapi: one more request could pass --max-credits 5: ")
    assert sandbox.credits_spent == 4
    assert main(["hashtags", "--max-credits", "0"]) == 5
    assert len(sandbox.requests) == 2


def test_no_connection(sandbox: Sandbox, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RetryPolicy, "wait", lambda *_: 0.0)
    monkeypatch.setenv("KEYAPI_BASE_URL", "http://127.0.0.1:9")
    assert main(["hashtags"]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("keyapi: could not connect: ")
    assert "4 attempts" in line


def test_no_key(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for key, told in ((None, "no API key"), ("  ", "no API key"), (f"{KEY}\n{KEY}", "line break")):
        if key is not None:
            monkeypatch.setenv("KEYAPI_TOKEN", key)
        assert main(["hashtags"]) == 4
        [line] = capsys.readouterr().err.splitlines()
        assert told in line
        assert "KEYAPI_TOKEN" in line
        assert KEY not in line


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("hashtags --regoin US", "--regoin. Did you mean --region?"),
        ("hashtagz", '"hashtagz". Did you mean "hashtag'),
        ("hashtags --period 8", '"8" for --period. Choose from: 7, 30, 120'),
        ("videos --order-by likes", "--order-by"),
        ("hashtags --limit 2.5", "--limit: must be a whole number, not '2.5'"),
        ("hashtags --limit -1", "--limit must be a whole number of at least 0, not -1"),
        ("hashtags --page-size 21", "--page-size must be a whole number from 1 to 20, not 21"),
        ("hashtags --start-page 0", "--start-page must be"),
        ("hashtags --prefetch -1", "--prefetch must be"),
        ("hashtags --region=", "--region must be"),
        ("hashtags --industry-id=", "--industry-id must be"),
        ("music --search-keyword=", "--search-keyword must be"),
        ("hashtags --rate 0", "--rate must be a number above 0, or inf, not 0.0"),
        ("hashtags --max-credits -2", "--max-credits must be"),
        ("hashtags -o --limit 3", "--limit looks like an option"),
        ("hashtags -o", "-o requires an argument"),
        ("hashtag", "NAME requires an argument"),
        ("hashtag #", "NAME must be"),
        ("hashtag a b", "'b'"),
        ("sound  ", "CLIP_ID requires an argument"),
        ("sandbox --qps 0", "--qps must be above 0"),
        ("sandbox --fault-rate 2", "--fault-rate must be from 0 to 1"),
        ("sandbox --port 70000", "--port must be from 0 to 65535"),
        (f"hashtags --token {KEY}", "no --token: set the environment variable KEYAPI_TOKEN"),
        (f"hashtags --api_key={KEY}", "no --api-key: set the environment variable KEYAPI_TOKEN"),
        (f"--api-key {KEY} hashtags", "no --api-key: set the environment variable KEYAPI_TOKEN"),
    ],
)
def test_usage(sandbox: Sandbox, capsys: Any, arguments: str, told: str) -> None:
    assert main(arguments.split()) == 2
    out, err = capsys.readouterr()
    [line] = err.splitlines()
    assert told in line
    assert KEY not in line
    assert out == ""
    assert sandbox.requests == []


def test_a_bad_base_url(sandbox: Sandbox, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYAPI_BASE_URL", "http://example.com")
    assert main(["hashtags"]) == 2
    assert "KEYAPI_BASE_URL" in capsys.readouterr().err


def test_verbose_tells_more_but_never_the_key(sandbox: Sandbox, capsys: Any) -> None:
    sandbox.fail(Fault.body(f"<html>{KEY}".encode()), page=2)
    assert main(["hashtags", "-v", *FAST]) == 1
    err = capsys.readouterr().err
    for detail in ("RequestEvent", "Traceback", "InvalidResponseError", "'page': '2'", "<html>"):
        assert detail in err
    assert KEY not in err


@pytest.mark.parametrize("verbose", [False, True])
def test_a_bug_is_told_as_one(
    sandbox: Sandbox, capsys: Any, monkeypatch: pytest.MonkeyPatch, verbose: bool
) -> None:
    def broken(*_: object) -> None:
        raise LookupError("nothing\nthere")

    monkeypatch.setattr(Sink, "write", broken)
    assert main(["hashtags", *["-v"] * verbose]) == 1
    err = capsys.readouterr().err
    assert "keyapi: this is a bug: LookupError: nothing there (-v tells more)\n" in err
    assert ("Traceback" in err) == verbose


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
    assert len(lines((tmp_path / "tags").read_text(encoding="utf-8"))) == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_stderr_that_cannot_be_written_stops_nothing(capsys: Any, monkeypatch: Any) -> None:
    with Path("/dev/full").open("wb", buffering=0) as raw, monkeypatch.context() as patch:
        stderr = io.TextIOWrapper(raw, encoding="utf-8", write_through=True)
        patch.setattr(sys, "stderr", stderr)
        assert main(["hashtags", "--sandbox", "--limit", "2"]) == 0
        stderr.detach()
    assert len(lines(capsys.readouterr().out)) == 2


# Without key and network


def test_help_needs_nothing(capsys: Any) -> None:
    for arguments in ([], ["--help"], ["hashtags", "--help"], ["sandbox", "-h"]):
        assert main(arguments) == 0
    out, err = capsys.readouterr()
    assert "25000000000 Games" in out
    assert "KEYAPI_TOKEN" in out
    assert err == ""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"{__version__}\n"


def test_completion_needs_nothing(capsys: Any, monkeypatch: Any, tmp_path: Path) -> None:
    def offered(*words: str) -> str:
        assert main(["__complete", *words]) == 0
        return str(capsys.readouterr().out)

    assert "US\tUnited States" in offered("hashtags", "--region", "")
    assert "all_regions" in offered("hashtags", "--region", "")
    assert "RU\tRussia" in offered("videos", "--region", "")
    assert "25000000000\tGames" in offered("hashtags", "--industry-id", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert main(["--install-completion", "bash"]) == 0
    assert "installed" in capsys.readouterr().err
    assert any(path.name == "keyapi" for path in tmp_path.rglob("*"))


def test_sandbox_needs_no_key(capsys: Any) -> None:
    assert main(["hashtags", "--sandbox", "--limit", "25", *FAST]) == 0
    out, err = capsys.readouterr()
    with Sandbox() as same:
        assert lines(out) == same.items("hashtags")[:25]
    assert err == "keyapi: asking a sandbox: the data is made up, no key is used\n"


# Starting


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


# keyapi sandbox


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_sandbox_serves_until_told_to_stop(
    capsys: Any, monkeypatch: pytest.MonkeyPatch, sent: signal.Signals, code: int
) -> None:
    reader, writer = os.pipe()
    exports: list[str] = []

    def stop() -> None:
        with os.fdopen(reader, encoding="utf-8") as stdout:
            exports.extend(stdout.readline() for _ in range(2))
            os.kill(os.getpid(), sent)

    before = signal.getsignal(signal.SIGTERM)
    stopper = threading.Thread(target=stop)
    stopper.start()
    with os.fdopen(writer, "w", encoding="utf-8") as stdout, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stdout)
        assert main(["sandbox", *["-q"] * (code == 0)]) == code
    stopper.join()
    assert exports[0].startswith("export KEYAPI_BASE_URL=http://127.0.0.1:")
    assert exports[1] == "export KEYAPI_TOKEN=sandbox-key\n"
    assert signal.getsignal(signal.SIGTERM) == before
    told = ["keyapi: serving made-up data; Ctrl-C stops it", "keyapi: interrupted"]
    assert capsys.readouterr().err.splitlines() == (told if code else [])


def test_a_port_that_is_taken(sandbox: Sandbox, capsys: Any) -> None:
    port = sandbox.url.rpartition(":")[2]
    assert main(["sandbox", "--port", port]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert "address already in use" in line
