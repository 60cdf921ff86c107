"""Made-up hashtags, videos and sounds with the habits of the real ones.

Each is a pure function of its seed: hashtags leave out what they don't know, sounds send null.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from random import Random
from typing import Final, TypeAlias
from urllib.parse import quote

from .names import (
    ALL_REGIONS,
    AUDIENCE_COUNTRIES,
    AUTHORS,
    COUNTRIES,
    HASHTAG_WORDS,
    INDUSTRIES,
    INTERESTS,
    NO_INDUSTRY,
    NO_SEARCH,
    SOUND_TITLES,
    VIDEO_TITLES,
)

Item: TypeAlias = dict[str, object]
Filters: TypeAlias = Mapping[str, str]

_MISSING: Final = "missing"
"""How the name or id of what there isn't begins."""
_DAY: Final = 86_400
_LATEST: Final = 1_769_990_400
# Period to number of points and the seconds between them: days, then weeks, then months.
_TREND_STEPS: Final = {
    "7": (7, _DAY),
    "30": (30, _DAY),
    "120": (17, 7 * _DAY),
    "365": (12, 30 * _DAY),
    "1095": (36, 30 * _DAY),
}


def rng_for(*key: object) -> Random:
    """Return a generator that depends on nothing but the key."""
    return Random("\x1f".join(map(str, key)))


def hashtag(seed: int, filters: Filters, slot: int) -> Item:
    """One row of the hashtag list, not ranked yet."""
    offset = rng_for(seed, "words", *_pool(filters)).randrange(len(HASHTAG_WORDS))
    lap, word = divmod(slot, len(HASHTAG_WORDS))
    name = HASHTAG_WORDS[(word + offset) % len(HASHTAG_WORDS)] + (str(lap) if lap else "")
    rng = rng_for(seed, "hashtag", *_pool(filters), filters["period"], slot)
    item = _hashtag_head(seed, name, filters)
    industry = filters["industry_id"]
    if industry != NO_INDUSTRY or _chance(rng, 0.5):
        known = industry if industry != NO_INDUSTRY else rng.choice(tuple(INDUSTRIES))
        item["industry_info"] = _industry(known)
    item |= {"is_promoted": _chance(rng, 0.05), "trend": _trend(rng, filters["period"])}
    if _chance(rng, 0.85):
        item["creators"] = [_creator(rng) for _ in range(rng.choice((3, 3, 3, 4, 5)))]
    item |= {"publish_cnt": _count(rng), "video_views": _count(rng), "rank": 0}
    if _chance(rng, 0.6):
        item["rank_diff"] = rng.randint(0, 60)
    item["rank_diff_type"] = rng.choices((1, 2, 3, 4), (30, 15, 30, 25))[0]
    return item | _undocumented(rng)


def hashtag_detail(seed: int, filters: Filters) -> Item | None:
    """What is known of a hashtag, whose id is that of the lists; None for one that is missing."""
    name = filters["hashtag_name"]
    if name.startswith(_MISSING):
        return None
    rng = rng_for(seed, "hashtag_detail", *filters.values())
    item = _hashtag_head(seed, name, filters)
    if _chance(rng, 0.5):
        item["industry_info"] = _industry(rng.choice(tuple(INDUSTRIES)))
    item |= {
        "is_promoted": False,
        "trend": _trend(rng, filters["period"]),
        "publish_cnt": (posts := _count(rng)),
        "video_views": (views := _count(rng)),
        "publish_cnt_all": posts * 3,
        "video_views_all": views * 3,
        **_audience(rng),
        "related_hashtags": [_related_hashtag(seed, word) for word in rng.sample(HASHTAG_WORDS, 5)],
    }
    if _chance(rng, 0.5):
        item["description"] = f"All about {name} 🎉"
    if _chance(rng, 0.5):
        item["related_items"] = _related_items(rng)
    return {"info": item | _undocumented(rng)}


def video(seed: int, filters: Filters, slot: int) -> Item:
    """One row of the video list."""
    region = filters["region"]
    rng = rng_for(seed, "video", region, slot)
    video_id = _long_id(seed, "video", region, slot)
    item: Item = {
        "country_code": region,
        "cover": f"https://p16-sign-va.tiktokcdn.com/tos-maliva-p-0068c799-us/{_signed(rng)}",
        "duration": rng.randint(5, 180),
        "id": video_id,
        "item_id": video_id,
        "item_url": f"https://www.tiktok.com/@user{rng.randint(1, 9999)}/video/{video_id}",
        "region": COUNTRIES.get(region, region),
        "title": rng.choice(VIDEO_TITLES),
    }
    return item | _undocumented(rng)


def sound(seed: int, filters: Filters, slot: int) -> Item:
    """One row of the music list, not ranked yet."""
    keyword = filters["search_keyword"]
    rng = rng_for(seed, "sound", *_pool(filters), filters["period"], slot)
    item = _sound(seed, _long_id(seed, "sound", *_pool(filters), slot), filters)
    if keyword != NO_SEARCH:
        item |= {"is_search": True, "title": f"{item['title']} {keyword}"}
    item |= {
        "on_list_times": rng.choice((None, 1, 12)),
        "rank_diff": rng.choice((None, 0, rng.randint(1, 60))),
        "rank_diff_type": rng.choices((1, 2, 3, 4), (30, 15, 30, 25))[0],
        "related_items": _related_items(rng) if _chance(rng, 0.3) else None,
        "trend": _trend(rng, filters["period"]),
    }
    if _chance(rng, 0.3):
        item |= {"cml_mid": _long_id(seed, slot), "music_url": None}
    return item | _undocumented(rng)


