"""The benchmarks' arithmetic, and that what they compare finds the same. Nothing is timed, no peer is needed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import engine_speed, floor, machine, ours, report
from benchmarks.__main__ import BENCHMARKS, arguments
from benchmarks.contest import ALL, Found, Run, Stopwatch, Tape, digest, read_tape, write_tape
from benchmarks.engine_speed import compare, numbers_of
from benchmarks.environments import PEERS, pinned
from benchmarks.harness import ROOT, BenchmarkError, Contestant, Row, Timing, call, ratio, take_turns
from benchmarks.made_session import BARS, made_tape
from benchmarks.peers.windows import Conditions
from rules import Rules

SECONDS = 2_800
"""Long enough for full windows and for one climb with signals."""


@pytest.fixture(scope="module")
def tape() -> Tape:
    return made_tape(numbers=numbers_of(Rules()), seconds=SECONDS, corrections=0.3)


def found_by(run: Run) -> Found:
    watch = Stopwatch()
    watch.start()
    return run(watch)


def by_windows(tape: Tape) -> Found:
    """What the peers' shared float windows find."""
    conditions = Conditions(tape.numbers, tape.seconds)
    found: Found = []
    for row in tape.stream:
        if row.symbol:
            conditions.benchmark(row.second, row.close)
        elif row.is_repeat:
            conditions.correct(row.second, row.close, row.volume, row.vwap)
        else:
            found.append((row.second, conditions.own(row.second, row.close, row.volume, row.vwap)))
    return found


# --- All find the same ---


def test_the_engine_and_the_floor_agree_at_every_second_of_the_final_bars(tape: Tape) -> None:
    found = found_by(ours.prepare_final(tape))
    compare("floor", found_by(floor.prepare(tape)), found)


def test_the_engine_and_the_windows_of_the_peers_agree_with_every_correction(tape: Tape) -> None:
    found = found_by(ours.prepare(tape))
    compare("windows", by_windows(tape), found)
    assert found != found_by(ours.prepare_final(tape)), "the corrections change something"


def test_a_part_of_the_session_is_found_as_in_the_whole(tape: Tape) -> None:
    whole = found_by(ours.prepare(tape))
    part = found_by(ours.prepare(tape._replace(measured_from=2_000)))
    assert part == [item for item in whole if item[0] >= 2_000]


def test_longer_windows_are_the_engines_own_rules(tape: Tape) -> None:
    longer = tape._replace(rules={"vwap_long_seconds": 2_000, "volume_window_seconds": 2_000})
    assert found_by(ours.prepare(longer)) != found_by(ours.prepare(tape))


def test_a_difference_is_an_error_that_says_where() -> None:
    wanted = [(10, 3), (11, ALL), (12, ALL)]
    compare("same", list(wanted), wanted)
    compare("part", wanted[1:], wanted, is_partial=True)
    with pytest.raises(BenchmarkError, match=r"1 of 3 seconds, first at 11: 5 instead of 127"):
        compare("other", [(10, 3), (11, 5), (12, ALL)], wanted)
    with pytest.raises(BenchmarkError, match=r"first at 10: None instead of 3"):
        compare("less", wanted[1:], wanted)
    with pytest.raises(BenchmarkError, match="no signal"):
        compare("nothing", wanted[:1], wanted[:1])


# --- The made session ---


def test_a_whole_session_has_as_many_prints_as_said_with_gaps_and_corrections() -> None:
    tape = made_tape(numbers={})
    assert len(tape.stream) == BARS
    repeats = [row for row in tape.stream if row.is_repeat]
    assert len(tape.final) == BARS - len(repeats)
    assert 0.1 < len(repeats) / len(tape.final) < 0.2
    assert 0.17 < 1 - sum(row.symbol == 0 for row in tape.final) / tape.seconds < 0.33


def test_every_print_is_a_bar_and_comes_in_its_turn(tape: Tape) -> None:
    known: dict[tuple[int, int], bool] = {}
    batches = [row.batch for row in tape.stream]
    assert batches == sorted(batches)
    for row in tape.stream:
        key = row.symbol, row.second
        assert row.is_repeat == (key in known)
        assert row.batch > row.second if row.is_repeat else row.batch == row.second
        assert row.low <= min(row.open, row.close) <= max(row.open, row.close) <= row.high
        assert row.volume > 0
        known[key] = True


def test_the_final_bars_are_the_last_prints(tape: Tape) -> None:
    last = {(row.symbol, row.second): (row.close, row.volume, row.vwap) for row in tape.stream}
    assert {(row.symbol, row.second): (row.close, row.volume, row.vwap) for row in tape.final} == last


