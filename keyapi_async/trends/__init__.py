"""What a crawl's file tells: what moved from day to day, and whether the data can be trusted."""

from .health import DaySum, Health, Problem, ProblemKind, health
from .history import DayRank, History, history
from .movers import KINDS, Comparison, Kind, Move, Movers, movers
from .report import report

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
    "health",
    "history",
    "movers",
    "report",
]
