"""Settings: which values are taken, and what the owner is told of the others."""

from tests.mutants.mutant import Mutant

CONFIG, TYPES, FILE, FAULTS, RULES = (
    "config.py",
    "settings/types.py",
    "settings/file.py",
    "settings/faults.py",
    "rules.py",
)

MUTANTS = (
    Mutant(
        "settings-file-wins",
        CONFIG,
        '        add(file.values, "file", file.lines)\n    add(environment, "environment", {})',
        '        add(environment, "environment", {})\n        add(file.values, "file", file.lines)\n    add({}, "environment", {})',
        "a host's setting is overruled by a file that was left behind",
    ),
    Mutant(
        "settings-unknown-name-taken",
        CONFIG,
        '            found.faults.append(unknown_name(name, f"{env_file}, line {file.lines[name]}", names))',
        "            pass",
        "a mistyped limit is left out without a word",
    ),
    Mutant(
        "settings-empty-benchmark-lost",
        CONFIG,
        'if value or (name == "BENCHMARK" and name in given):',
        "if value:",
        "a benchmark cannot be switched off",
    ),
    Mutant(
        "settings-log-into-the-records",
        CONFIG,
        '        ours = (data / "lease", data / "starts", Path(".env").absolute())',
        '        ours = (Path(".env").absolute(),)',
        "the log is written over the lease",
    ),
    Mutant(
        "settings-plain-http-anywhere",
        TYPES,
        "        if parts.scheme == plain and parts.hostname not in LOOPBACK_HOSTS:",
        "        if parts.scheme == plain and not parts.hostname:",
        "keys and alerts go through the net in clear",
    ),
    Mutant(
        "settings-heartbeat-in-clear",
        TYPES,
        '    secure = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK_HOSTS)',
        '    secure = parts.scheme in ("https", "http")',
        "the heartbeat's address goes through the net in clear",
    ),
    Mutant(
        "settings-short-push-key",
        TYPES,
        "    if len(text) != PUSHOVER_KEY_LENGTH or",
        "    if len(text) > PUSHOVER_KEY_LENGTH or",
        "a key that was cut is found only by the first alert",
    ),
    Mutant(
        "settings-quoted-path",
        TYPES,
        """    if any(mark in text for mark in ("'", '"', "$", " #")) or""",
        "    if",
        'the records lie in a folder named "data", with its quotes',
    ),
    Mutant(
        "settings-huge-file-read",
        FILE,
        "    if data is not None and len(data) > ENV_FILE_BYTES:",
        "    if data is None:",
        "a log in place of .env is read as settings",
    ),
    Mutant(
        "settings-pipe-waited-for",
        FILE,
        "os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC",
        "os.O_RDONLY | os.O_CLOEXEC",
        "a start waits for ever for a pipe's writer",
    ),
    Mutant(
        "settings-twice-not-said",
        FILE,
        "            if name in values and name in known:",
        "            if name in values and name not in known:",
        "the second of two lines counts without a word",
    ),
    Mutant(
        "settings-stop-after-close",
        RULES,
        "        if seconds_of_day(self.no_entry_after) > seconds_of_day(self.hard_time_stop):",
        "        if seconds_of_day(self.no_entry_after) < 0:",
        "a BUY after the time stop, sold at once",
    ),
    Mutant(
        "settings-bounds-in-disorder",
        RULES,
        "            if getattr(self, lower) > getattr(self, upper)",
        "            if getattr(self, lower) > 1000 * getattr(self, upper)",
        "limits that exclude each other: no entry ever",
    ),
    Mutant(
        "settings-half-day-by-the-whole-days-clock",
        RULES,
        "        return FULL_DAY_CLOSE_S - seconds_of_day(time_of_day)",
        "        return 300",
        "another cut-off than the owner has set",
    ),
)