def test_the_seed_decides_and_the_tape_survives_its_file(tmp_path: Path, tape: Tape) -> None:
    again = made_tape(numbers=numbers_of(Rules()), seconds=SECONDS, corrections=0.3)
    assert again == tape
    assert made_tape(numbers={}, seconds=SECONDS, seed=2).stream != tape.stream
    write_tape(tmp_path / "tape.json", tape)
    assert read_tape(tmp_path / "tape.json") == tape


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_corrections_come_as_asked(share: float) -> None:
    tape = made_tape(numbers={}, seconds=1_000, corrections=share)
    assert sum(row.is_repeat for row in tape.stream) == round(len(tape.final) * share)


# --- The harness ---


def test_verdicts() -> None:
    def row(figure: float, goal: float | None, *, at_most: bool = True) -> str:
        return Row(benchmark="b", what="w", figure=figure, goal=goal, at_most=at_most).verdict

    assert [row(1.5, 1.5), row(1.51, 1.5), row(9, None)] == ["pass", "short", "–"]
    assert [row(4, 4, at_most=False), row(3.9, 4, at_most=False)] == ["pass", "short"]


def test_the_ratio_is_of_the_best_times_and_its_median_of_neighbours() -> None:
    timings = {
        "a": Timing(label="a", wall=[0, 0, 0], cpu=[2.0, 6.0, 3.0]),
        "b": Timing(label="b", wall=[0, 0, 0], cpu=[1.0, 2.0, 4.0]),
    }
    assert ratio(timings, "a", "b") == (2.0, 2.0)
    assert timings["a"].median == 3.0


def test_who_has_had_a_round_more_is_compared_by_the_rounds_that_both_had() -> None:
    a, b = Timing(label="a"), Timing(label="b")
    for seconds in (2.0, 1.0):
        a.take({"wall": 0, "cpu": seconds})
    b.take({"wall": 0, "cpu": 4.0})
    assert ratio({"a": a, "b": b}, "a", "b") == (0.25, 0.5)


def program(tmp_path: Path, name: str, text: str) -> Contestant:
    path = tmp_path / f"{name}.py"
    path.write_text(text, encoding="utf-8")
    return Contestant(label=name, python=Path(sys.executable), arguments=(str(path),))


def test_contestants_take_turns_in_processes_of_their_own(tmp_path: Path) -> None:
    line = "import json, os; print('noise'); print(json.dumps({'wall': 1, 'cpu': 0.5, 'pid': os.getpid()}))"
    contestants = [program(tmp_path, name, line) for name in "ab"]
    seen: list[tuple[str, int]] = []
    timings = take_turns(
        contestants, 2, lambda _: None, lambda one, result: seen.append((one.label, result["pid"]))
    )
    assert [label for label, _ in seen] == ["a", "b", "b", "a"]
    assert len({pid for _, pid in seen}) == 4
    assert timings["a"].cpu == [0.5, 0.5]
    again = take_turns(contestants[:1], 1, lambda _: None, timings=timings)
    assert [len(again[name].cpu) for name in "ab"] == [3, 2]


def test_a_contestant_that_fails_is_told_with_what_it_said(tmp_path: Path) -> None:
    broken = program(tmp_path, "broken", "raise RuntimeError('no such feed')")
    with pytest.raises(BenchmarkError, match=r"broken ended with status 1:[\s\S]*no such feed"):
        call(broken)


def test_a_contestants_process_says_what_it_found(tmp_path: Path, tape: Tape) -> None:
    path = tmp_path / "tape.json"
    write_tape(path, tape)
    result = call(engine_speed.ours("floor", "floor", path), "--found")
    found = [(second, mask) for second, mask in result["found"]]
    assert found == found_by(floor.prepare(tape))
    assert result["digest"] == digest(found)
    assert result["signals"] == sum(mask == ALL for _, mask in found) > 0
    assert result["cpu"] > 0


def test_every_peer_has_a_pinned_environment() -> None:
    for name in PEERS.values():
        text = (ROOT / "benchmarks" / name).read_text(encoding="utf-8")
        lines = [line for line in text.splitlines() if line and not line.startswith("#")]
        assert all("==" in line for line in lines)
        assert pinned(ROOT / "benchmarks" / name) == [line.split("==")[0] for line in lines]