def sound_detail(seed: int, filters: Filters) -> Item | None:
    """What is known of a sound, with title and author as in the lists; None for a missing one."""
    if filters["clip_id"].startswith(_MISSING):
        return None
    rng = rng_for(seed, "sound_detail", *filters.values())
    item = _sound(seed, filters["clip_id"], filters) | _audience(rng)
    if _chance(rng, 0.5):
        item["audience_ages"] = None
    item |= {
        "music_url": rng.choice((None, "https://sf16-ies-music-va.tiktokcdn.com/obj/sound.mp3")),
        "on_list_times": None,
        "rank": None,
        "rank_diff": None,
        "related_items": _related_items(rng) if _chance(rng, 0.5) else None,
        "trend": _trend(rng, filters["period"]),
    }
    sound = item | _undocumented(rng)
    return {"disliked": None, "like_count": None, "liked": None, "sound": sound}


def _pool(filters: Filters) -> tuple[str, ...]:
    """What decides which rows there are; the period only reorders them, flags only drop some."""
    names = ("region", "industry_id", "search_keyword")
    return tuple(filters[name] for name in names if name in filters)


def _hashtag_head(seed: int, name: str, filters: Filters) -> Item:
    code = "ALL" if filters["region"] == ALL_REGIONS else filters["region"]
    country = {"id": code, "value": COUNTRIES.get(code, code), "label": code}
    return {**_related_hashtag(seed, name), "country_info": country}


def _related_hashtag(seed: int, name: str) -> Item:
    url = f"https://www.tiktok.com/tag/{quote(name)}"
    return {"hashtag_id": _long_id(seed, "hashtag", name), "hashtag_name": name, "video_url": url}


def _sound(seed: int, clip_id: str, filters: Filters) -> Item:
    rng = rng_for(seed, "clip", clip_id)
    title = rng.choice(SOUND_TITLES)
    return {
        "author": rng.choice(AUTHORS),
        "clip_id": clip_id,
        "country_code": filters["region"],
        "cover": f"https://p16-sg.tiktokcdn.com/aweme/720x720/{rng.getrandbits(128):032x}.jpeg",
        "duration": rng.randint(5, 180),
        "if_cml": _chance(rng, 0.5),
        "is_search": False,
        "link": f"https://www.tiktok.com/music/x-{clip_id}",
        "promoted": False,
        "rank": 0,
        "song_id": _long_id(seed, "song", clip_id),
        "title": title,
        "url_title": title.replace(" ", "-"),
    }


def _industry(industry_id: str) -> Item:
    value = INDUSTRIES[industry_id]
    return {"id": int(industry_id), "value": value, "label": f"label_{industry_id}"}


def _creator(rng: Random) -> Item:
    avatar = f"https://p16-sign-sg.tiktokcdn.com/tos-alisg-avt-0068/{_signed(rng)}"
    return {"nick_name": rng.choice(AUTHORS), "avatar_url": avatar}


def _signed(rng: Random) -> str:
    """The rest of a signed image address: they make up most of a page's size."""
    name, signature = f"{rng.getrandbits(128):032x}", f"{rng.getrandbits(96):024x}"
    return (
        f"{name}~tplv-tiktokx-cropcenter:100:100.png?dr=14579&refresh_token={signature[:8]}"
        f"&x-expires=1770282000&x-signature={signature}%3D&t=4d5b0474&ps=13740610"
        f"&shp=a5d48078&shcp=317596d8&idc=my"
    )


def _trend(rng: Random, period: str) -> list[Item]:
    points, step = _TREND_STEPS[period]
    if period == "7" and _chance(rng, 0.15):
        points = 3
    values: list[float] = [round(rng.random(), 2) or 0 for _ in range(points)]
    values[rng.randrange(points)] = 0
    values[rng.randrange(points)] = rng.choice((1, 1.0))  # both are seen on the wire
    first = _LATEST - (points - 1) * step
    return [{"time": first + i * step, "value": value} for i, value in enumerate(values)]


def _chance(rng: Random, share: float) -> bool:
    return rng.random() < share


def _count(rng: Random) -> int:
    return int(10 ** rng.uniform(3, 13))  # one in eleven passes 2 ** 40


def _audience(rng: Random) -> Item:
    split = sorted(rng.sample(range(1, 100), 2))
    scores = (split[0], split[1] - split[0], 100 - split[1])  # percentages
    levels = rng.sample((3, 4, 5), 3)
    countries, interests = rng.sample(AUDIENCE_COUNTRIES, 8), rng.sample(INTERESTS, 5)
    return {
        "longevity": {"popular_days": rng.randint(0, 7), "current_popularity": rng.randint(0, 100)},
        "audience_ages": [
            {"age_level": level, "score": score}
            for level, score in zip(levels, scores, strict=True)
        ],
        "audience_interests": [
            {"interest_info": info, "score": rng.randint(90, 1500)} for info in interests
        ],
        "audience_countries": [
            {"country_info": info, "score": rng.randint(90, 1500)} for info in countries
        ],
    }


def _related_items(rng: Random) -> list[Item]:
    cover = "https://p16-sign-va.tiktokcdn.com/tos-maliva-p-0068/"
    return [
        {"item_id": 7 * 10**18 + rng.getrandbits(58), "cover_uri": cover + _signed(rng)}
        for _ in range(rng.randint(0, 3))
    ]


def _undocumented(rng: Random) -> Item:
    """A field nobody has heard of, now and then."""
    return {"x_experiment": {"bucket": rng.randrange(8)}} if _chance(rng, 0.05) else {}


def _long_id(*key: object) -> str:
    """A 19-digit id, as unique as its key."""
    digest = hashlib.sha256("\x1f".join(map(str, key)).encode()).digest()
    return str(7 * 10**18 + int.from_bytes(digest[:8], "big") % 10**18)
