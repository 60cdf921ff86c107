"""Files that appear when they are complete: what lies at their name before, meanwhile, after."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from keyapi_async.files import PartFile

posix = pytest.mark.skipif(sys.platform == "win32", reason="of POSIX")


def write(path: Path, text: str = "new", *, keep: bool = False, fail: bool = False) -> Path:
    """Write a file by its part; returns where the part was."""
    with PartFile(path) as file:
        file.keep = keep
        file.part.write_text(text)
        if fail:
            raise RuntimeError
    return file.part


def listed(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_a_file_has_its_name_once_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    with PartFile(str(path)) as file:
        assert file.path == path
        assert file.part == tmp_path / "out.csv.part"
        file.part.write_text("new")
        assert not path.exists()
    assert listed(tmp_path) == {"out.csv": "new"}


def test_a_file_stays_as_it_is_until_the_new_one_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("old")
    with PartFile(path) as file:
        file.part.write_text("new")
        assert path.read_text() == "old"
    assert listed(tmp_path) == {"out.csv": "new"}


@pytest.mark.parametrize("before", [None, "old"])
def test_a_block_that_fails_leaves_nothing_behind(tmp_path: Path, before: str | None) -> None:
    path = tmp_path / "out.csv"
    if before:
        path.write_text(before)
    with pytest.raises(RuntimeError):
        write(path, fail=True)
    assert listed(tmp_path) == ({"out.csv": before} if before else {})


def test_a_block_that_fails_may_keep_its_part(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    for text in ("first", "second"):
        with pytest.raises(RuntimeError):
            write(path, text, keep=True, fail=True)
    assert write(path, "third", keep=True).name == "out.csv.part3"
    assert listed(tmp_path) == {
        "out.csv": "third",
        "out.csv.part": "first",
        "out.csv.part2": "second",
    }


def test_a_block_that_fails_may_have_removed_its_part(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), PartFile(tmp_path / "out.csv") as file:
        file.part.unlink()
        raise RuntimeError
    assert listed(tmp_path) == {}


@posix
def test_the_mode_of_what_is_replaced_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("old")
    path.chmod(0o640)
    with PartFile(path) as file:
        assert stat.S_IMODE(file.part.stat().st_mode) == 0o640
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@posix
def test_a_new_file_has_the_mode_of_any_other(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.touch()
    write(tmp_path / "out.csv")
    assert (tmp_path / "out.csv").stat().st_mode == other.stat().st_mode


@posix
@pytest.mark.parametrize("before", [None, "old"])
def test_a_link_stays_a_link_and_its_target_is_replaced(tmp_path: Path, before: str | None) -> None:
    target, link = tmp_path / "data" / "real.csv", tmp_path / "out.csv"
    target.parent.mkdir()
    if before:
        target.write_text(before)
    link.symlink_to(target)
    assert write(link).parent == target.parent
    assert link.readlink() == target
    assert listed(target.parent) == {"real.csv": "new"}


@posix
def test_a_link_that_lies_where_the_part_would_is_not_followed(tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "out.csv"
    victim.write_text("precious")
    (tmp_path / "out.csv.part").symlink_to(victim)
    (tmp_path / "out.csv.part2").symlink_to(tmp_path / "missing")
    assert write(path).name == "out.csv.part3"
    assert (victim.read_text(), path.read_text()) == ("precious", "new")
    assert not (tmp_path / "missing").exists()


@posix
def test_a_device_or_a_pipe_is_written_to_as_it_is(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/null")):
        with PartFile(path) as file:
            assert file.part == path
        with pytest.raises(RuntimeError), PartFile(path):
            raise RuntimeError
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert Path("/dev/null").is_char_device()


def test_a_file_that_can_not_be_made_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write(tmp_path / "missing" / "out.csv")
