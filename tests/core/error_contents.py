"""All that can be read off an error."""

from __future__ import annotations

import pickle
import traceback

from keyapi_async import KeyAPIError


def contents_of(error: BaseException) -> str:
    """All that can be read off an error: texts, pickles, our frames' variables, its chain."""
    told = traceback.format_exception(error)
    chain: list[BaseException | None] = [error]
    for one in chain:  # grows on the way
        if one is None:
            continue
        chain += [other for other in (one.__cause__, one.__context__) if other not in chain]
        told += [str(one), repr(one), repr(one.args), repr(vars(one))]
        if isinstance(one, KeyAPIError):
            told += [pickle.dumps(one).decode("utf-8", "replace"), repr(one.__reduce__())]
        for frame, _ in traceback.walk_tb(one.__traceback__):
            if frame.f_globals["__name__"] in ("keyapi_async.session", "keyapi_async.transport"):
                told += map(repr, frame.f_locals.values())
    return "\n".join(told)
