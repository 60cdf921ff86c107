"""What leaves a crawl's file: JSONL, CSV, Parquet, a DuckDB database, a lake."""

from .dispatch import export_files
from .meter import Exported
from .selection import Selection, SnapshotChoice, find_pages

__all__ = ["Exported", "Selection", "SnapshotChoice", "export_files", "find_pages"]
