"""Made-up hashtags, videos and sounds that behave as real ones do.

Each is a pure function of seed, query, day and its index among its kind; a detail finds the index
by name or id, so that it agrees with the lists. Hashtags omit unknown fields, sounds send null.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import islice
from random import Random
from typing import Final, TypeAlias
from urllib.parse import quote
from zlib import crc32

from attrs import field, frozen

from .days import FIRST_DAY, count_days
from .names import (
    ALL_REGIONS,
    AUDIENCE_COUNTRIES,
    AUTHORS,
    COUNTRIES,
    HASHTAG_WORDS,
    INDUSTRIES,
    INTERESTS,
    NO_SEARCH,
    SOUND_TITLES,
    VIDEO_TITLES,
)
from .popularity import Life, draw, find_life, make_rng, scramble

Item: TypeAlias = dict[str, object]

_MISSING: Final = "missing"
"""Names and ids with this prefix don't exist."""
_DAY: Final = 86_400
# Period to number of points and the days between them: days, then weeks, then months.
_TREND_STEPS: Final = {
    "7": (7, 1),
    "30": (30, 1),
    "120": (17, 7),
    "365": (12, 30),
    "1095": (36, 30),
}
# Which part of all views of a hashtag fall into a period.
_SHARES: Final = {"7": 0.1, "30": 0.25, "120": 0.45, "365": 0.7, "1095": 0.9}
_NUMBERED_NAME: Final = re.compile(
    f"({'|'.join(map(re.escape, HASHTAG_WORDS))})([1-9][0-9]{{0,8}})?"
)
CLASSES: Final = 2 * len(INDUSTRIES)
"""An item's class is its index modulo this; the first half of hashtags' are industries."""

# Ids of 19 digits: an index times the stride, and back by its inverse.
_ID_FLOOR: Final = 7 * 10**18
_ID_SPAN: Final = 10**18
_STRIDE: Final = 618_033_988_749_894_849
_INVERSE: Final = pow(_STRIDE, -1, _ID_SPAN)


@frozen
class Scene:
    """Everything that decides what a list or a detail of an endpoint holds."""

    filters: Mapping[str, str] = field(eq=lambda filters: tuple(filters.items()))
    """The value of each parameter but page and limit."""
    seed: int = 0
    day: int = count_days(FIRST_DAY)
    """Since 1970-01-01."""
    total: int | None = None
    """Items of the list if nothing narrows it; None for the usual number."""

    @property
    def region(self) -> str:
        """The country code, or all regions."""
        return self.filters["region"]


@frozen
class Place:
    """A place on the list of a scene."""

    scene: Scene
    index: int
    """The index of the item there."""
    rank: int
    rank_before: int | None = None
    """On yesterday's list of the same query; None for an item that was not on it."""

    @property
    def rank_diff(self) -> int | None:
        """How far the item moved, up or down."""
        return None if self.rank_before is None else abs(self.rank_before - self.rank)

    @property
    def rank_diff_type(self) -> int:
        """Risen (1), unchanged (2), fallen (3) or new on the list (4)."""
        if self.rank_before is None:
            return 4
        return 2 + (self.rank > self.rank_before) - (self.rank < self.rank_before)


def make_hashtag(place: Place) -> Item:
    """One row of the hashtag list."""
    scene, index = place.scene, place.index
    lap, word = divmod(index, len(HASHTAG_WORDS))
    name = HASHTAG_WORDS[word] + (str(lap) if lap else "")
    rng = make_rng(scene.seed, "hashtag", name, scene.region)
    item = _make_hashtag_head(scene, name, index)
    if _happens(rng, 0.85):
        item["creators"] = [_make_creator(rng) for _ in range(rng.choice((3, 3, 3, 4, 5)))]
    item |= _count_views(scene, index)
    item["rank"] = place.rank
    if place.rank_diff is not None and draw(scene.seed, name, scene.day) < 0.9:
        item["rank_diff"] = place.rank_diff
    item["rank_diff_type"] = place.rank_diff_type
    return item | _make_undocumented(rng)


def make_hashtag_detail(scene: Scene) -> Item | None:
    """The detail of a hashtag, in line with the lists; None for one that doesn't exist."""
    name = scene.filters["hashtag_name"]
    if name.startswith(_MISSING):
        return None
    match = _NUMBERED_NAME.fullmatch(name)
    number = 10**9 + crc32(name.encode()) if match is None else int(match[2] or 0)
    word = 0 if match is None else HASHTAG_WORDS.index(match[1])
    index = number * len(HASHTAG_WORDS) + word
    rng = make_rng(scene.seed, "hashtag_detail", name, scene.region, scene.filters["period"])
    info = _make_hashtag_head(scene, name, index) | _count_views(scene, index)
    all_time = _count_views(scene, index, share=1.0)
    info |= {f"{key}_all": value for key, value in all_time.items()}
    info |= _make_audience(rng, scene, find_life(scene.seed, "hashtags", index))
    info["related_hashtags"] = [
        _make_related_hashtag(scene.seed, HASHTAG_WORDS[other], other)
        for other in rng.sample(range(len(HASHTAG_WORDS)), 5)
    ]
    if _happens(rng, 0.5):
        info["description"] = f"All about {name} 🎉"
    if _happens(rng, 0.5):
        info["related_items"] = _make_related_items(rng)
    return {"info": info | _make_undocumented(rng)}


