"""Bulk crawls: a plan of many lists, fetched side by side, streamed or stored exactly once."""

from keyapi_async.files import PartFile

from .crawl_file import CrawlFile, Summary
from .crawler import Crawl, CrawlOptions, crawl, crawl_to, expect
from .database import StoreError
from .export import export_files
from .jobs import CrawlError, FailedQuery, Progress, Record
from .meter import Exported
from .outage import OutageError
from .plan import Expectation, Plan, grid, query_json, query_text, read_plan
from .selection import Selection
from .snapshots import PlanChangedError

__all__ = [
    "Crawl",
    "CrawlError",
    "CrawlFile",
    "CrawlOptions",
    "Expectation",
    "Exported",
    "FailedQuery",
    "OutageError",
    "PartFile",
    "Plan",
    "PlanChangedError",
    "Progress",
    "Record",
    "Selection",
    "StoreError",
    "Summary",
    "crawl",
    "crawl_to",
    "expect",
    "export_files",
    "grid",
    "query_json",
    "query_text",
    "read_plan",
]
