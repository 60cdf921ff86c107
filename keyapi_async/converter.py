"""The one cattrs converter, both ways: JSON to models, models to JSON.

On the way in, its hook hands a whole class to msgspec, which fills attrs classes natively, from
bytes or from decoded JSON: strict about types, exact about where a fault is, and several times
faster than structuring field by field.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import msgspec

from .errors import InvalidResponseError
from .models import Model
from .normalize import normalizer
from .queries import Query
from .raw import WHOLE, Source, attach, loads

if TYPE_CHECKING:
    from cattrs import Converter

_T = TypeVar("_T")
_M = TypeVar("_M", bound=Model)


@cache
def get_converter() -> Converter:
    """The converter; a client makes it, or whoever needs it first, as cattrs takes long to load."""
    from cattrs import Converter  # noqa: PLC0415

    made = Converter(unstruct_collection_overrides={tuple: list})
    made.register_structure_hook_factory(attrs.has, _by_msgspec)
    made.register_unstructure_hook_factory(_is_model, _with_extra)
    made.register_unstructure_hook_factory(_is_query, _wire_strings)
    made.register_unstructure_hook(datetime, datetime.isoformat)
    return made


def structure(data: object, cls: type[_T]) -> _T:
    """Make a model of the `data` of an answer.

    Args:
        data: JSON as it came (`msgspec.Raw`), or decoded.
        cls: What to make of it.

    Raises:
        InvalidResponseError: It is missing or empty, a field has the wrong type, or an identity
            is missing; `path` says where.
    """
    try:
        return get_converter().structure(data, cls)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        pass  # find out why, from decoded JSON
    is_json = True
    try:
        data = loads(bytes(data)) if isinstance(data, msgspec.Raw) else data
    except ValueError:
        is_json = False  # not raised here: the ValueError holds the text, and whatever it echoes
    if not is_json:
        raise InvalidResponseError("data: it is not JSON", path="data")
    if not isinstance(data, dict) or not data:
        found = "empty" if data == {} else "null" if data is None else type(data).__name__
        raise InvalidResponseError(
            f"data: expected an object with content, it is {found}", path="data"
        )
    problem = ""
    try:
        return get_converter().structure(data, cls)
    except UnicodeEncodeError:  # msgspec takes a lone surrogate in a text, but in no name
        problem = "a field's name holds half a character (a lone surrogate)"
    except (msgspec.ValidationError, ValueError) as error:  # or an id with thousands of digits
        problem = str(error)
    what, _, place = problem.partition(" - at `$")
    missing = re.search(r"missing required field `(.+)`", what)
    where = "data" + place.rstrip("`") + (f".{missing[1]}" if missing else "")
    raise InvalidResponseError(f"{where}: {what}", path=where)


def to_dict(model: Any) -> dict[str, Any]:
    """Give a model (or a `Page`) as plain JSON-ready data: its known fields by name.

    Main models have the fields unknown to this version under `extra`; `raw` is left out.
    """
    result: dict[str, Any] = get_converter().unstructure(model)
    return result


def from_json(cls: type[_M], text: str) -> _M:
    """Make a main model of its JSON: what `raw_json` gave.

    Raises:
        InvalidResponseError: It is none.
    """
    data = text.encode(errors="surrogatepass")
    model = structure(msgspec.Raw(data), cls)
    attach_all(model, Source(b'{"data":%b}' % data))
    return model


def attach_all(model: Model, source: Source, place: str = WHOLE) -> None:
    """Tell a model, and the main model it may hold, what it was made from."""
    attach(model, source, place)
    cls: Any = type(model)
    for name in _inner_models(cls):
        attach(getattr(model, name), source, name)


@cache
def _inner_models(cls: Any) -> dict[str, type[Model]]:
    """The fields that hold a main model."""
    types = {a.name: a.type for a in attrs.fields(attrs.resolve_types(cls))}
    return {n: t for n, t in types.items() if isinstance(t, type) and issubclass(t, Model)}


def from_dict(cls: type[_M], data: Mapping[str, Any]) -> _M:
    """Make a main model of an item as received, or of what `to_dict` gave.

    Args:
        cls: The model, such as `Hashtag`.
        data: The item; it becomes `raw`.

    Raises:
        InvalidResponseError: It is none; `path` says where.
    """
    raw = _without_extra(cls, data)
    model = structure(raw, cls)
    attach_all(model, Source(raw))
    return model


def _without_extra(cls: Any, data: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that `to_dict` puts under `extra` beside the others again."""
    raw = dict(data)
    if isinstance(raw.get("extra"), dict) and "extra" not in attrs.fields_dict(cls):
        raw |= raw.pop("extra")
    for name, inner in _inner_models(cls).items():
        if isinstance(raw.get(name), dict):
            raw[name] = _without_extra(inner, raw[name])
    return raw


def wire_params(query: Query[Any]) -> dict[str, str]:
    """Give the query parameters as the wire has them: strings, in the documented order."""
    params: dict[str, str] = get_converter().unstructure(query)
    return params


def filters(query: Query[Any]) -> dict[str, str]:
    """Give the same without the page: what makes a list the one it is."""
    return {name: value for name, value in wire_params(query).items() if name != "page"}


def _by_msgspec(cls: type[_T]) -> Callable[[Any, Any], _T]:
    decoder = msgspec.json.Decoder(cls)
    normalize = normalizer(cls)

    def make(value: Any, _: Any) -> _T:
        is_json = isinstance(value, (bytes, msgspec.Raw))
        made = decoder.decode(value) if is_json else msgspec.convert(value, cls)
        normalize(made)
        return made

    return make


def _is_model(cls: type[Any]) -> bool:
    return attrs.has(cls) and issubclass(cls, Model)


def _with_extra(cls: type[Model], converter: Converter) -> Callable[[Model], dict[str, Any]]:
    from cattrs.gen import make_dict_unstructure_fn  # noqa: PLC0415 - as in `get_converter`

    known = make_dict_unstructure_fn(cls, converter)

    def unstructure(model: Model) -> dict[str, Any]:
        return {**known(model), "extra": model.extra}

    return unstructure


def _is_query(cls: type[Any]) -> bool:
    return attrs.has(cls) and issubclass(cls, Query)


def _wire_strings(cls: type[Query[Any]]) -> Callable[[Query[Any]], dict[str, str]]:
    names = tuple(attrs.fields_dict(cls))

    def unstructure(query: Query[Any]) -> dict[str, str]:
        return {name: _wire(getattr(query, name)) for name in names}

    return unstructure


def _wire(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
