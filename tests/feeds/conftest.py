"""What holds in every test of the feeds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from tests.wire import KEY


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[Any]]:
    """What was logged; the key must never be in it."""
    with structlog.testing.capture_logs() as entries:
        yield entries
    assert KEY not in repr(entries)
