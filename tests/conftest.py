"""What every test shares: on which event loop it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest

from tests.virtual_loop import VirtualLoop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """A test that is marked ``virtual_time`` runs on a loop that waits for nothing, every other on an ordinary one.

    So does one that is marked ``real_time`` in a module of the others: it has threads, processes or real clocks in it.
    """
    marked = item.get_closest_marker("virtual_time") is not None
    if marked and item.get_closest_marker("real_time") is None:
        return {"virtual": VirtualLoop}
    return {"ordinary": asyncio.new_event_loop}
