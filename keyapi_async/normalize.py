"""Ids as text and no null lists, in all that was made of one answer.

msgspec fills a model with what the wire has: an id may be a number, a list null. Each class gets a
function made for it, which looks at the fields that may be either, in one loop over a page: an
`__attrs_post_init__`, called for each model, costs several times as much.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterator
from textwrap import indent
from typing import Any

import attrs


def normalizer(cls: type[Any]) -> Callable[[Any], None]:
    """Make the function that normalizes an object of that class in place, and all it holds.

    For a list of videos it reads:

        def normalize(top):
            for top_videos in top.videos:
                if type(top_videos.item_id) is int:
                    put(top_videos, 'item_id', str(top_videos.item_id))
                ...
    """
    code = "".join(_statements(cls, "top")) or "pass\n"
    names: dict[str, Any] = {"put": object.__setattr__}  # models are frozen
    exec("def normalize(top):\n" + indent(code, "    "), names)  # noqa: S102 - of our classes only
    made: Callable[[Any], None] = names["normalize"]
    return made


def _statements(cls: type[Any], model: str) -> Iterator[str]:
    """The statements that normalize the model of that name."""
    for field, kinds in _kinds_of_fields(cls):
        value, inner = f"{model}.{field}", f"{model}_{field}"
        if {str, int} <= {*kinds}:
            yield f"if type({value}) is int:\n    put({model}, {field!r}, str({value}))\n"
        for kind in kinds:
            if typing.get_origin(kind) is tuple:
                yield f"if {value} is None:\n    put({model}, {field!r}, ())\n"
                yield _block(f"for {inner} in {value}:\n", typing.get_args(kind)[0], inner)
            else:
                yield _block(f"if ({inner} := {value}) is not None:\n", kind, inner)


def _block(head: str, cls: type[Any], model: str) -> str:
    body = "".join(_statements(cls, model)) if attrs.has(cls) else ""
    return body and head + indent(body, "    ")


def _kinds_of_fields(cls: type[Any]) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Each field of a class, which may be generic, with the types it may have on the wire."""
    origin = typing.get_origin(cls) or cls
    given = dict(zip(getattr(origin, "__parameters__", ()), typing.get_args(cls), strict=True))
    hints = typing.get_type_hints(origin)
    for attribute in attrs.fields(origin):
        hint = hints[attribute.name]
        yield attribute.name, typing.get_args(given.get(hint, hint) | None)
