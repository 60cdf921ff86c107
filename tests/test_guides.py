"""The guides are true: every example runs, every command works, against the sandbox."""

from __future__ import annotations

import ast
import asyncio
import inspect
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import dask
import duckdb
import pytest
from attrs import frozen
from distributed import LocalCluster

import keyapi_async
from keyapi_async import KeyAPIClient
from keyapi_async.cli import main
from keyapi_async.sandbox import Fault, Sandbox
from tests.crawl.stored_crawls import write_crawl

ROOT = Path(__file__).parent.parent
GUIDES = [ROOT / "README.md", *sorted((ROOT / "keyapi_async").glob("**/README.md"))]
COMMAND = re.compile(r"(?:^|^\$ |&& )(keyapi .*)$")


@frozen
class Block:
    """One block of code of a guide."""

    guide: str
    section: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.guide}-{self.section}-{self.text.strip().splitlines()[0][:40]}"


def blocks() -> list[Block]:
    found = []
    for guide in GUIDES:
        sections = re.split(r"^##+ ", guide.read_text(encoding="utf-8"), flags=re.MULTILINE)
        for number, section in enumerate(sections):
            for language, text in re.findall(r"```(\w+)\n(.*?)```", section, re.DOTALL):
                name = str(guide.relative_to(ROOT).parent)
                found.append(Block(name, number, language, text))
    return found


BLOCKS = blocks()
EXAMPLES = [
    pytest.param(one, marks=[pytest.mark.slow] if "import dlt" in one.text else [], id=str(one))
    for one in BLOCKS
    if one.language == "python"
]
CRAWL = [block for block in BLOCKS if block.guide == "keyapi_async/crawl"]


def sessions() -> list[list[Block]]:
    """The shell blocks of each guide: their commands follow each other in one folder."""
    shells = [
        block
        for block in BLOCKS
        if block.language in ("sh", "console") and not block.text.startswith("#!")  # run below
    ]
    guides = dict.fromkeys(block.guide for block in shells)
    return [[block for block in shells if block.guide == guide] for guide in guides]


