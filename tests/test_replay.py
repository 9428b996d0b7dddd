"""A recorded session replayed and verified: the same decisions, to the bit, and every tampering found."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from msgspec.structs import replace

from events import SECOND, Bar, Closed, Condition, Decision, FeedCause, FeedLost, Opened, Tick
from record.lines import Entry, Header
from record.reader import Damage, Reader
from review.__main__ import main
from review.replay import Start, Step, play
from review.screen import Progress
from review.trace import COLUMNS, TRACE_BEGINS
from review.verify import Difference, check
from rules import Rules
from sim.__main__ import main as sim_main
from tests.builders import SESSION
from tests.made_day import BEGIN_S, END_S, Made
from tests.made_record import Edit, resealed

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A session with a BUY and its SELL, and a restart with other rules between the two."""
    path = tmp_path_factory.mktemp("record") / "2025-10-02.jsonl"
    story = Made(path)
    story.start(SESSION.open + BEGIN_S * SECOND)
    story.go(BEGIN_S - 1_300, BEGIN_S, 2_330)
    assert story.engine is not None and story.engine.position is not None
    story.journal.close()
    story.start(SESSION.open + 2_360 * SECOND, Rules(stop_loss_percent=14.0))
    story.tell(SESSION.open + 2_360 * SECOND, FeedLost(cause=FeedCause.NOT_CONNECTED))
    story.go(2_300, 2_361, END_S)
    story.journal.close()
    return story


def recorded(path: Path) -> list[tuple[Decision, ...]]:
    """What each fact of a record caused."""
    return [line.decisions for line in Reader(path) if isinstance(line, Entry)]


def derived(path: Path, sets: dict[str, str] | None = None) -> list[tuple[Decision, ...]]:
    """The same, decided again."""
    return [tuple(item.decisions) for item in play(path, sets) if isinstance(item, Step)]


def rewritten(path: Path, folder: Path, edit: Edit, *, seal: bool) -> Path:
    """A copy with its texts edited. ``seal`` mends every checksum, as somebody who knows the format would."""
    copy = folder / "copy.jsonl"
    if seal:
        return resealed(path, copy, edit)
    lines = path.read_bytes().splitlines(keepends=True)
    edit(lines)
    copy.write_bytes(b"".join(lines))
    return copy


def line_of(path: Path, holds: Callable[[Entry], bool]) -> int:
    """The index of the first line whose fact is as asked."""
    return next(index for index, line in enumerate(Reader(path)) if isinstance(line, Entry) and holds(line))


def has(kind: type[Decision]) -> Callable[[Entry], bool]:
    """Whether a fact caused such a decision."""
    return lambda entry: any(isinstance(decision, kind) for decision in entry.decisions)


