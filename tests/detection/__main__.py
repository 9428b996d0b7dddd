"""How long each way to be useless stays unsaid: ``python -m tests.detection`` prints the table.

``--write`` puts it into docs/reliability.md, ``--only WORDS`` measures the rows whose name has these words.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from tests.detection.rows import ROWS
from tests.detection.table import PAGE, measured, rewritten, table
from tests.virtual_loop import VirtualLoop


def main() -> int:
    """Measures and prints. Returns 1 if a row is over its limit, or nobody says it."""
    described = argparse.ArgumentParser(prog="python -m tests.detection", description=__doc__)
    described.add_argument("--write", action="store_true", help="write the table into docs/reliability.md")
    described.add_argument("--only", default="", help="words in the names of the rows")
    chosen = described.parse_args()
    found = []
    for row in ROWS:
        if chosen.only not in row.name:
            continue
        began = time.process_time()
        with tempfile.TemporaryDirectory() as folder, asyncio.Runner(loop_factory=VirtualLoop) as runner:
            found.append((row, runner.run(measured(row, Path(folder)))))
        said = found[-1][1]
        print(
            f"{said.seconds:6.1f} s of {row.latest_s:3.0f}  {row.name} — {said.by}"
            f"  ({time.process_time() - began:.1f} CPU s)",
            file=sys.stderr,
        )
    print("\n".join(table(found)))
    if chosen.write:
        PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8"), table(found)), encoding="utf-8")
    return int(any(said.seconds > row.latest_s for row, said in found))


if __name__ == "__main__":
    sys.exit(main())
