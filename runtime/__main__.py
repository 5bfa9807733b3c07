"""`python -m lobgym.runtime BUNDLE TAPE JOURNAL`: one paper run in a process of its own, its outcome as a JSON line.

What it imports is what serving needs. `lobgym paper` is the same for people.
"""

from __future__ import annotations

import argparse
import sys

import msgspec

from lobgym.runtime.journal import DEFAULT_SYNC
from lobgym.runtime.paper import run_paper
from lobgym.sim.errors import LobgymError


def main(arguments: list[str] | None = None) -> int:
    """Run and return the exit status: 0, or 1 after one line on stderr."""
    parser = argparse.ArgumentParser(prog="python -m lobgym.runtime", description="one paper run, one JSON line")
    parser.add_argument("bundle", help="folder of the policy bundle")
    parser.add_argument("tape", help="a .parquet file, or a name as synth:calm?seed=1")
    parser.add_argument("journal", help="file to append to")
    parser.add_argument("--start-ns", type=int, default=None)
    parser.add_argument("--steps", type=int, default=None, help="decisions (default: all that the tape holds)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sync", default=DEFAULT_SYNC, help="none, batch:N or always")
    parser.add_argument("--resume", action="store_true", help="go on where an interrupted run of this journal ended")
    parser.add_argument("--shadow", action="store_true", help="run a bundle that has not passed its gates")
    given = parser.parse_args(arguments)
    try:
        result = run_paper(
            given.bundle,
            given.tape,
            given.journal,
            given.start_ns,
            given.steps,
            given.seed,
            resume=given.resume,
            allow_ungated=given.shadow,
            sync=given.sync,
        )
    except LobgymError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    line = {
        "run": result.run,
        "decision_hash": result.decision_hash,
        "journal_head": result.journal_head,
        "decisions": result.decisions,
        "complete": result.complete,
        "pnl_units": result.pnl_units,
        "resumed_from": result.resumed_from,
    }
    print(msgspec.json.encode(line).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
