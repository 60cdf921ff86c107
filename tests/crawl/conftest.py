"""What the tests of crawls ask for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from keyapi_async.crawl.database import Database, writing
from keyapi_async.crawl.jobs import Job
from keyapi_async.crawl.store import Store
from keyapi_async.usage import Usage
from tests.crawl.sandboxed_crawl import begin, make_batch, write


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a crawl's file is to be."""
    return tmp_path / "trends.sqlite"


@pytest.fixture
def kept(file: Path) -> Iterator[tuple[Store, Job, Database]]:
    """An open store with one page in it, and the job it belongs to."""
    with writing(file, create=True) as db:
        store = begin(db)
        job = store.jobs(0, 1)[0]
        write(store, [make_batch(job, 1)], Usage(requests=1, credits_spent=2))
        yield store, job, db
