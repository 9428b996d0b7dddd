"""``diagnose.py watch``: one frame as text, what keeps it from drawing, and the view on a real terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from entry import EXIT_INTERRUPTED
from events import SECOND, Tick
from review.watch import command
from review.watch.watcher import LINES
from tests.builders import SESSION, at
from tests.made_day import Made
from tests.measured import measured
from tests.review.watch.frames import begun, go_on, record_path, with_position
from utils import clock_text, session_at, utc_now

ROOT = Path(__file__).parent.parent.parent.parent

WAIT_REAL_S = 60.0
"""Real seconds that a process is given on a busy machine."""


def run(capsys: pytest.CaptureFixture[str], place: Path, now: int, *more: str) -> tuple[int, list[str], str]:
    """One frame, in this process: status, lines, and what was said of faults."""
    status = command.main(["--once", "--data-dir", str(place), *more], lambda: now)
    out, err = capsys.readouterr()
    return status, out.splitlines(), err


def test_one_frame_as_plain_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    second = go_on(with_position(tmp_path), 6, 1.59, 1.61)
    status, found, err = run(capsys, tmp_path, at(second))
    assert (status, err) == (0, "") and len(found) == 23
    assert found[0].startswith("IWM $215.02 2s ago  2025-10-02 09:31:10 ET")
    assert max(map(len, found)) <= 80 and not any("\x1b" in line for line in found)


def test_a_long_record_is_read_to_its_end_before_its_frame(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It takes several turns, with a progress that only a terminal shows."""
    story = begun(tmp_path)
    for second in range(LINES + 10):
        story.tell(at(second), Tick())
    status, found, err = run(capsys, tmp_path, at(LINES + 20))
    assert (status, err) == (0, "")
    assert f"2025-10-02 {clock_text(at(LINES + 20))} ET" in found[0]


def test_an_interrupt_while_it_reads_ends_it_without_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begun(tmp_path)
    asked = iter([at(0)])

    def now() -> int:
        for moment in asked:
            return moment
        raise KeyboardInterrupt

    assert command.main(["--once", "--data-dir", str(tmp_path)], now) == EXIT_INTERRUPTED
    assert capsys.readouterr() == ("", "")


def test_the_frames_size_is_that_of_the_environment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(tmp_path)
    monkeypatch.setenv("COLUMNS", "130")
    monkeypatch.setenv("LINES", "40")
    _, found, _ = run(capsys, tmp_path, at(0))
    assert len(found) == 39 and max(map(len, found)) > 100
    monkeypatch.setenv("COLUMNS", "wide")
    monkeypatch.setenv("LINES", "")
    _, found, _ = run(capsys, tmp_path, at(0))
    assert len(found) == 23 and max(map(len, found)) <= 80


def test_without_a_record_of_today_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, found, err = run(capsys, tmp_path, at(60))
    assert (status, found) == (1, [])
    assert err.startswith("python diagnose.py watch: No record of today (2025-10-02) in ")
    assert "To see one" not in err
    story = begun(tmp_path)
    status, found, err = run(capsys, tmp_path, at(3 * 86_400))
    assert (status, found) == (1, [])
    assert err.endswith(
        f" Records: 2025-10-02. To see one: python diagnose.py watch --data-dir {story.path}\n"
    )


