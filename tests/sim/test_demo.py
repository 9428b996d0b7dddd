"""The demonstration: what it prints in which order, what it leaves, and the commands with which it ends."""

from __future__ import annotations

import functools
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

import entry
import main
from pictures.process import flaw
from record.folder import records
from record.reader import first_header
from review import verify
from sim import kept
from sim.phone import Phone, following_log
from sim.push_account import Message
from tests.environment import MAIN, ROOT, run, run_here
from tests.measured import measured

FRAME = re.compile(r"^  ┌─+\n  │ (.*)$", re.MULTILINE)


class Played(NamedTuple):
    """What a demonstration printed, the folder that it named, and where it was started."""

    text: str
    folder: Path
    cwd: Path


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """A demonstration as it is without options, started elsewhere than in the clone, with bad settings lying about."""
    cwd = tmp_path_factory.mktemp("some where")
    (cwd / ".env").write_text("STOP_LOSS_PERCENT=lots\n", encoding="utf-8")
    temporary = tmp_path_factory.mktemp("temporary files")
    done = run(cwd, MAIN, "--demo", env={"TMPDIR": str(temporary), "PUSHOVER_TOKEN": "short"})
    assert (done.returncode, done.stderr) == (entry.EXIT_OK, ""), done.stdout + done.stderr
    (folder,) = temporary.glob("iwm-demo-*")
    return Played(done.stdout, folder, cwd)


# --- What it prints ----------------------------------------------------------------------------------


@pytest.mark.real_time
def test_every_push_is_shown_after_the_lines_that_led_to_it(played: Played) -> None:
    text = played.text
    frames = {title[:4]: place.start() for place in FRAME.finditer(text) if (title := place[1])}
    assert len(frames) == 4
    buy, sell = text.index("│ 🔥 IWM 0DTE CALL — BUY"), text.index("│ 🚪 IWM 0DTE CALL — SELL")
    for effect, *causes in (
        (buy, "🚀 MOMENTUM SIGNAL: ", "🎯 O:IWM", "🔥 ENTRY: ", "✓ Alert sent: 🔥 IWM 0DTE CALL — BUY"),
        (sell, "🚪 EXIT: ", "✓ Alert sent: 🚪 IWM 0DTE CALL — SELL"),
        (text.index("│ 🖼️ IWM: trade #"), "🚪 EXIT: ", "✓ Alert sent: 🖼️ IWM: trade #"),
        (text.index("│ ✅ IWM: armed"), "🔌 Connected: stocks", "✓ Alert sent: ✅ IWM: armed"),
    ):
        places = [text.index(cause) for cause in causes]
        assert [*places, effect] == sorted([*places, effect])


@pytest.mark.real_time
def test_it_says_simulated_and_where_the_record_is(played: Played) -> None:
    first, second, *_ = played.text.splitlines()
    assert first.startswith("A simulated session on local sockets: 2025-10-02 from 10:40:00 New York time, ")
    assert second == f"Its record is kept in {played.folder}"
    assert not re.search(r"\bmade\b", played.text, re.IGNORECASE)


@pytest.mark.real_time
def test_its_record_stays_and_says_that_it_is_simulated(played: Played) -> None:
    assert sorted(os.listdir(played.folder)) == ["DEMO.txt", "demo.log", "lease", "picture-1.png", "sessions"]
    (record,) = records(played.folder)
    header = first_header(record)
    assert header is not None and header.simulated
    verify.check(record)
    assert (played.folder / "demo.log").read_text(encoding="utf-8").count("✓ Alert sent") == 4
    picture = played.folder / "picture-1.png"
    assert flaw(picture.read_bytes()) == ""
    assert f"as the phone would have it: {picture}\n" in played.text
    assert os.listdir(played.cwd) == [".env"]


