"""How a command that reads what was recorded ends: its exit status, and each failure in words on standard error."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Callable

from config import ConfigError
from entry import EXIT_CONFIGURATION, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, EXIT_PIPE
from errors import OurError
from review.places import BadArgument
from review.report import WIDTH, wrapped


def finished(command: str, action: Callable[[], None]) -> int:
    """Runs a command's action, whose output may be piped, and returns the exit status. ``command`` is how it is called."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        action()
        sys.stdout.flush()
    except ConfigError as error:
        print_faults(command, error)
        return EXIT_CONFIGURATION
    except OurError as error:
        print(*wrapped(f"{command}: {error}"), sep="\n", file=sys.stderr)
        return EXIT_CONFIGURATION if isinstance(error, BadArgument) else EXIT_FAILED
    except BrokenPipeError:
        # The reader of our output has gone, as with `| head`: what is left in the buffer goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_PIPE
    except OSError as error:
        print(f"{command}: {error.filename or ''}: {error.strerror or error}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return EXIT_OK


def print_faults(command: str, error: ConfigError) -> None:
    """Prints every fault of the settings, an indented paragraph each."""
    faults = (textwrap.fill(fault, WIDTH - 4, subsequent_indent="    ") for fault in error.faults)
    print(f"{command}: bad settings:", *faults, sep="\n  ", file=sys.stderr)
