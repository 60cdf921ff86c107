"""Bulk crawls: a plan of many lists, fetched side by side, streamed or stored exactly once."""

from .errors import CrawlError, FailedQuery, PlanChangedError, StoreError
from .jobs import Progress
from .plan import ENDPOINTS, Expectation, Plan, expect, grid, read_plan
from .run import Record, crawl, crawl_to
from .summary import Summary

__all__ = [
    "ENDPOINTS",
    "CrawlError",
    "Expectation",
    "FailedQuery",
    "Plan",
    "PlanChangedError",
    "Progress",
    "Record",
    "StoreError",
    "Summary",
    "crawl",
    "crawl_to",
    "expect",
    "grid",
    "read_plan",
]
