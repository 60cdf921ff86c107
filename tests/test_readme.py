"""The README is true: every example runs, every command works, against the sandbox."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import shlex
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

import keyapi_async
from keyapi_async import KeyAPIClient
from keyapi_async.cli import main
from keyapi_async.sandbox import Fault, Sandbox

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
SECTIONS = [
    re.findall(r"^.+$", "\n".join(blocks), re.MULTILINE)
    for section in re.split(r"^##+ ", README, flags=re.MULTILINE)
    # scripts are run as such, below
    if (blocks := re.findall(r"```(?:sh|console)\n(?!#!)(.*?)```", section, re.DOTALL))
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


@pytest.fixture
def cron(tmp_path):
    """The README's daily crawl, set up as it says; call it with a line of the crontab."""
    trends = tmp_path / "trends"
    command = trends / "venv" / "bin" / "keyapi"
    command.parent.mkdir(parents=True)
    source = f"import sys\nsys.path[:0] = [{str(Path(keyapi_async.__path__[0]).parent)!r}]\n"
    run = "from keyapi_async.cli import main\nsys.exit(main())\n"
    command.write_text(f"#!{sys.executable}\n{source}{run}")
    command.chmod(0o755)
    (script,) = re.findall(r"```sh\n(#!/bin/sh\n.*?)```", README, re.DOTALL)
    (trends / "daily.sh").write_text(script)
    (key,) = re.findall(r"\. \./key\.sh +# (export KEYAPI_TOKEN=)\.\.\.$", script, re.MULTILINE)
    (plan,) = re.findall(r"cat > daily\.jsonl\n((?:\{.*\n)+)", README)
    (trends / "daily.jsonl").write_text(plan)
    (chmod,) = re.findall(r"^\$ (chmod .*)$", README, re.MULTILINE)
    (table,) = re.findall(r"```cron\n(.*?)```", README, re.DOTALL)
    jobs = [line.split(None, 5)[5] for line in table.splitlines() if not line.startswith("#")]
    assert len(jobs) == 2
    assert "%" not in table  # cron would make a line break of it

    def run_job(number, sandbox, token="sandbox-key"):
        (trends / "key.sh").write_text(f"{key}{token}\nexport KEYAPI_BASE_URL={sandbox.url}\n")
        subprocess.run(chmod, shell=True, cwd=trends, check=True)
        env = {"HOME": str(tmp_path), "SHELL": "/bin/sh", "PATH": "/usr/bin:/bin"}
        done = subprocess.run(["/bin/sh", "-c", jobs[number]], env=env, cwd=tmp_path, check=False)
        return done.returncode

    return run_job


@pytest.mark.skipif(sys.platform == "win32", reason="there is no cron")
def test_the_daily_crawl_as_cron_runs_it(cron, tmp_path):
    trends, out = tmp_path / "trends", tmp_path / "trends" / "hashtags.parquet"

    def exported():
        with duckdb.connect() as db:
            return db.execute(f"SELECT count(*), count(DISTINCT snapshot) FROM '{out}'").fetchall()

    with Sandbox(totals={"hashtags": 30, "videos": 20}) as sandbox:
        assert cron(0, sandbox, "wrong") != 0  # a failure that is not of single lists
        assert not out.exists()
        assert "401 apiKey is null" in (trends / "daily.log").read_text()

        sandbox.fail(Fault.status(404), page=2)
        assert cron(0, sandbox) == 0
        assert "1 of 3 lists failed" in (trends / "daily.log").read_text()
        assert exported() == [(50, 1)]
        assert cron(1, sandbox) == 0
        assert exported() == [(60, 1)]
        assert sandbox.credits_spent == 2 * (2 + 2 + 1)
        assert cron(1, sandbox) == 0
        assert sandbox.credits_spent == 2 * (2 + 2 + 1)
        assert "nothing to do" in (trends / "daily.log").read_text()
    assert (trends / "key.sh").stat().st_mode & 0o077 == 0


def test_the_readme_has_examples():
    assert len(EXAMPLES) >= 10
    assert sum(bool(COMMAND.search(line)) for line in README.splitlines()) >= 10
