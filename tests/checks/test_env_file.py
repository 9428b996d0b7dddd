"""The file that the keys are written to: whole or not at all, for its owner only, and nothing else in it changes."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks import env_file
from checks.env_file import EnvFileError, check_place, read_text, with_values, write
from config import ALIASES
from settings.file import read_file

VALUES = {"PUSHOVER_TOKEN": "a" * 30, "PUSHOVER_USER_KEY": "u" * 30}

LINES = st.lists(
    st.sampled_from(
        [
            *("", "# a remark", "DATA_DIR=records", "  SYMBOL = 'IWM'", "export LOG_LEVEL=INFO # said"),
            *(
                "PUSHOVER_TOKEN=",
                "pushover_token='x y'",
                "# PUSHOVER_TOKEN=remark",
                "PUSHOVER_USER_KEY = old",
            ),
            *("no name", 'DATA_DIR="two\nlines"'),
        ]
    )
)


@given(LINES, st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_every_other_line_stays_and_the_values_are_those_that_are_read(
    lines: list[str], ending: str, is_ended: bool
) -> None:
    text = ending.join(lines) + (ending if is_ended else "")
    written = with_values(text, VALUES, ALIASES)

    def others(whole: str) -> list[str]:
        named = ("PUSHOVER_TOKEN", "PUSHOVER_USER_KEY")
        return [line for line in whole.splitlines() if line.split("=")[0].strip().upper() not in named]

    assert [line for line in others(written) if line] == [line for line in others(text) if line]
    assert with_values(written, VALUES, ALIASES) == written


def test_what_is_written_is_read_as_it_was_meant(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    write(path, with_values("PUSHOVER_TOKEN=1\nPUSHOVER_TOKEN=2\n", VALUES, ALIASES), None)
    assert read_file(path, set(VALUES)).values == VALUES


@pytest.mark.parametrize("mask", [0o000, 0o277])
def test_only_its_owner_may_read_it_whatever_the_umask_is(tmp_path: Path, mask: int) -> None:
    path, before = tmp_path / ".env", os.umask(mask)
    try:
        write(path, "A=1\n", None)
        write(path, "A=2\n", "A=1\n")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text() == "A=2\n"
    assert os.listdir(tmp_path) == [".env"]


@pytest.mark.parametrize(
    ("there", "before", "what"),
    [("A=2\n", "A=1\n", "changed"), ("A=2\n", None, "created"), (None, "A=1\n", "changed")],
)
def test_what_was_changed_meanwhile_is_left_as_it_is(
    tmp_path: Path, there: str | None, before: str | None, what: str
) -> None:
    path = tmp_path / ".env"
    if there is not None:
        path.write_text(there)
    with pytest.raises(EnvFileError, match=f"was {what} in the meantime"):
        write(path, "A=3\n", before)
    assert read_text(path) == there
    assert os.listdir(tmp_path) == ([] if there is None else [".env"])


@pytest.mark.parametrize("before", [None, "A=1\n"])
def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path, before: str | None) -> None:
    path = tmp_path / ".env"
    if before is not None:
        path.write_text(before)
    with pytest.raises(UnicodeEncodeError):
        write(path, "A=\udc80\n", before)
    assert os.listdir(tmp_path) == ([] if before is None else [".env"])
    assert read_text(path) == before


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("A=1\n")
    (tmp_path / ".env").symlink_to("other")
    with pytest.raises(EnvFileError, match="is a link"):
        read_text(tmp_path / ".env")
    with pytest.raises(EnvFileError, match="is a link"):
        write(tmp_path / ".env", "A=2\n", "A=1\n")
    assert (tmp_path / "other").read_text() == "A=1\n"


@pytest.fixture
def closed() -> Iterator[Path]:
    """A folder that this user may not write, with a file that it may not read. Root runs the test as another user."""
    folder = Path(f"/tmp/iwm-closed-env-{os.getpid()}")
    folder.mkdir()
    (folder / "unread").touch(0)
    folder.chmod(0o555)
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        yield folder
    finally:
        if is_root:
            os.seteuid(0)
        folder.chmod(0o755)
        shutil.rmtree(folder)


def test_a_folder_that_may_not_be_written_is_said_before_and_after(closed: Path) -> None:
    with pytest.raises(EnvFileError, match="cannot be written by this user"):
        check_place(closed / ".env")
    with pytest.raises(EnvFileError, match=r"cannot be written \(Permission denied\)"):
        write(closed / ".env", "A=1\n", None)
    assert os.listdir(closed) == ["unread"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mends another user's file")
def test_another_users_file_stays_that_users(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("A=1\n")
    os.chown(path, 65534, 65533)
    write(path, "A=2\n", "A=1\n")
    found = path.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (65534, 65533, 0o600)


def test_a_file_that_this_user_may_not_read_is_said(closed: Path) -> None:
    with pytest.raises(EnvFileError, match=r"cannot be read \(Permission denied\)"):
        read_text(closed / "unread")


def test_an_installed_copy_begins_with_an_empty_file(tmp_path: Path) -> None:
    assert with_values(env_file.example(tmp_path), VALUES, ALIASES) == "".join(
        f"{name}={value}\n" for name, value in VALUES.items()
    )


def test_an_example_is_there_and_holds_each_key_once() -> None:
    lines = env_file.example().splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == [
        "POLYGON_API_KEY=",
        "PUSHOVER_TOKEN=",
        "PUSHOVER_USER_KEY=",
    ]
