"""How a command on what was recorded ends, whatever its action meets."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable

import pytest

from config import ConfigError
from entry import EXIT_CONFIGURATION, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK
from errors import OurError
from review.ending import finished
from review.places import BadArgument


def raising(error: BaseException) -> Callable[[], None]:
    def action() -> None:
        print("begun")
        raise error

    return action


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (ConfigError(["X: one", "Y: two"]), EXIT_CONFIGURATION, "X: one"),
        (BadArgument("no such day"), EXIT_CONFIGURATION, "days: no such day\n"),
        (OurError("nothing is there"), EXIT_FAILED, "days: nothing is there\n"),
        (OSError(5, "Input/output error", "/disk"), EXIT_FAILED, "days: /disk: Input/output error\n"),
        (OSError("the disk is gone"), EXIT_FAILED, "days: : the disk is gone\n"),
        (KeyboardInterrupt(), EXIT_INTERRUPTED, ""),
    ],
)
def test_what_an_action_meets_is_its_status_and_a_line(
    error: BaseException, status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert finished("days", raising(error)) == status
    out, err = capsys.readouterr()
    assert out == "begun\n"
    assert said in err and (bool(said) is bool(err))


def test_a_fault_of_the_program_is_no_ending() -> None:
    with pytest.raises(KeyError):
        finished("days", raising(KeyError("x")))


def test_an_output_that_knows_no_encoding_is_written_to_as_it_is() -> None:
    with contextlib.redirect_stdout(io.StringIO()) as output:
        assert finished("days", lambda: print("🌙")) == EXIT_OK
    assert output.getvalue() == "🌙\n"