@pytest.mark.real_time
def test_it_ends_with_commands_that_work_as_they_are(played: Played) -> None:
    (played.cwd / ".env").unlink()
    _, last = played.text.split("\nTo try on its record:\n")
    why, page, watch, replay = re.findall(r"^  (.*)$", last, re.MULTILINE)

    def paste(command: str) -> str:
        done = subprocess.run(
            command,
            shell=True,
            cwd=played.cwd,
            env={"PATH": os.environ["PATH"], **measured()},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert (done.returncode, done.stderr) == (entry.EXIT_OK, "")
        return done.stdout

    assert paste(why).startswith("Simulated market. 1 BUY on 2 Oct. ")
    written = played.folder / "why.html"
    assert f"Written: {written}" in paste(page)
    page_text = written.read_text(encoding="utf-8")
    assert ">Simulated market</p>" in page_text and "<h1>1 BUY on" in page_text
    assert "the program stopped at 10:4" in paste(f"{watch} --once")
    assert "🔁 Simulated market, session 2025-10-02, " in paste(replay)
    assert last.rstrip().endswith(replay)


def message(title: str) -> Message:
    return Message(at=0, fields={"title": title, "message": "text"})


def test_a_push_waits_for_the_line_that_it_was_sent(capsys: pytest.CaptureFixture[str]) -> None:
    phone = Phone()
    phone.receive(message("🔥 IWM 0DTE CALL — BUY 242c ≤ $0.47 (30 s)"))
    phone.receive(message("✅ IWM: armed"))
    assert capsys.readouterr().out == ""
    phone.show_sent("✅ IWM: armed")
    phone.show_sent("✅ IWM: armed")
    assert FRAME.findall(capsys.readouterr().out) == ["✅ IWM: armed"]
    phone.show_sent("🔥 IWM 0DTE CALL — BUY")
    assert FRAME.findall(capsys.readouterr().out) == ["🔥 IWM 0DTE CALL — BUY 242c ≤ $0.47 (30 s)"]


def test_a_push_whose_sender_never_learned_that_it_arrived_is_shown_at_the_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    phone = Phone()
    with following_log(phone):
        phone.receive(message("🚪 IWM 0DTE CALL — SELL +3.0 %"))
        assert phone.sold.is_set()
    assert FRAME.findall(capsys.readouterr().out) == ["🚪 IWM 0DTE CALL — SELL +3.0 %"]


# --- The folder that it leaves -----------------------------------------------------------------------


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_is_made_and_a_second_demo_touches_nothing_of_the_first(tmp_path: Path) -> None:
    keep = tmp_path / "a" / "b"
    assert kept.folder_for(keep) == keep
    (keep / "sessions").mkdir()
    (keep / "sessions" / "2025-10-02.jsonl").write_bytes(b"a record")
    before = contents(keep)
    second, third = kept.folder_for(keep), kept.folder_for(keep)
    assert second.parent == third.parent == keep
    assert second != third
    after = contents(keep)
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {f"{each.name}/DEMO.txt" for each in (second, third)}


def test_an_empty_folder_is_used_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert kept.folder_for(Path("empty")) == tmp_path / "empty"


def test_without_a_name_each_demo_has_a_new_temporary_folder() -> None:
    folders = [kept.folder_for(None), kept.folder_for(None)]
    try:
        assert len(set(folders)) == 2
        assert all(folder.name.startswith("iwm-demo-") for folder in folders)
    finally:
        for folder in folders:
            (folder / kept.MARKER).unlink()
            folder.rmdir()


@pytest.mark.parametrize("name", ["sessions/2025-10-02.jsonl", "lease", ".env", "demo.log"])
def test_a_folder_with_anything_of_somebody_elses_is_refused_and_left_alone(
    tmp_path: Path, name: str
) -> None:
    keep = tmp_path / "records"
    (keep / name).parent.mkdir(parents=True)
    (keep / name).write_bytes(b"real")
    with pytest.raises(kept.Refused, match=f"contains {name.partition('/')[0]}, which is not from a demo"):
        kept.folder_for(keep)
    assert contents(keep) == {name: b"real"}


def test_the_workers_own_folder_is_refused_even_before_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kept.Refused, match="the worker keeps real sessions there"):
        kept.folder_for(Path("data"))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "reason"),
    [("file", "cannot be used (File exists)"), ("file/below", "cannot be used (Not a directory)")],
)
def test_what_can_be_no_folder_is_told_in_a_line(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "file").touch()
    done = run_here(main.main, tmp_path, "--demo", "--keep", name)
    assert (done.returncode, done.stdout) == (entry.EXIT_CONFIGURATION, "")
    assert done.stderr == f"The demo cannot begin: --keep {name}: {reason}; name another folder\n"


