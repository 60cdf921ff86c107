"""Where items go: a table or JSON lines, to standard output or to a file."""

from __future__ import annotations

import io
import itertools
import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Literal, Self, TextIO, TypeVar

from rich.console import Console, RenderableType

from keyapi_async.models import Model

from .errors import CommandError, say

T = TypeVar("T", bound=Model)


class Sink(Generic[T]):
    """Takes items as they come; used as a context manager.

    A file gets its name when all is written: until then it is `FILE.part`. If the command
    fails, that stays if there is anything in it, for its items have been paid for.

    Args:
        path: The file; None or `-` for standard output.
        form: As JSON lines or as a table; `auto` is a table on a terminal alone.
        render: How some items look on a terminal; told whether they are the first.
    """

    def __init__(
        self,
        path: str | None,
        form: Literal["auto", "table", "jsonl"],
        render: Callable[[Sequence[T], bool], RenderableType],
    ) -> None:
        self.count = 0
        self._path = None if path in (None, "-") else Path(os.path.realpath(str(path)))
        on_terminal = path is None and sys.stdout.isatty()
        self._as_table = form == "table" or (form == "auto" and on_terminal)
        self._render = render
        self._part: Path | None = None
        self._stream: TextIO = sys.stdout

    def __enter__(self) -> Self:
        if self._path is not None:
            self._open(self._path)
        elif self._as_table and isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")  # rather a `?` than no table
        return self

    def write(self, items: Sequence[T]) -> None:
        """Write some items, and let whoever reads them see them now."""
        if items:
            self._stream.write(self._table(items) if self._as_table else self._lines(items))
            self._stream.flush()
        self.count += len(items)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        if self._path is None:
            return
        try:
            self._stream.close()
            if self._part is None:
                return
            if exc_type is None:
                self._part.replace(self._path)
            elif self.count:
                say(f"incomplete: the {self.count} items that came are in {self._part}")
            else:
                self._part.unlink()
        except OSError as error:
            raise _unwritable(self._path, error) from error

    def _open(self, path: Path) -> None:
        target = path
        try:
            if path.is_file() or not path.exists():  # a device or a pipe must not be replaced
                target = self._part = _part_of(path)
            self._stream = target.open("w", encoding="utf-8", errors="replace", newline="\n")
        except OSError as error:
            raise _unwritable(path, error) from error

    def _table(self, items: Sequence[T]) -> str:
        console = Console(file=self._stream)
        with console.capture() as capture:
            console.print(self._render(items, self.count == 0))
        # Without its padding a line also fits where the terminal finds a script wider than rich.
        return re.sub(r" +$", "", capture.get(), flags=re.MULTILINE)

    def _lines(self, items: Sequence[T]) -> str:
        encoding = self._stream.encoding or "utf-8"
        return "".join(json_line(item.raw, encoding) for item in items)


def json_line(value: dict[str, Any], encoding: str = "utf-8") -> str:
    """JSON on one line: readable, or in ASCII if it holds what can't be encoded."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode(encoding)
    except UnicodeEncodeError:  # half an emoji, or a terminal of the last century
        text = json.dumps(value, separators=(",", ":"))
    return text + "\n"


def _part_of(path: Path) -> Path:
    """A new file beside the other: what an earlier run left incomplete has been paid for."""
    names = (f"{path.name}.part{number}" for number in itertools.count(2))
    parts = map(path.with_name, itertools.chain([f"{path.name}.part"], names))
    return next(part for part in parts if not part.exists())


def _unwritable(path: Path, error: OSError) -> CommandError:
    return CommandError(f"can't write {path}: {error.strerror or error}")
