"""A recorded session replayed: the same decisions, to the bit, and what can be said of what is no record."""

from __future__ import annotations

import gzip
import io
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from events import SECOND, Closed, Declined, Opened, Tick
from record.lines import Header
from record.reader import Damage, Reader
from review.__main__ import main
from review.derive import Start, play
from review.screen import Progress
from review.verify import check
from sim.__main__ import main as sim_main
from tests.builders import SESSION
from tests.made_day import BEGIN_S, END_S, Made
from tests.measured import measured
from tests.review.records import ROOT, derived, drop, has, line_of, made, recorded, rewritten, run

__all__ = ["made"]  # fixtures that the tests here use, too


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
        "all conditions met in",
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
    considered = [item for item in made.decisions if isinstance(item, Opened | Declined) and item.considered]
    assert len([item for item in made.decisions if isinstance(item, Declined)]) > len(considered)
    # As live: a second with all conditions met is told as a signal only if every gate was open.
    assert 1 <= out.count("🚀 MOMENTUM SIGNAL") <= len(considered)
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
    assert "last line is incomplete" in capsys.readouterr().out


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
        ("POLYGON_API_KEY=abc123secret", "--set POLYGON_API_KEY: is a setting, but not a rule"),
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
        "print(sorted({'numpy', 'aiohttp', 'bokeh', 'pandas', 'websockets'} & set(sys.modules)))"
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
        env={**os.environ, **measured()},
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
    assert shown.getvalue().endswith("Replaying 100%\r\x1b[K")
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