def make_video(place: Place) -> Item:
    """One row of the video list."""
    seed, region = place.scene.seed, place.scene.region
    rng = make_rng(seed, "video", region, place.index)
    video_id = _make_id(place.index, seed, "video", region)
    item: Item = {
        "country_code": region,
        "cover": f"https://p16-sign-va.tiktokcdn.com/tos-maliva-p-0068c799-us/{_sign(rng)}",
        "duration": rng.randint(5, 180),
        "id": video_id,
        "item_id": video_id,
        "item_url": f"https://www.tiktok.com/@user{rng.randint(1, 9999)}/video/{video_id}",
        "region": COUNTRIES.get(region, region),
        "title": rng.choice(VIDEO_TITLES),
    }
    return item | _make_undocumented(rng)


def make_sound(place: Place) -> Item:
    """One row of the music list."""
    scene, keyword = place.scene, place.scene.filters["search_keyword"]
    clip_id = _make_id(place.index, scene.seed, "sound")
    rng = make_rng(scene.seed, "sound", clip_id, scene.region)
    item = _make_sound_head(scene, clip_id, place.index)
    if keyword != NO_SEARCH:
        item |= {"is_search": True, "title": f"{item['title']} {keyword}"}
    is_silent = draw(scene.seed, clip_id, scene.day) < 0.1
    item |= {
        "on_list_times": rng.choice((None, 1, 12)),
        "rank": place.rank,
        "rank_diff": None if is_silent else place.rank_diff,
        "rank_diff_type": place.rank_diff_type,
        "related_items": _make_related_items(rng) if _happens(rng, 0.3) else None,
    }
    if _happens(rng, 0.3):
        item |= {"cml_mid": _make_id(place.index, "cml"), "music_url": None}
    return item | _make_undocumented(rng)


def make_sound_detail(scene: Scene) -> Item | None:
    """The detail of a sound, in line with the lists; None for one that doesn't exist."""
    clip_id = scene.filters["clip_id"]
    if clip_id.startswith(_MISSING):
        return None
    index = _find_index(clip_id, scene.seed, "sound")
    rng = make_rng(scene.seed, "sound_detail", clip_id, scene.region, scene.filters["period"])
    sound = _make_sound_head(scene, clip_id, index)
    sound |= _make_audience(rng, scene, find_life(scene.seed, "music", index))
    if _happens(rng, 0.5):
        sound["audience_ages"] = None
    sound |= {
        "music_url": rng.choice((None, "https://sf16-ies-music-va.tiktokcdn.com/obj/sound.mp3")),
        "on_list_times": None,
        "rank": None,
        "rank_diff": None,
        "related_items": _make_related_items(rng) if _happens(rng, 0.5) else None,
    }
    sound |= _make_undocumented(rng)
    return {"disliked": None, "like_count": None, "liked": None, "sound": sound}


def is_commercial(seed: int, index: int) -> bool:
    """Whether a sound is cleared for commercial use."""
    return draw(seed, "cml", index) < 0.5


def _make_hashtag_head(scene: Scene, name: str, index: int) -> Item:
    code = "ALL" if scene.region == ALL_REGIONS else scene.region
    item = _make_related_hashtag(scene.seed, name, index)
    item["country_info"] = {"id": code, "value": COUNTRIES.get(code, code), "label": code}
    for industry_id, value in islice(INDUSTRIES.items(), index % CLASSES, index % CLASSES + 1):
        label = f"label_{industry_id}"
        item["industry_info"] = {"id": int(industry_id), "value": value, "label": label}
    item["is_promoted"] = draw(scene.seed, "promoted", index) < 0.05
    item["trend"] = _make_trend(scene, "hashtags", index)
    return item


def _make_related_hashtag(seed: int, name: str, index: int) -> Item:
    hashtag_id, url = _make_id(index, seed, "hashtag"), f"https://www.tiktok.com/tag/{quote(name)}"
    return {"hashtag_id": hashtag_id, "hashtag_name": name, "video_url": url}


def _make_sound_head(scene: Scene, clip_id: str, index: int) -> Item:
    rng = make_rng(scene.seed, "clip", clip_id)
    title = rng.choice(SOUND_TITLES)
    return {
        "author": rng.choice(AUTHORS),
        "clip_id": clip_id,
        "country_code": scene.region,
        "cover": f"https://p16-sg.tiktokcdn.com/aweme/720x720/{rng.getrandbits(128):032x}.jpeg",
        "duration": rng.randint(5, 180),
        "if_cml": is_commercial(scene.seed, index),
        "is_search": False,
        "link": f"https://www.tiktok.com/music/x-{clip_id}",
        "promoted": False,
        "song_id": _make_id(index, scene.seed, "song"),
        "title": title,
        "trend": _make_trend(scene, "music", index),
        "url_title": title.replace(" ", "-"),
    }


