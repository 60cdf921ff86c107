"""The one cattrs converter, both ways: JSON to models, models to JSON.

On the way in, its hooks hand a whole class (or a whole list of one) to `msgspec.convert`, which
fills attrs classes natively: strict about types, exact about where a fault is, and several times
faster than structuring field by field.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar, get_args, get_origin

import attrs
import cattrs
import msgspec
from cattrs.gen import make_dict_unstructure_fn, override

from .errors import InvalidResponseError
from .models import Model, MusicDetail
from .queries import Query

_T = TypeVar("_T")

converter = cattrs.Converter(unstruct_collection_overrides={tuple: list})
_set_raw: Callable[[Model, dict[str, Any]], None] = vars(Model)["raw"].__set__


def structure(value: object, cls: type[_T], path: str) -> _T:
    """Make a model, or a tuple of models, of decoded JSON.

    Args:
        value: The decoded JSON.
        cls: What to make of it.
        path: Where in the body it stands, for the error.

    Raises:
        InvalidResponseError: A field has the wrong type or an identity is missing.
    """
    problem = ""
    try:
        return converter.structure(value, cls)
    except msgspec.ValidationError as error:
        problem = str(error)
    except UnicodeEncodeError:  # msgspec takes a lone surrogate in a text, but in no name
        problem = "a field's name holds half a character (a lone surrogate)"
    what, _, place = problem.partition(" - at `$")
    missing = re.search(r"missing required field `(.+)`", what)
    where = path + place.rstrip("`") + (f".{missing[1]}" if missing else "")
    raise InvalidResponseError(f"{where}: {what}", path=where)


def to_dict(model: Any) -> dict[str, Any]:
    """Give a model (or a `Page`) as plain JSON-ready data: its known fields by name.

    Main models have the fields unknown to this version under `extra`; `raw` is left out.
    """
    result: dict[str, Any] = converter.unstructure(model)
    return result


def wire_params(query: Query) -> dict[str, str]:
    """Give the query parameters as the wire has them: strings, in the documented order."""
    params: dict[str, str] = converter.unstructure(query)
    return params


@converter.register_structure_hook_factory(attrs.has)
def _one(cls: type[_T]) -> Callable[[Any, Any], _T]:
    def convert(value: Any, _: Any) -> _T:
        made = msgspec.convert(value, cls)
        if isinstance(made, Model):
            _keep_raw(made, value)
        return made

    return convert


def _is_tuple(cls: Any) -> bool:
    return get_origin(cls) is tuple and issubclass(get_args(cls)[0], Model)


@converter.register_structure_hook_factory(_is_tuple)
def _many(cls: Any) -> Callable[[Any, Any], Any]:
    def convert(value: Any, _: Any) -> Any:
        made = msgspec.convert(value, cls)
        for model, raw in zip(made, value, strict=True):
            _keep_raw(model, raw)
        return made

    return convert


def _keep_raw(model: Model, raw: dict[str, Any]) -> None:
    _set_raw(model, raw)
    if isinstance(model, MusicDetail):
        _set_raw(model.sound, raw["sound"])


@converter.register_unstructure_hook_factory(
    lambda cls: attrs.has(cls) and "raw" in attrs.fields_dict(cls)
)
def _without_raw(cls: type[Any]) -> Callable[[Any], dict[str, Any]]:
    known = make_dict_unstructure_fn(cls, converter, raw=override(omit=True))
    if not issubclass(cls, Model):
        return known

    def unstructure(model: Model) -> dict[str, Any]:
        return {**known(model), "extra": model.extra}

    return unstructure


@converter.register_unstructure_hook_factory(lambda cls: attrs.has(cls) and issubclass(cls, Query))
def _wire_strings(cls: type[Query]) -> Callable[[Query], dict[str, str]]:
    names = tuple(attrs.fields_dict(cls))

    def unstructure(query: Query) -> dict[str, str]:
        return {name: _wire(getattr(query, name)) for name in names}

    return unstructure


def _wire(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
