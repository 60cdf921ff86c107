"""Every command of the table is there, and says what it does."""

from __future__ import annotations

import inspect

import pytest

from keyapi_async import ENDPOINTS
from keyapi_async.cli import query_commands
from keyapi_async.cli.app import app
from keyapi_async.cli.commands import COMMANDS
from keyapi_async.cli.entry import run


def test_each_runs_a_function_and_is_described(capsys: pytest.CaptureFixture[str]) -> None:
    commands = {
        name: command for name, command in app.resolved_commands().items() if name[0] != "-"
    }
    assert len(commands) == len(COMMANDS) + len(ENDPOINTS)
    for name, command in commands.items():
        assert inspect.isfunction(command.default_command)
        assert run([name, "--help"]) == 0
        described, _, _ = command.help.partition("\n")
        assert described.endswith(".")
        assert " ".join(described.split()) in " ".join(capsys.readouterr().out.split())


def test_no_command_without_an_endpoint() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        query_commands.nonsense  # noqa: B018
