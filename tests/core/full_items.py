"""Items with every field there is, and the way to every place within them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs

IDS = {"hashtag_id", "item_id", "clip_id", "song_id", "cml_mid", "id"}

# One item of each kind with every field there is; what is a fraction here is a float.
TREND = [{"time": 1769472000, "value": 0.5}]
COUNTRY = {"id": "US", "value": "United States", "label": "US"}
INDUSTRY = {"id": 11000000000, "value": "Vehicles", "label": "label_11000000000"}
AUDIENCE = {
    "audience_ages": [{"age_level": 3, "score": 65.5}],
    "audience_interests": [
        {"interest_info": {"id": "10058", "value": "Sports", "label": "x"}, "score": 263.5}
    ],
    "audience_countries": [{"country_info": COUNTRY, "score": 780.5}],
}
# fmt: off
LONGEVITY = {"popular_days": 3, "current_popularity": 0.5}
HASHTAG = {
    "hashtag_id": "7244", "hashtag_name": "clean", "is_promoted": False,
    "publish_cnt": 48892, "video_views": 2**41,
    "country_info": COUNTRY, "industry_info": INDUSTRY, "trend": TREND,
}
SOUND = {
    "clip_id": "6703723351497508865", "song_id": "6703723270476138498", "cml_mid": 67,
    "title": "New Sun", "author": "Chihei", "duration": 60, "cover": "c", "link": "l",
    "music_url": "m", "url_title": "New-Sun", "country_code": "US", "if_cml": False,
    "is_search": True, "promoted": False, "on_list_times": 2,
    "rank": 1, "rank_diff": -3, "rank_diff_type": 3, "trend": TREND,
    "related_items": [{"item_id": 7587114666132868383, "cover_uri": "u"}],
}
FULL: dict[str, dict[str, Any]] = {
    "hashtags": {
        **HASHTAG,
        "creators": [{"nick_name": "becky mae", "avatar_url": "a"}],
        "rank": 1, "rank_diff": 3, "rank_diff_type": 4,
    },
    "hashtag_detail": {
        **HASHTAG,
        **AUDIENCE,
        "description": "all clean", "video_url": "v", "longevity": LONGEVITY,
        "publish_cnt_all": 34146, "video_views_all": 2**42,
        "related_hashtags": [{"hashtag_id": "166", "hashtag_name": "paddy", "video_url": "p"}],
        "related_items": [{"item_id": 7587114666132868383, "cover_uri": "u"}],
    },
    "videos": {
        "item_id": "7587", "id": "7587", "title": "This pup \U0001f436", "duration": 9,
        "cover": "c", "item_url": "i", "region": "United States", "country_code": "US",
    },
    "music": SOUND,
    "music_detail": {**SOUND, **AUDIENCE, "longevity": LONGEVITY},
}
# fmt: on

Path = tuple[str | int, ...]


def places(value: object, path: Path = ()) -> Iterator[Path]:
    """Every field and list item within a JSON value."""
    pairs: Any = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, inner in pairs:
        yield (*path, key)
        yield from places(inner, (*path, key))


def at(value: Any, path: Path) -> Any:
    """What stands at a path of a JSON value, or of a model."""
    for key in path:
        value = (
            getattr(value, key) if isinstance(key, str) and attrs.has(type(value)) else value[key]
        )
    return value
