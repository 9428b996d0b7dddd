"""The systemd unit and the Dockerfile: what they name is there, and what the worker needs of them is in them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import config
import main
from tests.documents import read, section
from tests.test_packages import packages
from worker.ending import EXIT_CONFIG, EXIT_CRASHED, EXIT_LEASE, EXIT_REFUSED
from worker.worker import STOP_REAL_S

ROOT = Path(__file__).parent.parent
UNIT, DOCKERFILE = "deploy/iwm-5-vwap.service", "deploy/Dockerfile"


def of_unit(name: str) -> str:
    """What the unit sets a directive to; the directive stands in it once."""
    (value,) = re.findall(rf"(?m)^{name}=(.*)$", read(UNIT))
    return str(value)


# --- systemd -----------------------------------------------------------------------------------------


def verified(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """What ``systemd-analyze verify`` says of a unit on this machine, where a Python stands for the worker's."""
    path = folder / Path(UNIT).name
    python = of_unit("ExecStart").split()[0]
    path.write_text(text.replace(f"ExecStart={python} ", f"ExecStart={sys.executable} "), encoding="utf-8")
    return subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")
def test_systemd_takes_the_unit_as_it_is(tmp_path: Path) -> None:
    done = verified(tmp_path, read(UNIT))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    # It is the unit that is judged, and not only the program's path.
    for wrong in ("Restart=on-faliure", "RestartPreventExitStatus=two"):
        done = verified(tmp_path, re.sub(rf"(?m)^{wrong.partition('=')[0]}=.*$", wrong, read(UNIT)))
        assert wrong.partition("=")[2] in done.stderr


def test_the_unit_starts_again_what_crashed_and_nothing_else() -> None:
    assert of_unit("Restart") == "on-failure"
    never = {int(status) for status in of_unit("RestartPreventExitStatus").split()}
    assert never == {EXIT_CONFIG, EXIT_REFUSED, EXIT_LEASE}
    assert EXIT_CRASHED not in never


def test_the_unit_gives_a_stop_the_time_that_it_takes() -> None:
    assert (of_unit("KillSignal"), of_unit("KillMode")) == ("SIGTERM", "mixed")
    assert int(of_unit("TimeoutStopSec")) > STOP_REAL_S + main.END_REAL_S


def test_the_manual_sets_a_machine_up_as_the_unit_expects_it() -> None:
    ((page, title),) = re.findall(r"is in (\S+\.md), under \"([^\"]+)\"", read(UNIT))
    steps = section(read(page), f"## {title}")
    folder = of_unit("WorkingDirectory")
    assert of_unit("ExecStart") == f"{folder}/.venv/bin/python main.py"
    state = f"/var/lib/{of_unit('StateDirectory')}"
    for name in (folder, of_unit("EnvironmentFile"), f"DATA_DIR={state}", f"LOG_FILE={state}/", UNIT):
        assert name in steps, name
    assert re.search(rf"useradd .*{of_unit('User')}\n", steps)


def test_the_example_is_read_by_systemd_as_by_the_program() -> None:
    """An EnvironmentFile knows quotes and a backslash at a line's end; without them, both read the same."""
    for line in read(".env.example").splitlines():
        assert line.startswith("#") or not line or re.fullmatch(r"[A-Z_]+=[^\"'\\ ]*", line), line


# --- Docker ------------------------------------------------------------------------------------------


def of_image(instruction: str) -> list[str]:
    """Every argument of an instruction in the Dockerfile."""
    return re.findall(rf"(?m)^{instruction} (.*)$", read(DOCKERFILE).replace("\\\n", ""))


def test_an_image_holds_the_worker_and_nothing_of_this_machine() -> None:
    copied = of_image("COPY")
    folders = {folder.relative_to(ROOT).parts[0] for folder in packages()} - {"sim", "research"}
    assert set(copied) == {"requirements.txt ./", "*.py ./", *(f"{name} {name}" for name in folders)}
    assert not of_image("ADD")


def test_a_container_runs_as_nobody_and_is_stopped_as_the_worker_expects() -> None:
    assert of_image("USER") == ["10001"]
    assert of_image("STOPSIGNAL") == ["SIGTERM"]
    assert of_image("CMD") == ['["python", "main.py"]']
    (volume,) = of_image("VOLUME")
    (places,) = of_image("ENV")
    given = dict(item.split("=") for item in places.split())
    del given["PYTHONUNBUFFERED"]
    keys = {"POLYGON_API_KEY": "k", "PUSHOVER_TOKEN": "a" * 30, "PUSHOVER_USER_KEY": "b" * 30}
    settings = config.load({**keys, **given}, None)[0]
    assert settings.data_dir == Path(volume)
    assert settings.log_file is not None and settings.log_file.is_relative_to(volume)
    assert any("--require-hashes -r requirements.txt" in step for step in of_image("RUN"))


def test_the_manual_has_the_section_that_the_dockerfile_names() -> None:
    text = re.sub(r"\n# ", " ", read(DOCKERFILE))
    ((page, title),) = re.findall(r"is in (\S+\.md), under \"([^\"]+)\"", text)
    said = section(read(page), f"## {title}")
    assert f"docker build -f {DOCKERFILE} -t iwm-5-vwap ." in said
    assert "untried" in said
