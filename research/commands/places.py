"""Where the history is, and the vendor's key, from the environment and ``.env``; no key of the push service is needed."""

from __future__ import annotations

import os
from pathlib import Path

import config
from config import Settings
from review.places import WITHOUT_KEYS


def settings(*, needs_key: bool) -> Settings:
    """Returns the settings. Keys that are not needed are not even read. Raises ConfigError."""
    stand_ins = {
        name: value for name, value in WITHOUT_KEYS.items() if not needs_key or name != "POLYGON_API_KEY"
    }
    return config.load({**os.environ, **stand_ins})[0]


def history_folder(named: Path | None) -> Path:
    """Returns the folder of the history: the one that was named, or HISTORY_DIR. Raises ConfigError."""
    return settings(needs_key=False).history_dir if named is None else named
