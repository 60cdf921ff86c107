"""`keyapi sandbox`: serves until it is told to stop."""

from __future__ import annotations

import inspect
import os
import signal
import sys
import threading
from typing import Any

import pytest

from keyapi_async.cli import main
from keyapi_async.sandbox import Sandbox


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Serve until the exports are read, then send a signal; the code and the exports."""

    def serve(number: int, *arguments: str) -> tuple[int, list[str]]:
        reader, writer = os.pipe()
        exports: list[str] = []

        def stop() -> None:
            with os.fdopen(reader, encoding="utf-8") as stdout:
                exports.extend(stdout.readline() for _ in range(2))
                os.kill(os.getpid(), number)

        stopper = threading.Thread(target=stop)
        stopper.start()
        with os.fdopen(writer, "w", encoding="utf-8") as stdout, monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", stdout)
            code = main(["sandbox", *arguments])
        stopper.join()
        return code, exports

    return serve


@pytest.mark.parametrize(
    ("sent", "code"), [(signal.SIGTERM, 0), (signal.SIGHUP, 0), (signal.SIGINT, 130)]
)
def test_it_serves_until_told_to_stop(
    serve: Any, capsys: Any, sent: signal.Signals, code: int
) -> None:
    before = signal.getsignal(sent)
    got, exports = serve(sent, *["-q"] * (code == 0))
    assert got == code
    assert exports[0].startswith("export KEYAPI_BASE_URL=http://127.0.0.1:")
    assert exports[1] == "export KEYAPI_TOKEN=sandbox-key\n"
    assert signal.getsignal(sent) == before
    told = ["keyapi: serving made-up data; Ctrl-C stops it", "keyapi: interrupted"]
    assert capsys.readouterr().err.splitlines() == (told if code else [])


@pytest.mark.skipif(
    "day" not in inspect.signature(Sandbox).parameters, reason="this sandbox knows no days"
)
def test_days(serve: Any) -> None:
    assert serve(signal.SIGTERM, "--day", "2026-02-01", "--day-seconds", "10", "-q")[0] == 0
    assert main(["sandbox", "--day", "tomorrow"]) == 2