def run(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[bytes]:
    """The command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "review", *arguments],
        cwd=ROOT,
        capture_output=True,
        timeout=60,
        check=False,
        env={**os.environ, **(env or {})},
    )


# --- Replay ------------------------------------------------------------------------------------------


def test_the_made_session_has_what_the_tests_need(made: Made) -> None:
    kinds = [type(decision) for decision in made.decisions]
    assert kinds.count(Opened) == kinds.count(Closed) == 1
    headers = [line for line in Reader(made.path) if isinstance(line, Header)]
    assert [header.rules["stop_loss_percent"] for header in headers] == [15.0, 14.0]
    opened_at = line_of(made.path, has(Opened))
    closed_at = line_of(made.path, has(Closed))
    second = [index for index, line in enumerate(Reader(made.path)) if isinstance(line, Header)][1]
    assert opened_at < second < closed_at


def test_a_replay_decides_the_same(made: Made) -> None:
    assert derived(made.path) == recorded(made.path)
    assert [decision for each in derived(made.path) for decision in each] == made.decisions


def test_any_number_of_restarts_is_replayed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Killed between two facts, right after a header, and in the middle of a line, before and after the BUY."""
    story = Made(tmp_path / "record.jsonl")
    known = BEGIN_S - 1_300
    for begin, end in ((BEGIN_S, 2_170), (2_175, 2_230), (2_231, 2_232), (2_240, 2_300), (2_303, END_S)):
        story.start(SESSION.open + begin * SECOND)
        story.journal.close()
        with story.path.open("ab") as file:
            file.write(b'[1759413630000000,17,{"type":"ti')
        story.start(SESSION.open + begin * SECOND)
        story.go(known, begin, end)
        story.journal.close()
        known = end - 5
    kinds = [type(decision) for decision in story.decisions]
    assert kinds.count(Opened) == kinds.count(Closed) == 1
    assert derived(story.path) == recorded(story.path)
    assert main(["verify", str(story.path)]) == 0
    assert ", 10 starts, " in capsys.readouterr().out
    assert main(["replay", str(story.path)]) == 0
    out = capsys.readouterr().out
    assert out.count("The program started again") == 9
    assert out.count("The program started again: nothing before") == 1
    assert "The program started again: gap 8s" in out


def test_a_replay_prints_lines_alerts_trades_and_fills(
    made: Made, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", str(made.path)]) == 0
    out = capsys.readouterr().out
    buy = next(decision for decision in made.decisions if isinstance(decision, Opened))
    sell = next(decision for decision in made.decisions if isinstance(decision, Closed))
    in_order = [
        "🔁 Session 2025-10-02, 09:30–16:00 ET",
        "│ ✅ IWM: armed",
        f"🔥 ENTRY: {buy.contract} @ $",
        "│ 🔥 IWM 0DTE CALL — BUY",
        f"│ #{buy.id}",
        f"📨 Alert BUY {buy.id}: accepted",
        "🔁 The program started again: gap 31s",
        f"Watching again #{buy.id}: gap 31s",
        f"🚪 EXIT: {sell.contract} @ $",
        "│ 🚪 IWM 0DTE CALL — SELL",
        "all conditions held in",
        "Trades (",
        f"#{buy.id}  {buy.contract}  ",
        "Followed by hand",
        f"#{buy.id}  ",
    ]
    place = 0
    for text in in_order:
        place = out.find(text, place)
        assert place >= 0, text
    assert "2025-10-02 10:07:03 ET  INFO  🔥 ENTRY" in out
    assert "Data feed active" not in out
    assert main(["replay", str(made.path), "--verbose"]) == 0
    verbose = capsys.readouterr().out
    assert verbose.count("📊 Data feed active: IWM") == verbose.count("📈 Signal conditions:") >= 4


def test_a_replay_is_the_same_whatever_the_machine_is(made: Made, tmp_path: Path) -> None:
    worlds = [
        {"PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo", "LC_ALL": "C"},
        {"PYTHONHASHSEED": "2", "TZ": "America/New_York", "STOP_LOSS_PERCENT": "3", "SYMBOL": "QQQ"},
    ]
    results = []
    for number, env in enumerate(worlds):
        trace = tmp_path / f"{number}.csv"
        done = run("replay", str(made.path), "--trace", str(trace), env=env)
        assert done.returncode == 0, done.stderr
        results.append((done.stdout, trace.read_bytes()))
    assert results[0] == results[1]
    assert len(results[0][1].splitlines()) > 200


def test_a_record_may_be_packed_and_have_any_name(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    packed = tmp_path / "notes.csv"
    packed.write_bytes(gzip.compress(made.path.read_bytes()))
    plain = tmp_path / "plain.jsonl.gz"
    plain.write_bytes(made.path.read_bytes())
    assert main(["verify", str(packed), str(plain)]) == 0
    assert capsys.readouterr().out.count("✓ ") == 2
    assert main(["replay", str(packed)]) == 0


def test_a_torn_record_is_replayed_up_to_there_and_said(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torn = tmp_path / "torn.jsonl"
    torn.write_bytes(made.path.read_bytes()[:-20])
    assert main(["replay", str(torn)]) == 0
    assert "last line is torn" in capsys.readouterr().out


# --- Other rules -------------------------------------------------------------------------------------


def test_a_rule_can_be_set_anew(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    tighter = [item for each in derived(made.path, {"TIGHTEN_GIVEBACK_PERCENT": "2"}) for item in each]
    was = next(decision for decision in made.decisions if isinstance(decision, Closed))
    now = next(decision for decision in tighter if isinstance(decision, Closed))
    assert (was.limit_percent, now.limit_percent) == (20.0, 2.0)
    assert main(["replay", str(made.path), "--set", "relative_volume_min = 90"]) == 0
    out = capsys.readouterr().out
    assert ", RELATIVE_VOLUME_MIN=90" in out
    assert "No trades." in out
    assert "BUY" not in out.replace("Alert BUY", "")


def test_after_a_restart_the_replay_goes_on_from_its_own_decisions(made: Made) -> None:
    """Without the BUY before the restart, there is no position after it to sell."""
    sets = {"RELATIVE_VOLUME_MIN": "90"}
    starts = [item for item in play(made.path, sets) if isinstance(item, Start)]
    assert [start.engine.rules.relative_volume_min for start in starts] == [90.0, 90.0]
    assert not [
        item for each in derived(made.path, sets) for item in each if isinstance(item, Opened | Closed)
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("STOP_LOS_PERCENT=20", "--set STOP_LOS_PERCENT: no such rule; did you mean STOP_LOSS_PERCENT?"),
        ("POLYGON_API_KEY=abc123secret", "--set POLYGON_API_KEY: no such rule"),
        ("STOP_LOSS_PERCENT", "--set STOP_LOSS_PERCENT: takes NAME=VALUE"),
        ("STOP_LOSS_PERCENT=", "--set STOP_LOSS_PERCENT: takes a value"),
        ("STOP_LOSS_PERCENT=many", "STOP_LOSS_PERCENT: got 'many'; takes a number (% of entry)"),
        ("STOP_LOSS_PERCENT=100", "STOP_LOSS_PERCENT: got '100'; takes a number (% of entry)"),
        ("BENCHMARK=IWM", "BENCHMARK (IWM) must differ from SYMBOL (IWM)"),
        ("NO_ENTRY_AFTER=noon", "NO_ENTRY_AFTER: got 'noon'; takes a New York time"),
    ],
)
def test_a_rule_that_cannot_be_is_refused(
    made: Made, text: str, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", str(made.path), "--set", text]) == 2
    captured = capsys.readouterr()
    assert fault in captured.err
    assert "abc123secret" not in captured.err + captured.out
    assert not captured.out


# --- The trace ---------------------------------------------------------------------------------------


def test_the_trace_has_every_evaluation_to_the_last_bit(made: Made, tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    assert main(["replay", str(made.path), "--trace", str(path)]) == 0
    text = path.read_text(encoding="utf-8")
    assert text.startswith(
        "time,symbol,price,vwap_1m,vwap_1m_change,vwap_5m,vwap_5m_change,vwap_rising_s,volume,volume_p95,volume_z,"
        "momentum_pct_per_s,relative_volume,roc5,benchmark_roc5,met_five_minute_vwap,met_above_vwap,"
        "met_vwap_rising,met_volume_surge,met_momentum,met_relative_volume,met_spy_lag,gate,decision\n"
    )
    assert "\r" not in text
    assert text.encode().startswith(TRACE_BEGINS)
    names, *rows = csv.reader(io.StringIO(text))
    assert tuple(names) == COLUMNS
    assert len(set(names)) == len(names)
    steps = [item for item in play(made.path) if isinstance(item, Step) and item.evaluation is not None]
    assert len(rows) == len(steps) > 200
    first = len(COLUMNS) - len(Condition) - 2
    for row, step in zip(rows, steps, strict=True):
        evaluation = step.evaluation
        assert evaluation is not None
        assert row[0].endswith("Z")
        assert row[1] == "IWM"
        for name, field in (("vwap_5m", "vwap_5m"), ("momentum_pct_per_s", "momentum"), ("roc5", "roc5")):
            value = getattr(evaluation, field)
            assert row[names.index(name)] == ("" if value is None else repr(value))
        assert row[first:-2] == ["01"[passed] if passed is not None else "" for passed in evaluation.passes]
        assert row[-2] == (evaluation.gate or "")
    named = {type(decision).__name__ for step in steps for decision in step.decisions}
    assert {row[-1] for row in rows} - {""} <= named
    assert [row[-1] for row in rows].count("Opened") == 1
    assert next(row for row in rows if row[-1] == "Opened")[0] == "2025-10-02T14:07:00Z"


def test_a_condition_that_is_left_out_is_empty(made: Made, tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    sets = ["--set", "BENCHMARK=", "--set", "RELATIVE_VOLUME_MIN=0"]
    assert main(["replay", str(made.path), *sets, "--trace", str(path)]) == 0
    _, *rows = csv.reader(io.StringIO(path.read_text(encoding="utf-8")))
    for row in rows:
        assert row[-4] == row[-3] == ""
        assert row[COLUMNS.index("benchmark_roc5")] == ""


def test_the_trace_never_overwrites_what_is_replayed(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = made.path.read_bytes()
    again = made.path.parent / ".." / made.path.parent.name / made.path.name
    assert main(["replay", str(made.path), "--trace", str(again)]) == 2
    assert made.path.read_bytes() == before
    assert main(["replay", str(made.path), "--trace", str(tmp_path / "no" / "trace.csv")]) == 2
    assert main(["replay", str(made.path), "--trace", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("--trace") == 3


# --- Verify ------------------------------------------------------------------------------------------


def test_a_good_record_is_good(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(made.path)]) == 0
    out = capsys.readouterr().out
    facts = len(recorded(made.path))
    assert out.startswith(
        f"✓ {made.path}: 2025-10-02, {facts:,} facts, 2 starts, {len(made.decisions)} decisions"
    )
    assert out.count("\n") == 1


def test_any_changed_number_is_found_where_it_is(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One digit of one line, anywhere: the checksum tells."""
    count = len(made.path.read_bytes().splitlines())
    for index in range(3, count, count // 20):

        def change(lines: list[bytes], index: int = index) -> None:
            digits = [place for place, byte in enumerate(lines[index]) if chr(byte).isdigit()]
            place = digits[index % len(digits)]
            other = b"%d" % ((int(lines[index][place : place + 1]) + 1) % 10)
            lines[index] = lines[index][:place] + other + lines[index][place + 1 :]

        copy = rewritten(made.path, tmp_path, change, seal=False)
        assert main(["verify", str(copy)]) == 1
        assert f"{copy}, line {index + 1}: " in capsys.readouterr().out


def drop(index: int) -> Edit:
    """Leave a line out."""

    def edit(lines: list[bytes]) -> None:
        del lines[index]

    return edit


def swap(index: int) -> Edit:
    """Exchange a line with the next."""

    def edit(lines: list[bytes]) -> None:
        lines[index], lines[index + 1] = lines[index + 1], lines[index]

    return edit


@pytest.mark.parametrize("edit", [drop, swap])
@pytest.mark.parametrize("seal", [False, True])
def test_a_line_dropped_or_moved_is_found(
    made: Made,
    tmp_path: Path,
    edit: Callable[[int], Edit],
    seal: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    index = line_of(made.path, has(Opened)) - 7
    copy = rewritten(made.path, tmp_path, edit(index), seal=seal)
    assert main(["verify", str(copy)]) == 1
    found = capsys.readouterr().out
    assert f"{copy}, line {index + 1}: " in found
    assert ("arrival number" if seal else "checksum") in found


def test_a_torn_end_is_found(made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = made.path.read_bytes()
    count = len(whole.splitlines())
    copy = tmp_path / "copy.jsonl"
    for cut in (1, 30):
        copy.write_bytes(whole[:-cut])
        assert main(["verify", str(copy)]) == 1
        assert f"{copy}, line {count}: torn" in capsys.readouterr().out
    copy.write_bytes(gzip.compress(whole)[:-500])
    assert main(["verify", str(copy)]) == 1
    assert "the archive is broken" in capsys.readouterr().out


def test_a_forged_fact_is_found_by_what_it_would_have_caused(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One number of one fact, with every checksum mended: the decision it led to can no more be derived."""
    index = line_of(made.path, has(Opened))
    entry = list(Reader(made.path))[index]
    assert isinstance(entry, Entry) and isinstance(entry.event, Bar)

    def change(texts: list[bytes]) -> None:
        event = entry.event
        assert isinstance(event, Bar)
        texts[index] = msgspec.json.encode(
            Entry(entry.now, entry.number, replace(event, close=event.close + 0.01), entry.decisions)
        )

    copy = rewritten(made.path, tmp_path, change, seal=True)
    assert main(["verify", str(copy)]) == 1
    found = capsys.readouterr().out
    assert (
        f"{copy}, line {index + 1}: fact {entry.number} at 10:07:03 ET, Bar IWM of 10:07:00: Opened.price"
        in found
    )
    assert f"recorded {entry.event.close!r}, derived {entry.event.close + 0.01!r}" in found


@pytest.mark.parametrize("kind", [Opened, Closed])
def test_a_forged_decision_is_found_in_any_field(made: Made, tmp_path: Path, kind: type[Decision]) -> None:
    index = line_of(made.path, has(kind))
    entry = list(Reader(made.path))[index]
    assert isinstance(entry, Entry)
    decision = next(item for item in entry.decisions if isinstance(item, kind))
    numbers = [
        field
        for field in decision.__struct_fields__
        if type(getattr(decision, field)) in (int, float) and (kind, field) != (Closed, "late")
    ]
    assert len(numbers) > 8
    fields = iter(numbers)
    for field in itertools.islice(fields, 0, None, 4):
        changed = replace(decision, **{field: getattr(decision, field) + 1})
        decisions = tuple(changed if item is decision else item for item in entry.decisions)

        def change(texts: list[bytes], decisions: tuple[Decision, ...] = decisions) -> None:
            texts[index] = msgspec.json.encode(Entry(entry.now, entry.number, entry.event, decisions))

        copy = rewritten(made.path, tmp_path, change, seal=True)
        with pytest.raises(Difference, match=f"line {index + 1}: .*{kind.__name__}.{field}: recorded"):
            check(copy)


@pytest.mark.parametrize("forged", ["left out", "made up"])
def test_a_decision_left_out_or_made_up_is_found(made: Made, tmp_path: Path, forged: str) -> None:
    lines = list(Reader(made.path))
    index = line_of(made.path, has(Closed))
    entry = lines[index]
    assert isinstance(entry, Entry)
    target = index if forged == "left out" else index - 1
    other = lines[target]
    assert isinstance(other, Entry)
    decisions = () if forged == "left out" else entry.decisions

    def change(texts: list[bytes]) -> None:
        texts[target] = msgspec.json.encode(Entry(other.now, other.number, other.event, decisions))

    copy = rewritten(made.path, tmp_path, change, seal=True)
    words = (
        "recorded nothing, derived Closed" if forged == "left out" else "recorded Closed .*, derived nothing"
    )
    with pytest.raises(Difference, match=f"line {target + 1}: .* decision: {words}"):
        check(copy)


def header_edit(**changes: Any) -> Edit:
    """The first header with other fields."""

    def edit(texts: list[bytes]) -> None:
        texts[0] = msgspec.json.encode({**msgspec.json.decode(texts[0]), **changes})

    return edit


def test_another_version_is_said(made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = rewritten(made.path, tmp_path, header_edit(version="0.9.0"), seal=True)
    assert main(["verify", str(copy)]) == 0  # the newest header's is this one's, and all can be derived
    assert main(["replay", str(copy)]) == 0
    assert "⚠️ written by version 0.9.0, this is" in capsys.readouterr().out
    copy = rewritten(made.path, tmp_path, header_edit(schema=2, version="9.9.9"), seal=True)
    assert main(["verify", str(copy)]) == 1
    assert "line 1: schema 2 of version 9.9.9; this version reads 1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({**Rules().model_dump(mode="json"), "moon_phase": 3}, "rule MOON_PHASE is unknown"),
        ({"symbol": "IWM"}, "the rules' hash is"),
        ({**Rules().model_dump(mode="json"), "stop_loss_percent": 14.5}, "the rules' hash is"),
        ({**Rules().model_dump(mode="json"), "stop_loss_percent": 145}, "STOP_LOSS_PERCENT: got '145'"),
    ],
)
def test_rules_that_are_not_the_header_s_are_found(
    made: Made, tmp_path: Path, rules: dict[str, Any], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = rewritten(made.path, tmp_path, header_edit(rules=rules, version="0.9.0"), seal=True)
    assert main(["verify", str(copy)]) == 1
    out = capsys.readouterr().out
    assert f"{copy}, line 1: written by version 0.9.0, this is " in out
    assert words in out


def test_every_record_is_checked(made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = rewritten(made.path, tmp_path, drop(100), seal=False)
    assert main(["verify", str(copy), str(made.path)]) == 1
    out = capsys.readouterr().out.splitlines()
    assert [line[0] for line in out] == ["✗", "✓"]


# --- What is no record -------------------------------------------------------------------------------


def test_what_cannot_be_used_is_said(made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    link, pipe = tmp_path / "link.jsonl", tmp_path / "pipe.jsonl"
    link.symlink_to(made.path)
    os.mkfifo(pipe)
    for path, words in (
        (tmp_path / "none.jsonl", "No such file"),
        (tmp_path, "is a folder"),
        (link, "is a symbolic link"),
        (pipe, "is not an ordinary file"),
    ):
        for command in ("replay", "verify"):
            assert main([command, str(path)]) == 2
            captured = capsys.readouterr()
            assert captured.err.startswith(f"python -m review {command}: {path}: {words}")
            assert not captured.out


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"sym,start_ms\nSPY,1\n",
        bytes(range(256)) * 40,
        b"\x1f\x8b not gzip",
        b'{"type":"header"}\n',
    ],
)
def test_what_is_no_record_is_said(
    tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "2025-10-02.jsonl"
    path.write_bytes(content)
    assert main(["replay", str(path)]) == 2
    assert f"{path}, line 1: " in capsys.readouterr().err
    assert main(["verify", str(path)]) == 1
    assert f"✗ {path}, line 1: " in capsys.readouterr().out


def test_a_damaged_record_is_not_replayed(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = rewritten(made.path, tmp_path, drop(3_000), seal=False)
    trace = tmp_path / "trace.csv"
    assert main(["replay", str(copy), "--trace", str(trace)]) == 2
    captured = capsys.readouterr()
    assert f"{copy}, line 3001: " in captured.err
    assert not captured.out
    assert not trace.exists()


def test_time_that_goes_back_is_damage(tmp_path: Path) -> None:
    story = Made(tmp_path / "record.jsonl")
    story.start(SESSION.open)
    story.tell(SESSION.open + 2 * SECOND, Tick())
    story.journal.append(SESSION.open + SECOND, Tick(), [])
    story.journal.close()
    with pytest.raises(Damage, match=r"line 3: time goes back, from 09:30:02 to 09:30:01 ET"):
        check(story.path)


# --- The command line --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("run", "command"),
    [(main, "replay"), (main, "verify"), (sim_main, "serve"), (sim_main, "replay"), (sim_main, "verify")],
)
def test_help_helps(
    run: Callable[[list[str]], int], command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run([command, "--help"])
    assert ended.value.code == 0
    assert len(capsys.readouterr().out) > 450


@pytest.mark.parametrize(
    "arguments", [["replay"], ["replay", "a", "--bars", "b"], ["verify"], ["replay", "a", "--speed", "2"]]
)
def test_a_wrong_command_line_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: python -m review" in capsys.readouterr().err


def test_the_older_name_of_the_command_does_the_same(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    said = [(run(["verify", str(made.path)]), capsys.readouterr().out) for run in (main, sim_main)]
    assert said[0] == said[1]
    assert said[0][0] == 0


def test_replay_and_verify_need_no_keys_and_nothing_heavy(made: Made) -> None:
    program = (
        "import sys; from review.__main__ import main\n"
        f"assert main(['verify', {str(made.path)!r}]) == 0\n"
        "print(sorted({'numpy', 'aiohttp', 'plotly', 'pandas', 'websockets'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": os.environ["PATH"]},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_reader_that_has_gone_is_no_crash(made: Made) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "review", "replay", str(made.path), "--verbose"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        error = process.stderr.read()
        assert process.wait(timeout=60) == 141
    assert not error


class Terminal(io.StringIO):
    """What a terminal would get."""

    def isatty(self) -> bool:
        """It is one."""
        return True


def test_progress_is_shown_on_a_terminal_only() -> None:
    shown, hidden = Terminal(), io.StringIO()
    for stream in (shown, hidden):
        progress = Progress("Replaying", 1000, stream)
        progress.clear()
        for done in range(0, 1001, 5):
            progress.tell(done)
        progress.clear()
    assert shown.getvalue().count("\r") == 102
    assert shown.getvalue().endswith("Replaying 100 %\r\x1b[K")
    assert not hidden.getvalue()


def test_the_served_push_service_shows_the_title_of_each_push() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "sim", "serve", "--date", "2025-10-02", "--seconds", "60"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        lines = list(itertools.takewhile(lambda line: "Ctrl-C" not in line, process.stdout))
        exported = dict(line.split()[1].split("=", 1) for line in lines if line.startswith("export "))
        answer = httpx.post(
            f"{exported['PUSHOVER_URL']}/1/messages.json",
            data={
                "token": exported["PUSHOVER_TOKEN"],
                "user": exported["PUSHOVER_USER_KEY"],
                "title": "✅ IWM: armed",
                "message": "text",
            },
            timeout=30,
        )
        assert answer.status_code == 200
        assert process.stdout.readline() == "# Push: ✅ IWM: armed\n"
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