@pytest.fixture
def sandbox(monkeypatch):
    with Sandbox() as sandbox:
        monkeypatch.setenv("KEYAPI_BASE_URL", sandbox.url)
        monkeypatch.setenv("KEYAPI_TOKEN", sandbox.api_key)
        yield sandbox


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_runs(example, sandbox, keyapi_sandbox, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    if "import dlt" in example.text:
        write_crawl(tmp_path / "trends.sqlite")
        monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path / "dlt"))
        monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
    code = compile(example.text, f"<{example}>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)

    async def run():
        async with KeyAPIClient() as client:
            names = {"asyncio": asyncio, "client": client, "KeyAPIClient": KeyAPIClient}
            result = eval(code, names)
            if inspect.isawaitable(result):
                await result
            for name, test in names.items():
                if name.startswith("test_"):
                    made = test(keyapi_sandbox)
                    if inspect.isawaitable(made):
                        await made

    if "asyncio.run" in example.text:  # a whole program
        exec(code, {})
    else:
        asyncio.run(run())


@pytest.mark.parametrize("session", sessions(), ids=lambda session: session[0].guide)
def test_every_command_works(session, sandbox, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    lines = [line for block in session for line in block.text.splitlines()]
    queries = [line for line in lines if line.startswith("{")]
    Path("daily.jsonl").write_text("\n".join(queries), encoding="utf-8")
    for number, line in enumerate(lines):
        command = COMMAND.search(line)
        if command is None or line.startswith("keyapi sandbox"):  # which would not end
            continue
        words = shlex.split(command[1], comments=True)[1:]
        hurry = ["--rate", "1000"] if words[0] == "crawl" else []
        assert main(words + hurry) == 0, (command[1], capsys.readouterr().err)
        told = capsys.readouterr()
        assert told.out or told.err or "-o" in words or "-q" in words
        if line.startswith("$ ") and "--simulate" in words:  # what the guide says it says
            shown = [rest for rest in lines[number + 1 :] if rest]
            assert told.out.splitlines() == shown[: len(told.out.splitlines())]


def only(language: str, pattern: str) -> str:
    """The part of the crawl's guide that matches."""
    (found,) = [
        match[1]
        for block in CRAWL
        if block.language == language and (match := re.search(pattern, block.text, re.DOTALL))
    ]
    return found


@pytest.fixture
def cron(tmp_path):
    """The daily crawl of the guide, set up as it says; call it with a line of the crontab."""
    trends = tmp_path / "trends"
    command = trends / "venv" / "bin" / "keyapi"
    command.parent.mkdir(parents=True)
    source = f"import sys\nsys.path[:0] = [{str(Path(keyapi_async.__path__[0]).parent)!r}]\n"
    run = "from keyapi_async.cli import main\nsys.exit(main())\n"
    command.write_text(f"#!{sys.executable}\n{source}{run}")
    command.chmod(0o755)
    script = only("sh", r"(#!/bin/sh\n.*)")
    (trends / "daily.sh").write_text(script)
    (key,) = re.findall(r"\. \./key\.sh +# (export KEYAPI_TOKEN=)\.\.\.$", script, re.MULTILINE)
    (trends / "daily.jsonl").write_text(only("console", r"cat > daily\.jsonl\n((?:\{[^\n]*\n)+)"))
    chmod = only("console", r"\$ (chmod [^\n]*)\n")
    table = only("cron", r"(.*)")
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
@pytest.mark.slow
def test_the_daily_crawl_as_cron_runs_it(cron, tmp_path):
    trends = tmp_path / "trends"

    def lake():
        table = f"read_parquet('{trends}/lake/hashtags/**/*.parquet', hive_partitioning = true)"
        with duckdb.connect() as db:
            return db.execute(
                f"SELECT count(*), count(DISTINCT snapshot), bool_and(list_complete) FROM {table}"
            ).fetchall()

    with Sandbox(totals={"hashtags": 30, "videos": 20}) as sandbox:
        assert cron(0, sandbox, "wrong") == 4
        assert not (trends / "lake").exists()
        assert "401 apiKey is null" in (trends / "daily.log").read_text()

        sandbox.fail(Fault.status(404), page=2)
        assert cron(0, sandbox) == 3
        assert lake() == [(50, 1, False)]
        assert cron(1, sandbox) == 0
        assert lake() == [(60, 1, True)]
        assert sandbox.credits_spent == 2 * (2 + 2 + 1)
        assert cron(1, sandbox) == 0
        assert sandbox.credits_spent == 2 * (2 + 2 + 1)
        assert "nothing to do" in (trends / "daily.log").read_text()
    assert (trends / "key.sh").stat().st_mode & 0o077 == 0


def test_the_units_of_systemd_do_what_cron_does(tmp_path):
    units = {}
    for block in CRAWL:
        if block.language == "ini":
            name = re.match(r"# (\S+)\n", block.text)[1]
            units[name] = (tmp_path / name).write_text(block.text) and block.text
    assert [*units] == ["trends.service", "trends.timer"]
    assert "ExecStart=%h/trends/daily.sh\n" in units["trends.service"]
    times = re.findall(r"OnCalendar=\*-\*-\* (\d\d):(\d\d)\n", units["trends.timer"])
    table = re.findall(r"^(\d+) (\d+) \* \* \* ", only("cron", r"(.*)"), re.MULTILINE)
    assert [(int(hour), int(minute)) for hour, minute in times] == [
        (int(hour), int(minute)) for minute, hour in table
    ]
    if shutil.which("systemd-analyze"):
        script = tmp_path / "trends" / "daily.sh"
        script.parent.mkdir()
        script.write_text("#!/bin/sh\n")
        script.chmod(0o755)
        told = subprocess.run(
            ["systemd-analyze", "--user", "verify", *(tmp_path / name for name in units)],
            env={
                "HOME": str(tmp_path),
                "XDG_RUNTIME_DIR": str(tmp_path),
                "PATH": os.environ["PATH"],
            },
            capture_output=True,
            check=False,
            text=True,
        )
        assert (told.returncode, told.stdout + told.stderr) == (0, "")


def test_the_task_of_an_orchestrator_can_be_tried_again(monkeypatch, tmp_path):
    (task,) = [block.text for block in CRAWL if "def crawl_day" in block.text]
    assert len([line for line in task.splitlines() if line]) <= 14
    names = {}
    exec(task, names)
    monkeypatch.chdir(tmp_path)
    lake = "read_parquet('lake/hashtags/**/*.parquet', hive_partitioning = true)"
    with Sandbox(totals={"hashtags": 30, "music": 20}) as sandbox:
        monkeypatch.setenv("KEYAPI_BASE_URL", sandbox.url)
        monkeypatch.setenv("KEYAPI_TOKEN", sandbox.api_key)
        sandbox.fail(Fault.status(404), page=2)
        with pytest.raises(RuntimeError, match=": 1 lists failed: NotFoundError"):
            names["crawl_day"]()
        for _ in range(2):
            names["crawl_day"]()
            with duckdb.connect() as db:
                found = db.execute(f"SELECT count(*), bool_and(list_complete) FROM {lake}")
                assert found.fetchall() == [(60, True)]
            assert sandbox.credits_spent == 2 * (2 + 2 + 1 + 1)


@pytest.mark.slow
def test_the_crawl_on_dask(sandbox, monkeypatch, tmp_path):
    code = only("py", "(.*crawl_on_dask.*)").replace("keep_going", "qps=1e6, keep_going")
    (tmp_path / "shared" / "trends").mkdir(parents=True)
    (tmp_path / "keys.txt").write_text(f"{sandbox.api_key}\n{sandbox.api_key}\n")
    monkeypatch.chdir(tmp_path)
    with (
        dask.config.set({"temporary-directory": str(tmp_path / "dask")}),
        LocalCluster(n_workers=2, processes=False, dashboard_address=":0") as cluster,
    ):
        code = code.replace("tcp://scheduler:8786", cluster.scheduler_address)
        exec(code.replace('"/shared/', '"shared/'), {})
    assert sandbox.credits_spent == 2 * (4 * 5 + 2 * 25)
    with duckdb.connect() as db:
        lists = "read_parquet('shared/lake/*/*/*.parquet', union_by_name = true)"
        found = db.execute(f"SELECT count(*), bool_and(list_complete) FROM {lists}").fetchall()
    assert found == [(4 * 100 + 2 * 500, True)]


def test_the_guides_have_examples():
    assert len(GUIDES) >= 4
    assert len(EXAMPLES) >= 10
    assert sum(bool(COMMAND.search(line)) for b in BLOCKS for line in b.text.splitlines()) >= 10
    assert len((ROOT / "README.md").read_text().splitlines()) <= 250
