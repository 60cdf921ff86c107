"""Exports of a crawl's file: JSONL, CSV, Parquet, a DuckDB database, a lake."""

from .dispatch import export_files
from .meter import Exported
from .selection import Selection

__all__ = ["Exported", "Selection", "export_files"]
