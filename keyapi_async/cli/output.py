"""Where items go: a table or JSON lines, to standard output or to a file."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

from rich.console import Console, RenderableType

from keyapi_async.cli.failures import CommandError
from keyapi_async.cli.messages import count, say
from keyapi_async.cli.options import Output
from keyapi_async.crawl import PartFile


class ItemWriter:
    """Takes items as they come.

    Args:
        stream: Where they go.
        render: Makes a table of items, and of whether they are the first; None for JSON lines.
    """

    def __init__(
        self, stream: TextIO, render: Callable[[Sequence[Any], bool], RenderableType] | None
    ) -> None:
        self.count = 0
        self._stream = stream
        self._render = render

    def write(self, items: Sequence[Any]) -> None:
        """Write items, and flush them."""
        if items:
            encoding = self._stream.encoding or "utf-8"
            lines = (json_line(item.raw, encoding) for item in items)
            self._stream.write("".join(lines) if self._render is None else self._table(items))
            self._stream.flush()
        self.count += len(items)

    def _table(self, items: Sequence[Any]) -> str:
        assert self._render is not None  # noqa: S101 - for the type checkers
        console = Console(file=self._stream)
        with console.capture() as capture:
            console.print(self._render(items, self.count == 0))
        # Without its padding a line also fits where the terminal finds a script wider than rich.
        return re.sub(r" +$", "", capture.get(), flags=re.MULTILINE)


@contextmanager
def writing_items(
    output: Output, render: Callable[[Sequence[Any], bool], RenderableType]
) -> Iterator[ItemWriter]:
    """A writer to where items are wanted.

    A file gets its name when all is written. If the command fails, a part with items in it stays:
    they have been paid for.

    Args:
        output: Where they are wanted, and in which form.
        render: Makes a table of items, and of whether they are the first.

    Raises:
        CommandError: The file can't be written.
    """
    on_terminal = output.output is None and sys.stdout.isatty()
    as_table = output.format == "table" or (output.format == "auto" and on_terminal)
    if output.output in (None, "-"):
        yield ItemWriter(sys.stdout, render if as_table else None)
        return
    file = PartFile(str(output.output))
    came = 0
    try:
        with file, file.part.open("w", encoding="utf-8", errors="replace", newline="\n") as stream:
            writer = ItemWriter(stream, render if as_table else None)
            try:
                yield writer
            finally:
                came = writer.count
                file.keep = came > 0
    except OSError as error:
        raise CommandError(f"can't write {file.path}: {error.strerror or error}") from error
    finally:
        if came and file.part != file.path and file.part.exists():
            say(f"incomplete: the {count(came, 'item')} that came are in {file.part}")


def json_line(value: dict[str, Any], encoding: str = "utf-8") -> str:
    """JSON on one line: readable, or in ASCII if it holds what can't be encoded."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode(encoding)
    except UnicodeEncodeError:  # a lone surrogate, or a terminal without Unicode
        text = json.dumps(value, separators=(",", ":"))
    return escape_controls(text) + "\n"


def escape_controls(text: str) -> str:
    """JSON without the control characters that JSON allows and a terminal obeys."""
    return re.sub("[\x7f-\x9f]", lambda found: f"\\u{ord(found[0]):04x}", text)
