"""The commands for trends: three lists and two details."""

from keyapi_async import reference

from .app import app, known
from .details import hashtag_panel, sound_panel
from .options import (
    ASK,
    OUT,
    PAGING,
    AnyRegion,
    Ask,
    Flag,
    Industry,
    LongPeriod,
    OrderBy,
    Out,
    Pages,
    Period,
    Region,
    VideoRegion,
)
from .run import list_items, show_one
from .tables import HASHTAGS, MUSIC, VIDEOS


@app.command(help_epilogue=known(["all_regions", *reference.REGIONS], industries=True))
def hashtags(
    *,
    period: Period = 7,
    region: AnyRegion = "all_regions",
    industry_id: Industry | None = None,
    new_to_top_100: Flag = False,
    paging: Pages = PAGING,
    out: Out = OUT,
    ask: Ask = ASK,
) -> None:
    """Trending hashtags, every page.

    Args:
        period: Days.
        region: Country code, such as US.
        industry_id: Only this first-level industry.
        new_to_top_100: Only those that entered the top 100 for the first time.
        paging: How much of the list.
        out: Where it goes.
        ask: Whom to ask.
    """
    list_items(
        lambda trending: trending.iter_hashtags(
            period=period,
            region=region,
            industry_id=industry_id,
            new_to_top_100=new_to_top_100,
            **paging.arguments(),
        ),
        HASHTAGS,
        out,
        ask,
    )


@app.command(help_epilogue=known(["all_regions", *reference.REGIONS]))
def hashtag(
    name: str,
    /,
    *,
    period: LongPeriod = 7,
    region: AnyRegion = "all_regions",
    out: Out = OUT,
    ask: Ask = ASK,
) -> None:
    """One hashtag in detail.

    Args:
        name: As in the list; a leading # is dropped.
        period: Days.
        region: Country code, such as US.
        out: Where it goes.
        ask: Whom to ask.
    """
    show_one(
        lambda trending: trending.hashtag_detail(name, period=period, region=region),
        hashtag_panel,
        out,
        ask,
    )


@app.command(help_epilogue=known(list(reference.VIDEO_REGIONS)))
def videos(
    *,
    period: Period = 7,
    region: VideoRegion = "US",
    order_by: OrderBy = "vv",
    paging: Pages = PAGING,
    out: Out = OUT,
    ask: Ask = ASK,
) -> None:
    """Trending videos, every page.

    Args:
        period: Days.
        region: Country code.
        order_by: vv is hot.
        paging: How much of the list.
        out: Where it goes.
        ask: Whom to ask.
    """
    list_items(
        lambda trending: trending.iter_videos(
            period=period, region=region, order_by=order_by, **paging.arguments()
        ),
        VIDEOS,
        out,
        ask,
    )


@app.command(help_epilogue=known(list(reference.REGIONS)))
def music(
    *,
    search_keyword: str | None = None,
    period: Period = 7,
    region: Region = "US",
    new_to_top_100: Flag = False,
    commercial_music: Flag = False,
    paging: Pages = PAGING,
    out: Out = OUT,
    ask: Ask = ASK,
) -> None:
    """Trending sounds, every page.

    Args:
        search_keyword: Only sounds that match.
        period: Days.
        region: Country code.
        new_to_top_100: Only those that entered the top 100 for the first time.
        commercial_music: Only those cleared for commercial use.
        paging: How much of the list.
        out: Where it goes.
        ask: Whom to ask.
    """
    list_items(
        lambda trending: trending.iter_music(
            search_keyword=search_keyword,
            period=period,
            region=region,
            new_to_top_100=new_to_top_100,
            commercial_music=commercial_music,
            **paging.arguments(),
        ),
        MUSIC,
        out,
        ask,
    )


@app.command(help_epilogue=known(list(reference.REGIONS)))
def sound(
    clip_id: str,
    /,
    *,
    period: Period = 7,
    region: Region = "US",
    out: Out = OUT,
    ask: Ask = ASK,
) -> None:
    """One sound in detail.

    Args:
        clip_id: As in the list of music.
        period: Days.
        region: Country code.
        out: Where it goes.
        ask: Whom to ask.
    """
    show_one(
        lambda trending: trending.music_detail(clip_id, period=period, region=region),
        sound_panel,
        out,
        ask,
    )
