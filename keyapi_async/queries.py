"""One class per endpoint: its path, parameters, defaults, bounds and wire strings.

A query is a value: it is checked when made, and can be hashed, pickled, printed and compared.
Its fields stand in the documented order, which is the order on the wire.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, ClassVar, Self, TypeVar

from attrs import Attribute, Converter, field, frozen

from .errors import shown

MAX_LIMIT = 20
"""The most items a page can have; the API silently clamps what is larger."""

NO_INDUSTRY = "nothing"
NO_SEARCH = "FALSE"

_T = TypeVar("_T")


def whole_number(name: str, value: object, low: int, high: int | None = None) -> int:
    """Take a whole number within bounds, as an int or as its decimal digits.

    Raises:
        ValueError: It isn't one; the text names parameter, value and what is allowed.
    """
    number = _integer(value)
    if number is None or number < low or (high is not None and number > high):
        allowed = f"from {low} to {high}" if high is not None else f"of at least {low}"
        raise ValueError(f"{name} must be a whole number {allowed}, not {shown(value)}")
    return number


def _integer(value: object) -> int | None:
    if isinstance(value, str):
        return int(value) if re.fullmatch(r"0|-?[1-9][0-9]{0,17}", value) else None
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() < 64:
        return int(value)
    return None


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{name} must be a non-empty text, not {shown(value)}")
    if not value.isprintable() and any(0xD800 <= ord(char) <= 0xDFFF for char in value):
        raise ValueError(
            f"{name} must be text that can be sent, without half a character "
            f"(a lone surrogate), not {shown(value)}"
        )
    return str.__str__(value)  # of a member of a str enum, its value


def _region(name: str, value: object) -> str:
    text = _text(name, value)
    if text.split() != [text]:
        raise ValueError(f"{name} must be a country code without spaces, not {shown(value)}")
    return text


def _identifier(name: str, value: object) -> str:
    number = _integer(value)
    return _text(name, value if number is None or number < 0 else str(number))


def _hashtag_name(name: str, value: object) -> str:
    bare = _text(name, value).lstrip("#")
    if not bare.strip():
        raise ValueError(f"{name} must be a name, with or without #, not {shown(value)}")
    return bare


def _flag(name: str, value: object) -> bool:
    if value is True or value == "true":
        return True
    if value is False or value == "false":
        return False
    raise ValueError(f"{name} must be True, False, 'true' or 'false', not {shown(value)}")


def _one_of(*allowed: int | str) -> Callable[[str, object], Any]:
    def check(name: str, value: object) -> int | str:
        number = _integer(value)
        found = value if number is None else number
        if isinstance(found, int | str) and found in allowed:
            return allowed[allowed.index(found)]
        names = ", ".join(map(str, allowed))
        raise ValueError(f"{name} must be one of {names}, not {shown(value)}")

    return check


def _none_as(nothing: str, check: Callable[[str, object], str]) -> Callable[[str, object], str]:
    def or_nothing(name: str, value: object) -> str:
        return nothing if value is None else check(name, value)

    return or_nothing


def _page(name: str, value: object) -> int:
    return whole_number(name, value, 1)


def _limit(name: str, value: object) -> int:
    return whole_number(name, value, 1, MAX_LIMIT)


_list_period = _one_of(7, 30, 120)


def _param(check: Callable[[str, object], _T], default: _T) -> Any:
    def convert(value: object, attribute: Attribute[_T]) -> _T:
        return check(attribute.name, value)

    return field(default=default, converter=Converter(convert, takes_field=True))


@frozen(kw_only=True)
class Query:
    """What every query has in common; the converter makes wire strings of it."""

    path: ClassVar[str]

    @classmethod
    def of(cls, **params: object) -> Self:
        """Make a query of whatever a caller gave; its fields are checked and made uniform.

        Raises:
            ValueError: A value can't be right; names parameter, value and what is allowed.
        """
        return cls(**params)


@frozen(kw_only=True, eq=False, repr=False)
class ListQuery(Query):
    """A query of a list: it has pages.

    Attributes:
        list_key: Where in `data` the items are.
        item_key: The field that identifies an item.
    """

    list_key: ClassVar[str]
    item_key: ClassVar[str]

    page: int = _param(_page, 1)
    limit: int = _param(_limit, MAX_LIMIT)


@frozen(kw_only=True)
class HashtagsQuery(ListQuery):
    """Trending hashtags."""

    path: ClassVar[str] = "/v1/tiktok/trending/hashtags"
    list_key: ClassVar[str] = "list"
    item_key: ClassVar[str] = "hashtag_id"

    page: int = _param(_page, 1)
    limit: int = _param(_limit, MAX_LIMIT)
    period: int = _param(_list_period, 7)
    region: str = _param(_region, "all_regions")
    industry_id: str = _param(_none_as(NO_INDUSTRY, _identifier), NO_INDUSTRY)
    new_to_top_100: bool = _param(_flag, default=False)


@frozen(kw_only=True)
class HashtagDetailQuery(Query):
    """One hashtag."""

    path: ClassVar[str] = "/v1/tiktok/trending/hashtag/detail"

    period: int = _param(_one_of(7, 30, 120, 365, 1095), 7)
    region: str = _param(_region, "all_regions")
    hashtag_name: str = _param(_hashtag_name, "ufc324")


@frozen(kw_only=True)
class VideosQuery(ListQuery):
    """Trending videos."""

    path: ClassVar[str] = "/v1/tiktok/trending/videos"
    list_key: ClassVar[str] = "videos"
    item_key: ClassVar[str] = "item_id"

    page: int = _param(_page, 1)
    period: int = _param(_list_period, 7)
    limit: int = _param(_limit, MAX_LIMIT)
    region: str = _param(_region, "US")
    order_by: str = _param(_one_of("vv", "like", "comment", "repost"), "vv")


@frozen(kw_only=True)
class MusicQuery(ListQuery):
    """Trending sounds."""

    path: ClassVar[str] = "/v1/tiktok/trending/music"
    list_key: ClassVar[str] = "sound_list"
    item_key: ClassVar[str] = "clip_id"

    search_keyword: str = _param(_none_as(NO_SEARCH, _text), NO_SEARCH)
    page: int = _param(_page, 1)
    limit: int = _param(_limit, MAX_LIMIT)
    period: int = _param(_list_period, 7)
    region: str = _param(_region, "US")
    new_to_top_100: bool = _param(_flag, default=False)
    commercial_music: bool = _param(_flag, default=False)


@frozen(kw_only=True)
class MusicDetailQuery(Query):
    """One sound."""

    path: ClassVar[str] = "/v1/tiktok/trending/music/detail"

    period: int = _param(_list_period, 7)
    region: str = _param(_region, "US")
    clip_id: str = _param(_identifier, "6703723351497508865")
