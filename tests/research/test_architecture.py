"""Research stands above review; nothing imports it, and its statistics are pure."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.test_architecture import ENTRY_POINTS, IMPURE, MODULES, ROOT, imports_of, modules_in

FOLDER = ROOT / "research"
RESEARCH = {
    *("__init__", "__main__", "calibration", "judge_report", "judgement", "ledger", "track_record"),
    *(
        f"backtest/{name}"
        for name in ("__init__", "figures", "greeks", "recorded", "report", "run", "session", "vault")
    ),
    "backtest/writing",
    *(
        f"commands/{name}"
        for name in (
            "__init__",
            "backtest",
            "calibrate",
            "data",
            "demo",
            "fetch",
            "import_files",
            "judge",
            "places",
        )
    ),
    *(f"report_page/{name}" for name in ("__init__", "charts", "evidence", "groups", "months", "page")),
    *(f"report_page/{name}" for name in ("parts", "published", "session_pages", "told", "trades")),
    *(f"history/{name}" for name in ("__init__", "fetch", "imported", "records", "requests")),
    *(f"history/{name}" for name in ("session", "store", "tape")),
    *("statistics/__init__", "statistics/days", "statistics/deflated", "statistics/intervals"),
    *("statistics/overfitting", "statistics/superiority", "statistics/verdict", "statistics/walk_forward"),
}
"""A closed list."""


def test_the_rooms_of_research_are_a_closed_list() -> None:
    assert modules_in("research") == RESEARCH


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.py")), ids=lambda path: path.stem)
def test_research_uses_review_and_the_worker_s_words_but_no_simulation(path: Path) -> None:
    found = imports_of(path)
    assert "sim" not in found
    assert found & MODULES <= MODULES - ENTRY_POINTS | {"entry"}


@pytest.mark.parametrize(
    "name",
    [
        "history/session",
        "history/tape",
        "backtest/greeks",
        "backtest/session",
        "backtest/vault",
        "backtest/figures",
        "report_page/groups",
        "report_page/published",
        "report_page/told",
    ],
)
def test_what_runs_a_session_is_pure(name: str) -> None:
    assert not IMPURE & imports_of(FOLDER / f"{name}.py")


def test_review_and_the_simulation_do_without_research() -> None:
    for room in ("review", "sim"):
        for path in sorted((ROOT / room).rglob("*.py")):
            assert "research" not in imports_of(path), path


@pytest.mark.parametrize("path", sorted((FOLDER / "statistics").glob("*.py")), ids=lambda path: path.stem)
def test_statistics_are_pure(path: Path) -> None:
    found = imports_of(path)
    assert not IMPURE & found
    assert found <= {"research", "numpy", "arch", *sys.stdlib_module_names}
