"""The README is true: every example runs, every command works, against the sandbox."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import shlex
from pathlib import Path

import pytest

from keyapi_async import KeyAPIClient
from keyapi_async.cli import main
from keyapi_async.sandbox import Sandbox

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
SECTIONS = [
    re.findall(r"^.+$", "\n".join(blocks), re.MULTILINE)
    for section in re.split(r"^##+ ", README, flags=re.MULTILINE)
    if (blocks := re.findall(r"```(?:sh|console)\n(.*?)```", section, re.DOTALL))
]
COMMAND = re.compile(r"(?:^|^\$ |&& )(keyapi .*)$")


@pytest.fixture
def sandbox(monkeypatch):
    with Sandbox() as sandbox:
        monkeypatch.setenv("KEYAPI_BASE_URL", sandbox.url)
        monkeypatch.setenv("KEYAPI_TOKEN", sandbox.api_key)
        yield sandbox


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_every_example_runs(example, sandbox, keyapi_sandbox, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    code = compile(example, "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)

    async def run():
        async with KeyAPIClient() as client:
            names = {"asyncio": asyncio, "client": client, "KeyAPIClient": KeyAPIClient}
            result = eval(code, names)
            if inspect.isawaitable(result):
                await result
            for name, test in names.items():
                if name.startswith("test_"):
                    await test(keyapi_sandbox)

    if "asyncio.run" in example:  # a whole program
        exec(code, {})
    else:
        asyncio.run(run())
    assert sandbox.requests or keyapi_sandbox.requests


@pytest.mark.parametrize("lines", SECTIONS, ids=lambda lines: lines[0][:40])
def test_every_command_works(lines, sandbox, monkeypatch, tmp_path, capsys):
    """The commands of a section follow each other in one folder."""
    monkeypatch.chdir(tmp_path)
    queries = [line for line in lines if line.startswith("{")]
    Path("daily.jsonl").write_text("\n".join(queries), encoding="utf-8")
    for command in filter(None, map(COMMAND.search, lines)):
        words = shlex.split(command[1])[1:]
        hurry = ["--rate", "1000"] if words[0] == "crawl" else []
        assert main(words + hurry) == 0, (command[1], capsys.readouterr().err)
        told = capsys.readouterr()
        assert told.out or told.err or "-o" in words


def test_the_readme_has_examples():
    assert len(EXAMPLES) >= 10
    assert sum(bool(COMMAND.search(line)) for lines in SECTIONS for line in lines) >= 10
