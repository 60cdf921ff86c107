"""Help, version and completion, which need neither key nor network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from keyapi_async import __version__
from keyapi_async.cli import main


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
    def complete(*words: str) -> str:
        assert main(["__complete", *words]) == 0
        return str(capsys.readouterr().out)

    assert "US\tUnited States" in complete("hashtags", "--region", "")
    assert "all_regions" in complete("hashtags", "--region", "")
    assert "all_regions" not in complete("music", "--region", "")
    assert "RU\tRussia" in complete("videos", "--region", "")
    assert "25000000000\tGames" in complete("hashtags", "--industry-id", "")
    assert "US\tUnited States" in complete("crawl", "hashtags", "--region", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert main(["--install-completion", "bash"]) == 0
    assert "installed" in capsys.readouterr().err
    assert any(path.name == "keyapi" for path in tmp_path.rglob("*"))
