"""Writing a record anew: all that is known of it, as a new file under its name. It waits for the disk."""

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
    """Writes a record's first ``size`` bytes to a new file and gives that its name. Returns the new file, open.

    Replaces nothing but the file ``ours``, and only while nobody has added to it. Raises OSError; FileExistsError if
    another file stands there, which is left alone; and Taken.
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
            if found.size != size:  # somebody added to it while it was copied, and that would be lost
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
        # The file is whole, ours, and has its name: giving it up would leave a file that nobody writes.
        log.warning(
            "record_name_unsynced",
            text=f"⚠️ The record's name {path} is not on the disk yet ({words(error)}): lost if the machine goes down now",
        )
    return new
