"""What a crawl's file tells: what moved from day to day, and whether the data can be trusted."""

from .archive import query_object
from .digest import write_digest, write_notes
from .health import DaySum, Health, Problem, ProblemKind, health
from .history import DayRank, History, history
from .movers import KINDS, Comparison, Kind, Move, Movers, movers
from .report import report
from .webhook import WebhookError, post
from .wording import change_text, clean, list_of, percent, shorten

__all__ = [
    "KINDS",
    "Comparison",
    "DayRank",
    "DaySum",
    "Health",
    "History",
    "Kind",
    "Move",
    "Movers",
    "Problem",
    "ProblemKind",
    "WebhookError",
    "change_text",
    "clean",
    "health",
    "history",
    "list_of",
    "movers",
    "percent",
    "post",
    "query_object",
    "report",
    "shorten",
    "write_digest",
    "write_notes",
]
