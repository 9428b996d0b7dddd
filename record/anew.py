"""Writes all known bytes of a record to a new file under its name. Waits for the disk, so it runs in a thread."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import structlog

from record.disk import (
    COPY_BYTES,
    File,
    Opener,
    Place,
    closed_quietly,
    make_folder,
    part_of,
    place_of,
    publish,
    sync_folder,
    words,
)
from record.tail import CHANGED

log = structlog.get_logger("journal")


def written_anew(file: File, size: int, path: Path, opener: Opener, ours: Place | None) -> File:
    """Copies a record's first ``size`` bytes to a new file and renames that to ``path``. Returns the new file, open.

    Replaces only the file ``ours``, and only if nobody has added to it. Raises Taken and OSError: FileExistsError if
    another file is at ``path``, which stays.
    """
    make_folder(path.parent)
    part = part_of(path)
    new = opener(part)
    try:
        start = 0
        while start < size:
            block = file.read(start, min(COPY_BYTES, size - start))
            if not block:
                raise OSError(errno.EBUSY, CHANGED)
            if new.write(block) < len(block):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            start += len(block)
        new.sync()
        if ours is not None and (found := place_of(path)) is not None and found[:2] == ours[:2]:
            if found.size != size:  # somebody added to it meanwhile: replacing it would lose that
                raise OSError(errno.EBUSY, CHANGED)
            part.replace(path)
        else:
            publish(part, path)
    except OSError:
        closed_quietly(new)
        part.unlink(missing_ok=True)
        raise
    try:
        sync_folder(path.parent)
    except OSError as error:
        # The file is complete and has its name, so go on with it: giving up would leave a file that nobody writes.
        log.warning(
            "record_name_unsynced",
            text=f"⚠️ The record's name {path} is not safely on disk yet ({words(error)}): it is lost if the machine goes down now",
        )
    return new