def test_what_the_peers_share_needs_the_standard_library_only() -> None:
    code = (
        "import sys; import benchmarks.contest, benchmarks.peers.windows\n"
        "print(sorted({name.split('.')[0] for name in sys.modules} - sys.stdlib_module_names))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert json.loads(done.stdout.replace("'", '"')) == ["__main__", "benchmarks"]


# --- The command ---


def test_benchmarks_have_names_of_their_own_and_can_be_chosen() -> None:
    names = [benchmark.name for benchmark in BENCHMARKS]
    assert len(set(names)) == len(names)
    options = arguments(["--quick", "--only", names[0], "--json", "x.json"])
    assert options.quick
    assert options.only == [names[0]]
    with pytest.raises(SystemExit):
        arguments(["--only", "nothing"])


ROWS = [
    Row(benchmark="engine", what="ours ÷ <theirs>", figure=0.155, median=0.16, goal=1 / 6),
    Row(benchmark="wire", what="rate", figure=3.0, goal=4, at_most=False, note="why"),
    Row(benchmark="start", what="time", figure=1234.5, unit="ms"),
]


def test_the_table_says_goal_figure_and_verdict() -> None:
    lines = report.table(ROWS).splitlines()
    assert len(lines) == 2 + len(ROWS)
    assert len({len(line) for line in lines}) == 1
    assert [cell.strip() for cell in lines[2].split("|")[1:-1]] == [
        *("engine", "ours ÷ <theirs>", "≤ 1/6", "1/6.45", "1/6.25", "pass", "")
    ]
    assert "≥ 4 ×" in lines[3] and "short" in lines[3]
    assert "1,234 ms" in lines[4]


def test_the_page_stands_alone() -> None:
    page = report.page(ROWS, "a machine", {"basana": "1.11"})
    assert page.count("<rect") == 2  # what is judged; the third is no ratio either
    assert "ours ÷ &lt;theirs&gt;" in page
    assert "basana 1.11" in page
    assert not [word for word in ("http://", "https://", "<script", "src=") if word in page]


def test_the_page_draws_every_goal_and_every_other_ratio() -> None:
    rows = [
        Row(benchmark="alert", what="share", figure=-0.2, unit="ms", goal=0.3),
        Row(benchmark="rebuild", what="whole", figure=1.0, unit="s", goal=2.0),
        Row(benchmark="wire", what="rate", figure=0.0, goal=4, at_most=False),
        Row(benchmark="engine", what="ratio", figure=0.5),
        Row(benchmark="start", what="memory", figure=50, unit="MB"),
    ]
    page = report.page(rows, "a machine", {})
    goals, others = page.split("<h2>Other ratios</h2>")
    assert (goals.count("<rect"), others.count("<rect")) == (3, 1)
    assert "-0.200 ms (≤ 0.300 ms)" in goals
    assert (goals.count("<line"), others.count("<line")) == (1, 1)
    assert "<rect" not in report.page(rows[-1:], "a machine", {})


def test_the_distance_from_a_goal_is_a_factor_whichever_way_it_points() -> None:
    def row(figure: float, goal: float | None, *, at_most: bool = True) -> float:
        return report.distance(Row(benchmark="b", what="w", figure=figure, goal=goal, at_most=at_most))

    assert [row(3, 1.5), row(0.75, 1.5), row(2, 4, at_most=False), row(8, 4, at_most=False)] == [
        2,
        0.5,
        2,
        0.5,
    ]
    assert row(0, 4, at_most=False) == float("inf")
    with pytest.raises(ValueError, match="no goal"):
        row(1, None)


@pytest.mark.parametrize(
    ("value", "text"), [(0.00333, "0.00333"), (0.155, "0.155"), (2.5, "2.50"), (23.44, "23.4"), (12_345.6, "12,346")]
)  # fmt: skip
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert report.number(value) == text


def test_the_machine_is_described() -> None:
    found = machine.describe(ROOT)
    assert found.cores >= 1
    assert found.python in found.sentence()


def test_a_change_of_the_code_is_seen(tmp_path: Path) -> None:
    (tmp_path / "benchmarks").mkdir()
    paths = [tmp_path / "engine.py", tmp_path / "benchmarks" / "floor.py"]
    digests = {machine.source_digest(tmp_path)}
    for path in paths:
        path.write_text("x = 1\n", encoding="utf-8")
        digests.add(machine.source_digest(tmp_path))
    paths[0].write_text("x = 2\n", encoding="utf-8")
    digests.add(machine.source_digest(tmp_path))
    assert len(digests) == 4
    assert machine.source_digest(tmp_path) in digests