def _make_creator(rng: Random) -> Item:
    avatar = f"https://p16-sign-sg.tiktokcdn.com/tos-alisg-avt-0068/{_sign(rng)}"
    return {"nick_name": rng.choice(AUTHORS), "avatar_url": avatar}


def _sign(rng: Random) -> str:
    """The rest of a signed image address: they make up most of a page's size."""
    digits = f"{rng.getrandbits(224):056x}"
    name, signature = digits[:32], digits[32:]
    return (
        f"{name}~tplv-tiktokx-cropcenter:100:100.png?dr=14579&refresh_token={signature[:8]}"
        f"&x-expires=1770282000&x-signature={signature}%3D&t=4d5b0474&ps=13740610"
        f"&shp=a5d48078&shcp=317596d8&idc=my"
    )


def _make_trend(scene: Scene, kind: str, index: int) -> list[Item]:
    """The points of a period up to the day; at the same time they have the same value, always."""
    points, step = _TREND_STEPS[scene.filters["period"]]
    key = crc32(f"{scene.seed} {kind} {index} {scene.region}".encode())
    if points == 7 and scramble(key) < 0.1:
        points = 3
    life, last = find_life(scene.seed, kind, index), scene.day - scene.day % step
    trend = list[Item]()
    for day in range(last - (points - 1) * step, last + 1, step):
        luck = scramble(key + day)
        value: float = round(life.level(day) * (0.7 + 0.6 * luck), 2)
        if value >= 1:
            value = 1 if luck < 0.8 else 1.0  # both are seen on the wire
        trend.append({"time": day * _DAY, "value": value or 0})
    return trend


def _count_views(scene: Scene, index: int, share: float | None = None) -> Item:
    """Views and posts in the period, or that share of all; they grow from day to day."""
    size = draw(scene.seed, "size", index)
    ratio = 37 * size % 1
    # Most have 10^5 to 10^10 in the end; now and then one passes 2^40.
    views = 10 ** (5.3 + 3 * size if size < 0.98 else 12.5)
    views *= _SHARES[scene.filters["period"]] if share is None else share
    if scene.region != ALL_REGIONS:
        views *= 0.05 + 0.3 * draw(scene.seed, scene.region, index)
    views *= find_life(scene.seed, "hashtags", index).growth(scene.day)
    return {"publish_cnt": int(views / 10 ** (2 + 2 * ratio)), "video_views": int(views)}


def _happens(rng: Random, share: float) -> bool:
    return rng.random() < share


def _make_audience(rng: Random, scene: Scene, life: Life) -> Item:
    split = sorted(rng.sample(range(1, 100), 2))
    scores = (split[0], split[1] - split[0], 100 - split[1])  # percentages
    levels = rng.sample((3, 4, 5), 3)
    return {
        "longevity": {
            "popular_days": min(int(life.age(scene.day)), int(scene.filters["period"])),
            "current_popularity": round(100 * life.level(scene.day)),
        },
        "audience_ages": [
            {"age_level": level, "score": score}
            for level, score in zip(levels, scores, strict=True)
        ],
        "audience_interests": _make_scores(rng, "interest_info", rng.sample(INTERESTS, 5)),
        "audience_countries": _make_scores(rng, "country_info", rng.sample(AUDIENCE_COUNTRIES, 8)),
    }


def _make_scores(rng: Random, key: str, infos: Sequence[Item]) -> list[Item]:
    return [{key: info, "score": rng.randint(90, 1500)} for info in infos]


def _make_related_items(rng: Random) -> list[Item]:
    cover = "https://p16-sign-va.tiktokcdn.com/tos-maliva-p-0068/"
    return [
        {"item_id": _ID_FLOOR + rng.getrandbits(58), "cover_uri": cover + _sign(rng)}
        for _ in range(rng.randint(0, 3))
    ]


def _make_undocumented(rng: Random) -> Item:
    """An undocumented field, now and then."""
    return {"x_experiment": {"bucket": rng.randrange(8)}} if _happens(rng, 0.05) else {}


def _make_id(index: int, *key: object) -> str:
    """A 19-digit id, one for each index."""
    return str(_ID_FLOOR + (index * _STRIDE + _offset(key)) % _ID_SPAN)


def _find_index(text: str, *key: object) -> int:
    """Return the index that has this id, or some index where it is no such id."""
    if not (text.isascii() and text.isdigit() and len(text) == len(str(_ID_FLOOR))):
        return crc32(text.encode())
    return (int(text) - _ID_FLOOR - _offset(key)) * _INVERSE % _ID_SPAN


def _offset(key: tuple[object, ...]) -> int:
    return int(draw(*key) * _ID_SPAN)
