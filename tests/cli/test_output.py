"""What the command writes: JSON lines, tables, files that appear when they are complete."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keyapi_async.cli import main
from keyapi_async.cli.output import ItemWriter, json_line
from keyapi_async.sandbox import Fault, Sandbox
from tests.cli.command_line import FAST, Run, hashtags_body, json_lines


def test_text_is_kept_as_it_is_unless_it_cannot_be_encoded(sandbox: Sandbox, run: Run) -> None:
    sandbox.fail(Fault.body(hashtags_body("日本🐶", "half \ud83d of it")))
    _, out, _ = run("hashtags")
    assert "日本🐶" in out
    assert r"half \ud83d of it" in out
    assert [item["hashtag_name"] for item in json_lines(out)] == ["日本🐶", "half \ud83d of it"]


def test_json_has_nothing_that_a_terminal_obeys() -> None:
    line = json_line({"name": "\x1b[2J\x9b2J\x7f\r日\u200d本"})
    assert line == '{"name":"\\u001b[2J\\u009b2J\\u007f\\r日\u200d本"}\n'
    assert json_line({"name": "日"}, "ascii") == '{"name":"\\u65e5"}\n'


def test_a_file_appears_when_it_is_complete(sandbox: Sandbox, capsys: Any, tmp_path: Path) -> None:
    target = tmp_path / "tags.jsonl"
    target.write_text("old")
    target.chmod(0o640)
    link = tmp_path / "link"
    link.symlink_to(target)
    assert main(["hashtags", "-o", str(link), *FAST]) == 0
    assert json_lines(target.read_text(encoding="utf-8")) == sandbox.items("hashtags")
    assert target.stat().st_mode & 0o777 == 0o640
    assert sorted(tmp_path.iterdir()) == [link, target]
    assert capsys.readouterr() == ("", "")


def test_a_part_follows_no_link(sandbox: Sandbox, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "tags.part").symlink_to(victim)
    assert main(["hashtags", "-o", str(tmp_path / "tags"), "--limit", "1"]) == 0
    assert victim.read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tags", "tags.part", "victim"]


@pytest.mark.skipif(sys.platform != "linux", reason="others have no such names")
def test_a_name_that_is_not_utf8(sandbox: Sandbox, run: Run) -> None:
    name = os.fsdecode(b"caf\xe9")
    assert run("hashtags --limit 2 -o", name) == (0, "", "")
    assert len(json_lines(Path(name).read_text(encoding="utf-8"))) == 2
    sandbox.fail(Fault.body(b"{}"), page=2)
    code, _, err = run("hashtags --rate inf -o", name)
    assert (code, "are in " in err, err.isprintable() or "\ufffd" in err) == (1, True, True)


def test_a_table_in_a_file_is_plain(sandbox: Sandbox, tmp_path: Path) -> None:
    target = tmp_path / "tags.txt"
    assert main(["hashtags", "--format", "table", "--output", str(target), *FAST]) == 0
    text = target.read_text(encoding="utf-8")
    assert len(text.splitlines()) == 101
    assert "\x1b" not in text


def test_dash_is_standard_output(sandbox: Sandbox, terminal: Callable[..., str]) -> None:
    assert json_lines(terminal("hashtags -o - -q --limit 3")) == sandbox.items("hashtags")[:3]


def test_what_came_before_a_failure_is_kept_apart(
    sandbox: Sandbox, capsys: Any, tmp_path: Path
) -> None:
    target = tmp_path / "tags.jsonl"
    sandbox.fail(Fault.body(b"{}"), page=2)
    assert main(["hashtags", "-o", str(target), *FAST]) == 1
    part = tmp_path / "tags.jsonl.part"
    assert list(tmp_path.iterdir()) == [part]
    assert json_lines(part.read_text(encoding="utf-8")) == sandbox.items("hashtags")[:20]
    told = capsys.readouterr().err.splitlines()
    assert told[0] == f"keyapi: incomplete: the 20 items that came are in {part}"
    assert len(told) == 2


def test_nothing_is_left_if_nothing_came(sandbox: Sandbox, run: Run) -> None:
    sandbox.fail(Fault.status(404))
    code, _, err = run("hashtag nosuch -o tag.json")
    assert (code, len(err.splitlines())) == (1, 1)
    assert list(Path.cwd().iterdir()) == []


def test_interrupted_between_pages(
    sandbox: Sandbox, capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = ItemWriter.write

    def interrupted(writer: ItemWriter, items: Any) -> None:
        if writer.count == 40:
            raise KeyboardInterrupt
        write(writer, items)

    monkeypatch.setattr(ItemWriter, "write", interrupted)
    assert main(["hashtags", "-o", str(tmp_path / "tags"), *FAST]) == 130
    [part] = tmp_path.iterdir()
    assert len(json_lines(part.read_text(encoding="utf-8"))) == 40
    assert capsys.readouterr().err.endswith("\nkeyapi: interrupted\n")


def test_a_device_is_written_to_and_stays(sandbox: Sandbox) -> None:
    assert main(["hashtags", "-o", os.devnull, "--limit", "1"]) == 0
    assert not Path(os.devnull).is_file()
    assert not Path(os.devnull + ".part").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk(sandbox: Sandbox, capsys: Any) -> None:
    assert main(["hashtags", "-o", "/dev/full", "--limit", "1"]) == 1
    assert capsys.readouterr().err == "keyapi: can't write /dev/full: No space left on device\n"


def test_a_file_that_cannot_be_written_costs_nothing(
    sandbox: Sandbox, capsys: Any, tmp_path: Path
) -> None:
    assert main(["hashtags", "-o", str(tmp_path / "no" / "such")]) == 1
    assert main(["hashtags", "-o", str(tmp_path)]) == 1
    assert sandbox.requests == []
    told = capsys.readouterr().err.splitlines()
    assert told[0].endswith(": No such file or directory")
    assert told[1].endswith(": Is a directory")
