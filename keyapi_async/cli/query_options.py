"""Options made of the descriptors: each parameter of a query becomes one."""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping
from difflib import get_close_matches
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal, TypeVar

import attrs
from cyclopts import Parameter

from keyapi_async import Query, reference
from keyapi_async.cli.failures import USAGE, CommandError, option
from keyapi_async.cli.known_values import known_values
from keyapi_async.cli.options import FILTERS

_F = TypeVar("_F", bound=Callable[..., Any])
_P = inspect.Parameter

_ALIASES = {"industry_id": "--industry", "search_keyword": "--keyword"}


# -- what a descriptor says --------------------------------------------------------------------


def parameter_types(query: type[Query[Any]]) -> dict[str, Any]:
    """The type of each parameter of a query but the page's, as a command line has it."""
    found = {}
    for field in attrs.fields(query):
        if field.name not in ("page", "limit"):
            taken, *_ = typing.get_type_hints(field.converter).values()
            found[field.name] = _narrow(taken)
    return found


def _narrow(hint: Any) -> Any:
    """The part of a converter's union that a command line needs: of 7 and "7" only one."""
    is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    members = typing.get_args(hint) if is_union else (hint,)
    choices = [value for member in members for value in typing.get_args(member)]
    if bool in members:
        return bool
    if choices:
        numbers = {str(value) for value in choices if isinstance(value, int)}
        return Literal[tuple(value for value in choices if value not in numbers)]
    return str if str in members else members[0]


def parameter_help(query: type[Query[Any]]) -> dict[str, str]:
    """What the docstring of a query says of each parameter."""
    found = re.findall(r"^    (\w+): (.+(?:\n {5,}.+)*)", inspect.getdoc(query) or "", re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in found}


# -- options -----------------------------------------------------------------------------------


def query_options(*queries: type[Query[Any]], several: bool = False) -> list[inspect.Parameter]:
    """The options for some queries; the subject of a detail is a positional argument.

    Args:
        queries: The queries.
        several: Let all but flags take several values.
    """
    options: list[inspect.Parameter] = []
    for name in dict.fromkeys(name for query in queries for name in parameter_types(query)):
        having = [query for query in queries if name in parameter_types(query)]
        kind: Any = reduce(or_, [parameter_types(query)[name] for query in having])
        default = attrs.fields_dict(having[0])[name].default
        text = parameter_help(having[0]).get(name, "").removesuffix(".")
        if len(having) < len(queries):
            text += f" ({', '.join(query.name for query in having)})"
        place: Any = _P.KEYWORD_ONLY
        shape: dict[str, Any] = {"group": FILTERS, "alias": _ALIASES.get(name)}
        if name == getattr(having[0], "subject", None):
            place, default, shape = _P.POSITIONAL_ONLY, _P.empty, {}
        elif several and kind is not bool:
            kind, default = types.GenericAlias(tuple, (kind, ...)), ()
        known = {k: v for query in having for k, v in known_values(query).get(name, {}).items()}
        if known:
            shape["completer"] = _offer(known)
        spec = Parameter(help=f"{text}.", show_default=bool(default), **shape)
        options.append(_P(name, place, default=default, annotation=Annotated[kind, spec]))
    return options


def _offer(known: Mapping[str, str]) -> Callable[[object], Mapping[str, str]]:
    """A completer of known values that doesn't restrict to them."""
    return lambda _: known


def with_options(
    options: Iterable[inspect.Parameter], instead_of: Collection[str] = ()
) -> Callable[[_F], _F]:
    """Let a command take options beside its own parameters, or instead of some."""

    def decorate(function: _F) -> _F:
        signature = inspect.signature(function)
        own = [
            parameter
            for name, parameter in signature.parameters.items()
            if name not in instead_of and parameter.kind is not _P.VAR_KEYWORD
        ]
        every = sorted([*options, *own], key=lambda parameter: parameter.kind)
        function.__signature__ = signature.replace(parameters=every)  # type: ignore[attr-defined]
        return function

    return decorate


# -- unknown values ----------------------------------------------------------------------------


def check_known(plan: Iterable[Query[Any]]) -> None:
    """Refuse unknown values: credits would be spent on them, likely for nothing.

    Raises:
        CommandError: There is one; suggests what was meant.
    """
    for query in plan:
        usual = type(query)()
        for name, known in known_values(type(query)).items():
            value = getattr(query, name)
            if value not in known and value != getattr(usual, name):
                meant = suggest(value, known)
                raise CommandError(
                    f"{option(name)} {value!r} is not known for {query.name}"
                    f"{f': did you mean {meant}?' if meant else ''} "
                    "(--help lists what is known, --allow-unknown sends it all the same)",
                    USAGE,
                )


def suggest(value: str, known: Mapping[str, str]) -> str:
    """Guess what was meant instead of a value; empty if nothing is close."""
    codes = re.split(r"\W+", value.upper())
    if len(codes) > 1 and all(code in known for code in codes):
        return f"{' and '.join(codes)}, each in an option of its own"
    if likely := reference.likely_region(value, known):
        return likely
    texts = {name.casefold(): code for code, name in known.items()}
    texts |= {code.casefold(): code for code in known}
    near = get_close_matches(value.casefold(), texts, 1, cutoff=0.7)
    code = texts[near[0]] if near else ""
    return f"{code} ({known[code]})" if code.isdecimal() else code
