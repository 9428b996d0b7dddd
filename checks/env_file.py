"""Writes keys into a file of settings: whole or not at all, for its owner only, and nothing else in it changes."""

from __future__ import annotations

import contextlib
import io
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from dotenv.parser import parse_stream

import entry
from errors import OurError
from record.disk import FILE_MODE, part_of, publish, sync_folder

EXAMPLE = ".env.example"


class EnvFileError(OurError):
    """The file cannot be read or written: why, and what to do."""


def read_text(path: Path) -> str | None:
    """Returns the text of a file of settings; None if there is none.

    Raises EnvFileError for a link, for what is no file, and for one that cannot be read.
    """
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            raise EnvFileError(f"{path} is a link: name the file that it points to with --env")
        if not stat.S_ISREG(mode):
            raise EnvFileError(f"{path} is not a file: name another with --env")
        with open(path, encoding="utf-8-sig", newline="") as file:  # a line's ending stays as it is
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise EnvFileError(f"{path} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise EnvFileError(f"{path} is not UTF-8 text: name another with --env") from None


def check_place(path: Path) -> None:
    """Raises EnvFileError if no file can be written beside ``path``."""
    folder = path.absolute().parent
    if not folder.is_dir():
        raise EnvFileError(f"{folder} is not a folder: create it first, or name another file with --env")
    effective = os.access in os.supports_effective_ids
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=effective):
        raise EnvFileError(f"{folder} cannot be written by this user: name another file with --env")


def example(folder: Path = Path(entry.FOLDER)) -> str:
    """Returns the text that a new file begins as; empty in an installed copy's ``folder``, which has no example."""
    try:
        return (folder / EXAMPLE).read_text(encoding="utf-8")
    except OSError:
        return ""


def with_values(text: str, values: Mapping[str, str], aliases: Mapping[str, str]) -> str:
    """Returns the text of a file of settings with ``values`` by name. Every other line stays as it is.

    Each line of a name, or of another name for it in ``aliases``, gets the value; a name without a line gets one at the end.
    """
    parts: list[str] = []
    missing = dict(values)
    for binding in parse_stream(io.StringIO(text)):
        written = binding.original.string
        name = (binding.key or "").upper()
        setting = aliases.get(name, name)
        if setting in values:
            missing.pop(setting, None)
            before = written[: len(written) - len(written.lstrip())]
            ending = written[len(written.rstrip("\r\n")) :] or "\n"
            written = f"{before}{name}={values[setting]}{ending}"
        parts.append(written)
    body = "".join(parts)
    if missing and body and not body.endswith("\n"):
        body += "\n"
    return body + "".join(f"{name}={value}\n" for name, value in missing.items())


def write(path: Path, text: str, before: str | None) -> None:
    """Writes a file, readable by its owner only, in one step. ``before`` is the text that it replaces; None: there is none.

    Leaves nothing behind if it fails or is interrupted. Raises EnvFileError, also if the file is not as it was ``before``.
    """
    try:
        with _part(path) as part:
            if before is not None and read_text(path) != before:
                raise EnvFileError(
                    f"{path} was changed in the meantime: it is left as it is now; run this again"
                )
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, FILE_MODE)
            with open(descriptor, "w", encoding="utf-8", newline="") as file:
                os.fchmod(file.fileno(), FILE_MODE)  # a umask may have taken some of it
                if before is not None:
                    _keep_owner(path, file.fileno())
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            if before is None:
                publish(part, path)
            else:
                part.replace(path)
            sync_folder(path.absolute().parent)
    except FileExistsError:
        raise EnvFileError(
            f"{path} was created in the meantime: it is left as it is; run this again"
        ) from None
    except OSError as error:
        raise EnvFileError(f"{path} cannot be written ({error.strerror})") from None


@contextlib.contextmanager
def _part(path: Path) -> Iterator[Path]:
    """Yields an unused name beside a file, and removes what is left there."""
    part = part_of(path)
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)


def _keep_owner(path: Path, descriptor: int) -> None:
    """Gives an open file the owner of the one that it replaces, as root who mends another user's file."""
    owner, ours = path.lstat(), os.fstat(descriptor)
    if (owner.st_uid, owner.st_gid) != (ours.st_uid, ours.st_gid):
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