def test_a_record_can_be_named_and_may_be_of_another_day(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    story = begun(tmp_path)
    story.tell(at(23_399), Tick())
    status, found, _ = run(capsys, story.path, at(1_000_000))
    assert status == 0 and "15:59:59 ET  session over (09:30–16:00)" in found[0]


def test_a_damaged_record_is_named_by_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = record_path(tmp_path)
    path.write_bytes(b"\x1b[2J nonsense\n")
    status, found, err = run(capsys, tmp_path, at(0))
    assert (status, found) == (1, []) and f"{path}, line 1: the line's checksum is wrong" in err


def test_a_place_that_does_not_exist_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = run(capsys, tmp_path / "gone.jsonl", at(0))
    assert status == 1 and "gone.jsonl: No such file or directory" in err


def test_without_a_terminal_it_names_the_other_way(tmp_path: Path) -> None:
    done = started("watch", "--data-dir", str(tmp_path))
    assert done.returncode == 1 and not done.stdout
    assert done.stderr == f"python diagnose.py watch: {command.WITHOUT_TERMINAL}\n"


def test_bad_settings_and_arguments_end_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = started("watch", "--once", env={"MAX_GIVEBACK_PERCENT": "200"})
    assert done.returncode == 2 and "MAX_GIVEBACK_PERCENT" in done.stderr
    for arguments in (["--once", "--serve"], ["--serve", "70000"], ["--serve", "x"], ["--wat"]):
        with pytest.raises(SystemExit) as ended:
            command.main(arguments)
        assert ended.value.code == 2


def started(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """The real command without a terminal."""
    return subprocess.run(
        [sys.executable, "diagnose.py", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=WAIT_REAL_S,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **measured(), **(env or {})},
    )


WITHOUT_TEXTUAL = "import sys; sys.modules['textual'] = sys.modules['rich'] = None; import diagnose; "


def test_one_frame_needs_no_textual_and_no_keys(tmp_path: Path) -> None:
    begun(tmp_path)
    program = f"{WITHOUT_TEXTUAL} raise SystemExit(diagnose.main(['watch', '--once', '--data-dir', {str(record_path(tmp_path))!r}]))"
    env = {name: value for name, value in os.environ.items() if "KEY" not in name and "TOKEN" not in name}
    env |= measured()
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=WAIT_REAL_S,
        check=False,
        env=env,
    )
    assert done.returncode == 0, done.stderr
    assert "nothing recorded since 09:25:00" in done.stdout


# --- On a real terminal ------------------------------------------------------------------------------


class Terminal:
    """A terminal of 80 × 24 with a process in it."""

    def __init__(self, *words: str, **env: str) -> None:
        self._own, other = pty.openpty()
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.before = termios.tcgetattr(other)
        self._other = other
        self.process = subprocess.Popen(
            [sys.executable, *words],
            cwd=ROOT,
            stdin=other,
            stdout=other,
            stderr=other,
            start_new_session=True,
            env={**os.environ, **measured(), "TERM": "xterm-256color", **env},
        )
        self.output = ""

    def until(self, word: str) -> None:
        """Reads until the output holds a word."""
        end = time.monotonic() + WAIT_REAL_S
        while word not in self.plain:
            assert time.monotonic() < end, f"not there: {word}\n{self.output[-3000:]!r}"
            if select.select([self._own], [], [], 0.2)[0]:
                self.output += os.read(self._own, 65_536).decode(errors="replace")

    @property
    def plain(self) -> str:
        """The output without what steers the terminal."""
        return re.sub(r"\x1b(\[[0-9;?<>=]*[ -/]*[@-~]|[()][A-Z0-9]|[>=78])", "", self.output)

    def press(self, key: str) -> None:
        """Types a key."""
        os.write(self._own, key.encode())

    def ended(self) -> int:
        """Waits for the process's end. Returns its status."""
        end = time.monotonic() + WAIT_REAL_S
        while self.process.poll() is None and time.monotonic() < end:
            if select.select([self._own], [], [], 0.1)[0]:
                self.output += os.read(self._own, 65_536).decode(errors="replace")
        return self.process.wait(1)

    def is_as_before(self) -> bool:
        """Whether the terminal echoes and takes lines as it did."""
        return termios.tcgetattr(self._other)[:4] == self.before[:4]

    def close(self) -> None:
        """Ends what is left."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._own)
        os.close(self._other)


def of_today(folder: Path) -> Made:
    """A session in progress by the machine's clock, or the next one, whose program has started."""
    session = session_at(utc_now())
    path = folder / "sessions" / f"{session.date}.jsonl"
    path.parent.mkdir()
    story = Made(path)
    story.start(session.open - 300 * SECOND, session=session)
    return story


def test_the_command_draws_on_a_terminal_of_80_by_24_and_q_ends_it(tmp_path: Path) -> None:
    story = of_today(tmp_path)
    terminal = Terminal("diagnose.py", "watch", "--data-dir", str(story.path))
    try:
        terminal.until("q quit   ? help")
        for word in ("IWM n/a", "Last 20 minutes", "SPY lag", "No open position", "The program started"):
            terminal.until(word)
        terminal.press("?")
        terminal.until("The worker is only read.")
        terminal.press("x")
        terminal.press("q")
        assert terminal.ended() == 0
        assert terminal.is_as_before() and "\x1b[?1049l" in terminal.output
    finally:
        terminal.close()


@pytest.mark.parametrize(("end", "status"), [("ctrl-c", 130), ("SIGTERM", 0)])
def test_what_else_ends_it_leaves_the_terminal_as_it_was(tmp_path: Path, end: str, status: int) -> None:
    story = of_today(tmp_path)
    terminal = Terminal("diagnose.py", "watch", "--data-dir", str(story.path), NO_COLOR="1")
    try:
        terminal.until("No open position")
        assert not re.search(r"\x1b\[[0-9;]*3[1-7]m", terminal.output)  # no colours
        if end == "ctrl-c":
            terminal.press("\x03")
        else:
            terminal.process.terminate()
        assert terminal.ended() == status
        assert terminal.is_as_before() and "\x1b[?1049l" in terminal.output
    finally:
        terminal.close()


def test_without_textual_a_terminal_is_told_what_to_install(tmp_path: Path) -> None:
    program = f"{WITHOUT_TEXTUAL} raise SystemExit(diagnose.main(['watch', '--data-dir', {str(tmp_path)!r}]))"
    terminal = Terminal("-c", program)
    try:
        terminal.until("--once prints one frame without it")
        assert "pip install -r requirements-review.txt" in terminal.plain and terminal.ended() == 1
    finally:
        terminal.close()


def test_the_session_of_the_tests_is_in_the_past() -> None:
    """Else a frame of its record by the machine's clock would not be that of a session that is over."""
    assert utc_now() > SESSION.close
