"""A key that a test leaves anywhere is found."""

from __future__ import annotations

from pathlib import Path

from tests import canaries
from tests.stage import KEY


def test_a_key_in_a_file_is_found_wherever_it_is_cut(tmp_path: Path) -> None:
    place = tmp_path / "deep" / "log"
    place.parent.mkdir()
    place.write_text(f"{'x' * 9}{KEY}\n", encoding="utf-8")
    (tmp_path / ".env").write_text(KEY, encoding="utf-8")
    assert next(canaries.found_under(tmp_path, 16)) == "deep/log: canary-polyg…"
    place.unlink()
    assert list(canaries.found_under(tmp_path)) == []


def test_a_key_in_the_output_is_found() -> None:
    assert list(canaries.found_by([("call stdout", "fine"), ("call log", f"key {KEY}")])) == [
        "call log: canary-polyg…"
    ]


def test_a_key_among_the_arguments_of_a_process_is_found() -> None:
    canaries.note("subprocess.Popen", ("python", ["python", "-c", "", KEY], None, None))
    canaries.note("subprocess.Popen", ("python", ["python", "-c", ""], None, None))
    assert canaries.processes == ["python"]
    canaries.processes.clear()
