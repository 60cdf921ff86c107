"""Files that appear when they are complete."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self


class PartFile:
    """A new file beside another, which takes its name once it is complete.

    Used as a context manager. What has the name stays as it is until then, and its mode is kept;
    a link to it stays a link. A device or a pipe is written to as it is. If the block fails, the
    part is removed, unless `keep` says otherwise.

    Args:
        path: The file to make or replace.
        hidden: Let the part's name begin with a dot, so that those who read the whole folder pass
            it over.

    Attributes:
        path: Where it will be, links resolved.
        part: Where to write.
        keep: Set it to keep the part of a block that fails.

    Raises:
        OSError: It can't be made.
    """

    def __init__(self, path: str | os.PathLike[str], *, hidden: bool = False) -> None:
        self.path = self.part = Path(os.path.realpath(path))
        self._hidden = hidden
        self.keep = False

    def __enter__(self) -> Self:
        try:
            mode = self.path.stat().st_mode
        except FileNotFoundError:
            mode = None
        if mode is None or stat.S_ISREG(mode):
            self.part = _create_beside(self.path, hidden=self._hidden)
            if mode is not None:
                self.part.chmod(stat.S_IMODE(mode))
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        if self.part == self.path:
            return
        if exc_type is None:
            self.part.replace(self.path)
        elif not self.keep:
            self.part.unlink(missing_ok=True)


def is_one_of(output: str | os.PathLike[str], paths: Iterable[str | os.PathLike[str]]) -> bool:
    """Whether a file to be written is one of those that are read."""
    path = Path(output)
    return path.exists() and any(Path(one).exists() and path.samefile(one) for one in paths)


def _create_beside(path: Path, *, hidden: bool) -> Path:
    """An empty file of a name nobody has, whatever links others may have laid."""
    name = f"{'.' if hidden else ''}{path.name}.part"
    part = path.with_name(name)
    number = 1
    while True:
        try:
            os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        except FileExistsError:  # what an earlier run left incomplete has been paid for
            number += 1
            part = path.with_name(f"{name}{number}")
        else:
            return part
