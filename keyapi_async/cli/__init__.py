"""The command `keyapi`; it needs the extra `cli`."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command `keyapi`.

    Args:
        argv: The arguments after the command's name; by default those of the process.

    Returns:
        The exit code: 0 complete, 1 failure, 2 usage, 3 a crawl that ended incomplete,
        4 authentication, 5 budget or credits, 6 given up on 429, 130 interrupted, 141 the
        reader of the output closed it.
    """
    try:
        # Here and not above: without the extra this must end in one line, not in a traceback.
        from keyapi_async.cli.entry import run  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name != "cyclopts":
            raise
        print(  # noqa: T201
            "keyapi: cyclopts is missing; the command needs the extra: "
            "pip install 'keyapi-async[cli]'",
            file=sys.stderr,
        )
        return 1
    if argv is None:
        gc.freeze()  # what was imported stays; looking through it at exit takes 30 ms
        argv = sys.argv[1:]
    return run(argv)
