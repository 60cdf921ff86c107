"""Bulk crawls: a plan of many lists, fetched side by side, streamed or stored exactly once."""

from keyapi_async.files import PartFile, is_one_of

from .crawl_file import CrawlFile, Summary
from .crawler import Crawl, CrawlOptions, crawl, crawl_to, expect
from .database import StoreError
from .exports import Exported, Selection, export_files
from .jobs import CrawlError, FailedQuery, Progress, Record
from .outage import OutageError
from .plan import Expectation, Plan, Shard, grid, query_json, query_text, read_plan, take_shard
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
    "Shard",
    "StoreError",
    "Summary",
    "crawl",
    "crawl_to",
    "expect",
    "export_files",
    "grid",
    "is_one_of",
    "query_json",
    "query_text",
    "read_plan",
    "take_shard",
]
