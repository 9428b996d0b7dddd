"""What every test shares: on which event loop it runs, and which are the fast ones."""

from __future__ import annotations

import asyncio
import compileall
import functools
import gc
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Generator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.canaries import pytest_runtest_teardown  # noqa: F401 - a hook: pytest finds it here
from tests.simulation import SHARED
from tests.virtual_loop import VirtualLoop

# How long a machine takes for an example says nothing about the program: it may be busy, or count branches.
# What is covered must not depend on what was drawn (tests/cover.py).
settings.register_profile(
    "any machine",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="DRAW_THE_SAME" in os.environ,
)
settings.load_profile("any machine")

HERE = Path(__file__).parent

gc.disable()  # until everything is collected: next to nothing of that is garbage

# How the fast tests are chosen: by the path of their module, where (nearly) none of its tests opens a socket or starts a
# process. The few in these modules that do are named. `refuse` holds it: such a test fails when it is in neither list. A new
# module that needs neither belongs here; one that needs them, or takes seconds for other reasons, does not.
FAST = (
    "test_[!demnsu]*.py",
    "test_d[!io]*.py",
    "test_engine*.py",
    "test_si[!m]*.py",
    "test_utils.py",
    "checks/test_ins*.py",
    "checks/test_pl*.py",
    "checks/test_se[!c]*.py",
    "delivery/test_answers.py",
    "delivery/test_o*.py",
    "delivery/test_pending.py",
    "delivery/test_receipts.py",
    "delivery/test_standing.py",
    "feeds/massive/test_rest*.py",
    "feeds/massive/test_wire.py",
    "feeds/massive/test_frames.py",
    "feeds/test_pacing.py",
    "feeds/test_states.py",
    "messages/*.py",
    "record/test_fo*.py",
    "record/test_journal.py",
    "record/test_lease.py",
    "review/test_fills.py",
    "pictures/test_[dg]*.py",
    "worker/test_al*.py",
    "worker/test_inbox.py",
    "worker/test_start.py",
)

NOT_FAST = frozenset(
    {
        "test_a_disk_that_is_really_full",
        "test_a_full_disk_leaves_nothing_half_written",
        "test_a_disks_thread_does_not_keep_the_process",
        "test_a_really_full_disk_loses_nothing",
        "test_the_start_of_an_entry_point_loads_nothing_heavy",
        "test_an_address_for_apprise_is_checked_without_loading_it",
        "test_what_decides_can_be_loaded_without_input_or_output",
        "test_nothing_but_what_is_passed_counts",
        "test_the_fingerprint_is_the_same_in_every_process",
        "test_the_worker_warns_of_them_as_it_starts",
        "test_an_uncaught_exception_ends_in_the_log_without_secrets",
        "test_what_nobody_catches_stands_in_the_log_without_secrets",
        "test_the_command_that_locks_is_the_one_that_the_locks_name",
        "test_a_lock_that_fails_is_no_lease_and_leaves_no_file_open",
        "test_what_was_not_entered_is_found_however_a_process_is_started_and_ends",
        "test_a_script_finds_what_it_finds_otherwise",
        "test_a_crash_gives_the_lease_back",
        "test_a_full_disk_does_not_give_the_lease_away",
        "test_without_locks_the_checks_say_so_and_what_needs_none_goes_on",
        "test_without_locks_the_program_can_still_be_loaded",
        "test_the_calendar_imports_no_country",
        "test_systemd_takes_the_unit_as_it_is",
        "test_the_machines_time_zone_does_not_matter",
        "test_through_an_entry_points_own_output_colours_stay_and_nothing_else_does",
    }
)

WAITING = (
    "worker/test_stop_stuck.py",
    "worker/test_restart_process.py",
    "worker/test_watch.py",
    "sim/test_stream_faults.py",
)
"""The modules whose tests wait longest for real clocks, up to 16 s each."""

COMPILED_LATER = re.compile(r"/(\.[^/]+|tests|benchmarks|build)/")
"""Folders without a module of the program; pytest compiles its tests in its own way."""

OUTSIDE = frozenset({"socket.connect", "socket.bind", "subprocess.Popen", "os.fork", "os.posix_spawn"})
"""What Python's audit calls the beginnings of a socket's or a process's use."""

at_work: list[pytest.Item] = []
"""The fast test that runs now."""


def refuse(event: str, _arguments: tuple[Any, ...]) -> None:
    """Fails a fast test that opens a socket or starts a process."""
    if at_work and event in OUTSIDE:
        raise RuntimeError(f"{at_work[0].nodeid} is marked fast: no {event} in it (tests/conftest.py)")


sys.addaudithook(refuse)


@functools.cache
def is_fast(path: Path) -> bool:
    """Returns whether a module's tests are fast ones."""
    return any(fnmatch(path.relative_to(HERE).as_posix(), pattern) for pattern in FAST)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With ``-m fast`` other modules are not even imported: that would take as long as the fast tests."""
    is_other = collection_path.suffix == ".py" and not is_fast(collection_path)
    return True if is_other and config.option.markexpr == "fast" else None


def pytest_configure(config: pytest.Config) -> None:
    """Compiles the program once, before the processes that test it and the 150 that they start: else each does it anew."""
    if hasattr(config, "workerinput"):
        return
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    compileall.compile_dir(HERE.parent, rx=COMPILED_LATER, quiet=2)
    os.environ[SHARED] = tempfile.mkdtemp(prefix="simulations-")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Removes what the processes have shared."""
    if not hasattr(config, "workerinput") and (shared := os.environ.pop(SHARED, "")):
        shutil.rmtree(shared, ignore_errors=True)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Four processes suit two cores, as most of their time is waiting; fast tests wait for nothing, so two do."""
    return 2 if config.option.markexpr == "fast" else 4


def is_waiting(path: Path) -> bool:
    """Returns whether a module's tests wait for real clocks for long."""
    return any(fnmatch(path.relative_to(HERE).as_posix(), pattern) for pattern in WAITING)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the fast tests, and puts first those that wait for long: begun last, they would be waited for at the end."""
    waiting = {path for path in {item.path for item in items} if is_waiting(path)}
    items.sort(key=lambda item: item.path not in waiting)
    for item in items:
        if is_fast(item.path) and getattr(item, "originalname", item.name) not in NOT_FAST:
            item.add_marker("fast")


def pytest_collection_finish() -> None:
    """What was loaded and collected stays to the end: the garbage collector need not look through it again."""
    gc.enable()
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """A fast test is held to what it says of itself."""
    if item.get_closest_marker("fast") is not None:
        at_work.append(item)
    try:
        return (yield)
    finally:
        at_work.clear()


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
