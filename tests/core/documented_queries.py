"""The contract's five endpoints: path, default query, and the class that says the same."""

from __future__ import annotations

from urllib.parse import quote, urlencode

from keyapi_async.converter import wire_params
from keyapi_async.queries import (
    HashtagDetailQuery,
    HashtagsQuery,
    MusicDetailQuery,
    MusicQuery,
    Query,
    VideosQuery,
)

DEFAULTS = {
    "hashtags": "page=1&limit=20&period=7&region=all_regions&industry_id=nothing"
    "&new_to_top_100=false",
    "hashtag_detail": "period=7&region=all_regions&hashtag_name=ufc324",
    "videos": "page=1&period=7&limit=20&region=US&order_by=vv",
    "music": "search_keyword=FALSE&page=1&limit=20&period=7&region=US&new_to_top_100=false"
    "&commercial_music=false",
    "music_detail": "period=7&region=US&clip_id=6703723351497508865",
}


PATHS = {
    "hashtags": "/v1/tiktok/trending/hashtags",
    "hashtag_detail": "/v1/tiktok/trending/hashtag/detail",
    "videos": "/v1/tiktok/trending/videos",
    "music": "/v1/tiktok/trending/music",
    "music_detail": "/v1/tiktok/trending/music/detail",
}


CLASSES: dict[str, type[Query]] = {
    "hashtags": HashtagsQuery,
    "hashtag_detail": HashtagDetailQuery,
    "videos": VideosQuery,
    "music": MusicQuery,
    "music_detail": MusicDetailQuery,
}


def wire(query: Query) -> str:
    """The query string."""
    return urlencode(wire_params(query), quote_via=quote, safe="")
