"""`python -m research demo`: the loopback market in its own process, over real HTTP, to a verdict that is not "wins"."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from research.__main__ import main
from research.commands import demo

DAY = demo.DAYS[-1]
ROOT = Path(__file__).parent.parent.parent


def test_the_demo_ends_with_its_verdict_and_three_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SYMBOL", "QQQ")  # the owner's settings are not the demo's
    monkeypatch.setenv("POLYGON_REST_URL", "https://example.invalid")
    monkeypatch.setenv("STOP_LOSS_PERCENT", "nonsense")
    folder = tmp_path / "kept"
    assert main(["demo", "--keep", str(folder), "--sessions", "1"]) == 0
    said = capsys.readouterr().out
    lines = said.splitlines()
    assert str(folder) in " ".join(lines[:3]) and lines[0].startswith("A simulated market without an edge.")
    assert re.search(rf"^{DAY}  whole +IWM", said, re.MULTILINE)
    verdicts = re.findall(r"^Simulated market\. (.*?):", said, re.MULTILINE)
    assert verdicts == ["Too little to say"] * 2
    commands = [shlex.split(line) for line in lines if line.startswith("  ") and " -m re" in line]
    assert len(commands) == 3
    monkeypatch.delenv("STOP_LOSS_PERCENT")
    monkeypatch.setenv("SYMBOL", "IWM")
    assert main(commands[0][3:]) == 0 and f"{DAY}  whole" in capsys.readouterr().out
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert '<p class="simulated">Simulated market</p>' in page and f'<a href="{DAY}.html">' in page
    assert (folder / f"{DAY}.html").is_file() and (folder / "records" / "sessions" / f"{DAY}.jsonl").is_file()
    assert {path.name for path in tmp_path.iterdir()} == {"kept"}  # and nothing anywhere else
    assert main(["demo", "--keep", str(folder)]) == 2
    assert "name a new or empty folder" in " ".join(capsys.readouterr().err.split())


def test_a_folder_that_cannot_be_made_is_refused_before_anything_begins(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("a letter")
    assert main(["demo", "--keep", str(tmp_path / "file" / "kept")]) == 2
    assert "cannot be used (Not a directory); name another folder" in " ".join(
        capsys.readouterr().err.split()
    )


def test_a_demo_that_is_ended_leaves_no_market_behind(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "research", "demo", "--keep", str(tmp_path / "kept")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = next(line for line in process.stdout if line.startswith("Fetching"))
        address = line.split()[-1].removesuffix(":")
        port = int(address.rpartition(":")[2])
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 128 + signal.SIGTERM
    with socket.socket() as other:  # the market has let its port go
        assert other.connect_ex(("127.0.0.1", port)) != 0
    assert os.listdir(tmp_path) == ["kept"]
