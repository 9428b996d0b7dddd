"""The start benchmark: what it starts is what it says, and is ended. Nothing is timed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from benchmarks.harness import BenchmarkError
from benchmarks.live_worker import memory
from benchmarks.made_record import session
from benchmarks.start import NOON_US, OPEN_US, RESTART_US, Child, surroundings, vendors, worker
from utils import minute_text


def test_the_times_are_those_that_are_said() -> None:
    assert session().open == OPEN_US
    assert [minute_text(at) for at in (NOON_US, RESTART_US)] == ["12:00", "15:30"]


def test_a_process_keeps_its_bytecode_out_of_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    made = surroundings(tmp_path / "worker")
    assert "PYTHONDONTWRITEBYTECODE" not in made
    assert Path(made["PYTHONPYCACHEPREFIX"]) == tmp_path / "bytecode"
    assert made["PATH"] == os.environ["PATH"]


def test_a_childs_lines_are_found_and_its_errors_told(tmp_path: Path) -> None:
    code = "import sys; print('one'); print('two', flush=True); sys.exit('no such thing')"
    child = Child([sys.executable, "-c", code], tmp_path, {})
    try:
        line = child.until("two")
        assert line.passed_s > 0
        assert line.text == "two\n"
        with pytest.raises(BenchmarkError, match=r"ended before it said 'three'[\s\S]*no such thing"):
            child.until("three")
    finally:
        child.end()
    assert child.process.returncode is not None


def test_the_worker_subscribes_as_it_does_live_and_is_ended(tmp_path: Path) -> None:
    with vendors(tmp_path, NOON_US) as (environment, clock):
        assert set(environment) >= {"POLYGON_API_KEY", "POLYGON_WS_URL", "PUSHOVER_URL"}
        with worker(tmp_path / "worker", environment, clock) as started:
            line = started.until("2 of 2 subscribed")
            assert line.passed_s > 0
            assert Path("/proc/self/schedstat").exists() is (line.worked_s > 0)
    assert started.process.returncode is not None
    assert (tmp_path / "worker" / "data" / "sessions" / "2025-10-02.jsonl").exists()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is counted as Linux does it")
def test_memory_is_told_now_and_at_its_highest() -> None:
    found = memory()
    assert 0 < found["rss_mb"] <= found["highest_mb"]
