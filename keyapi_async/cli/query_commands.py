"""The commands for trends: one for each list and each detail that there is a query for."""

import math
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import attrs

from keyapi_async import ENDPOINTS, DetailQuery, ListQuery, Query, StopReason
from keyapi_async.cli.display import Display, choose_form
from keyapi_async.cli.layouts import panel_for, table_for
from keyapi_async.cli.messages import count, plural, say
from keyapi_async.cli.options import AllowUnknown, Output, Paging, Requests, Reuse
from keyapi_async.cli.output import writing_items
from keyapi_async.cli.query_options import check_known, query_options, with_options
from keyapi_async.cli.runner import open_client, perform
from keyapi_async.crawl import Progress


def __getattr__(name: str) -> Callable[..., None]:
    """The function for an endpoint, by the endpoint's name."""
    if name in ENDPOINTS:
        return make_command(ENDPOINTS[name])
    raise AttributeError(name)


def make_command(kind: type[Query[Any]]) -> Callable[..., None]:
    """Make the function that fetches a list, or one thing in detail."""

    def fetch(
        *subject: str,
        paging: Paging = Paging(),  # noqa: B008 - frozen
        output: Output = Output(),  # noqa: B008
        requests: Requests = Requests(),  # noqa: B008
        allow_unknown: AllowUnknown = False,
        reuse: Reuse = None,
        **filters: Any,
    ) -> None:
        query = kind(**filters, **dict(zip(subjects, subject, strict=True)))
        if not allow_unknown:
            check_known([query])
        perform(_fetch(query, paging, output, requests, reuse), verbose=output.verbose)

    subjects = [kind.subject] if issubclass(kind, DetailQuery) else []
    unused = ["subject", *(["paging"] if subjects else [])]
    return with_options(query_options(kind), instead_of=unused)(fetch)


async def _fetch(
    query: Query[Any], paging: Paging, output: Output, requests: Requests, reuse: float | None
) -> None:
    form = choose_form(quiet=output.quiet, verbose=output.verbose)
    display = Display(form, noun=query.noun, max_credits=requests.credits)
    progress = Progress()
    display.look = lambda: progress
    async with open_client(requests, display, reuse) as client:
        if isinstance(query, DetailQuery):
            with writing_items(output, panel_for(type(query))) as writer:
                async with display.running():
                    item = await client.trending.detail(query)
                writer.write([item])
            return
        assert isinstance(query, ListQuery)  # noqa: S101 - for the type checkers
        pager = client.trending.iterate(query, **attrs.asdict(paging))
        with writing_items(output, table_for(type(query))) as writer:
            async with display.running(), aclosing(pager.pages()) as pages:
                async for page in pages:
                    with display.aside():
                        writer.write(page.items)
                    progress.pages += 1
                    progress.items = writer.count
                    progress.pages_expected = _count_pages(page.total or 0, paging)
    of = "" if pager.total is None else f" of {pager.total}"
    came = f"{writer.count}{of} {plural(query.noun)}"
    if pager.stop_reason is StopReason.EMPTY_PAGE:
        display.tell("end", f"an empty page ended the list: {came} came")
    elif form == "live" and progress.pages:
        pages_read = count(progress.pages, "page")
        say(f"{came} · {pages_read} · {client.usage.credits_spent} credits")


def _count_pages(total: int, paging: Paging) -> int:
    """How many pages of a list of that length are to be fetched."""
    items = max(total - (paging.start_page - 1) * paging.page_size, 0)
    wanted = items if paging.max_items is None else min(items, paging.max_items)
    return math.ceil(wanted / paging.page_size)
