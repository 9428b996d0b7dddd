"""What stands in the way of the log file, and secrets that are no addresses: the log goes on, and shows neither."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
import structlog

from redaction import MASK, redactor
from tests.environment import run
from tests.test_logger_outside import Start, start

__all__ = ["start"]


def test_a_folder_that_cannot_be_looked_at_leaves_the_file_that_is_open(start: Start, tmp_path: Path) -> None:
    folder, aside = tmp_path / "logs", tmp_path / "aside"
    path = folder / "iwm.log"
    stream = start(log_file=path)
    log = structlog.get_logger("main")
    folder.rename(aside)
    folder.symlink_to(folder)
    log.info("goes_on", text="while its folder leads to itself")
    folder.unlink()
    aside.rename(folder)
    log.info("goes_on", text="after that")
    assert "cannot be written" not in stream.getvalue()
    first, last = path.read_text(encoding="utf-8").splitlines()
    assert first.endswith("while its folder leads to itself")
    assert last.endswith("after that")


def test_a_pipe_in_the_files_place_is_refused_though_somebody_reads_it(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "iwm.log"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        stream: io.StringIO = start(log_file=path)
        structlog.get_logger("main").info("goes_on", text="to the console")
    finally:
        os.close(reader)
    assert "the console only. LOG_FILE takes a plain file that this user may write" in stream.getvalue()
    assert "INFO  to the console" in stream.getvalue()


@pytest.mark.parametrize(
    "secret", ["https://[fe80::1/ping/CanaryWord0123456789", "https://h:p0rt/CanaryWord"]
)
def test_a_secret_that_is_no_valid_address_is_hidden_as_a_whole(secret: str) -> None:
    assert redactor([secret])(f"asked {secret}, in vain") == f"asked {MASK}, in vain"


# --- What ends the process ---

UNCAUGHT = """
import logging, sys, time
import logger
logger.setup(level="INFO", log_format="console", log_file=None, secrets=["CanaryKey0123456789"], clock=lambda: 0)
{}
"""


@pytest.mark.parametrize(
    ("ending", "event"),
    [
        ("raise RuntimeError('a fault of CanaryKey0123456789')", "RuntimeError: a fault of"),
        (
            "import threading\ndef fails(): raise RuntimeError('a fault of CanaryKey0123456789')\n"
            "thread = threading.Thread(target=fails)\nthread.start()\nthread.join()",
            "RuntimeError: a fault of",
        ),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    ],
)
def test_what_nobody_catches_stands_in_the_log_without_secrets(
    tmp_path: Path, ending: str, event: str
) -> None:
    done = run(tmp_path, "-c", UNCAUGHT.format(ending))
    said = done.stdout + done.stderr
    assert event in said
    assert "CanaryKey" not in said