def test_a_name_that_no_setting_could_have_is_told_in_a_line(tmp_path: Path) -> None:
    done = run_here(main.main, tmp_path, "--demo", "--keep", "$HOME/x")
    assert (done.returncode, done.stdout) == (entry.EXIT_CONFIGURATION, "")
    assert done.stderr.startswith("The demo cannot begin: --keep $HOME/x: takes a path without quotes")


def test_keep_without_the_demo_is_refused(tmp_path: Path) -> None:
    assert "--keep goes with --demo" in run_here(main.main, tmp_path, "--keep", "x").stderr


# --- The commands as they are shown ------------------------------------------------------------------

SHOW = """
import sys
from pathlib import Path
exec(sys.argv[1])
from sim.next_steps import steps
for step in steps(Path("/x y"), Path("/x y/sessions/2025-10-02.jsonl")):
    print(step.text, *step.commands, sep="\\n")
"""


@functools.cache
def shown(cwd: Path, python: str, before: str = "") -> tuple[str, ...]:
    done = subprocess.run(
        [python, "-c", SHOW, before],
        cwd=cwd,
        env={
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            **measured(ROOT),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return tuple(done.stdout.splitlines())


def test_the_commands_name_the_interpreter_as_it_was_typed(tmp_path: Path) -> None:
    why = "diagnose.py why 2025-10-02 --data-dir '/x y'"
    assert list(shown(ROOT, "python")[1::2]) == [
        f"python {why}",
        f"python {why} --html '/x y/why.html'",
        "python diagnose.py watch --data-dir '/x y/sessions/2025-10-02.jsonl'",
        "python -m review replay '/x y/sessions/2025-10-02.jsonl'",
    ]
    assert shown(ROOT, sys.executable)[1] == f"{sys.executable} {why}"
    assert shown(tmp_path, "python")[1] == f"cd {ROOT} && python {why}"


def test_an_installed_copy_has_its_own_commands(tmp_path: Path) -> None:
    lines = shown(tmp_path, "python", "sys.argv[0] = '/opt/iwm/bin/iwm-5-vwap'")
    assert lines[1] == "/opt/iwm/bin/iwm-5-vwap-diagnose why 2025-10-02 --data-dir '/x y'"
    assert lines[7] == "python -m review replay '/x y/sessions/2025-10-02.jsonl'"


@pytest.mark.parametrize(
    ("package", "needs"), [("bokeh", "The same as a page"), ("textual", "The session's last minutes")]
)
def test_what_needs_a_package_comes_with_the_line_that_installs_it(package: str, needs: str) -> None:
    assert "not installed" not in "".join(shown(ROOT, "python"))
    lines = shown(ROOT, "python", f"sys.modules[{package!r}] = None")
    (place,) = [number for number, line in enumerate(lines) if "not installed" in line]
    assert lines[place].startswith(needs) and f"needs the package {package}" in lines[place]
    assert lines[place + 1] == "python -m pip install -r requirements-review.txt"
    assert lines[place + 2].startswith("python diagnose.py ")


def test_the_page_needs_the_package_that_is_looked_for() -> None:
    """Without it the page refuses, and with it the page is drawn: the hint and the page speak of the same package."""
    asks = "from review.page.library import library\nfrom review.places import Unusable\ntry: library()\nexcept Unusable as e: print(e)\n"
    assert not [line for line in shown(ROOT, "python", asks) if line.startswith("--html needs")]
    refused = shown(ROOT, "python", f"sys.modules['bokeh'] = None\n{asks}")
    assert refused[0].startswith("--html needs the package bokeh: ") and "not installed" in "".join(refused)


@pytest.mark.real_time
def test_ctrl_c_ends_with_where_the_record_is(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, MAIN, "--demo", "--keep", "kept"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], **measured()},
        stdout=subprocess.PIPE,
        text=True,
    ) as begun:
        assert begun.stdout is not None
        while "Connected: stocks" not in begun.stdout.readline():
            assert begun.poll() is None
        begun.send_signal(signal.SIGINT)
        rest = begun.stdout.read()
        assert begun.wait(30) == entry.EXIT_INTERRUPTED
    assert rest.splitlines()[-1] == f"Demo stopped. Its record so far: {tmp_path / 'kept'}"
