"""Start one paper run after the other and kill each at another record: `kill_runs.py BUNDLE TAPE FOLDER STEPS`.

A run dies by SIGKILL before its k-th record is written, in the middle of writing it, or right after. Journals are
`FOLDER/<way>-<k>`. Each run is a forked process; nothing of it survives but its file.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from lobgym.runtime.bundle import load_bundle
from lobgym.runtime.journal import Journal
from lobgym.runtime.paper import run_paper
from lobgym.sim.market import Market
from lobgym.sim.tape import open_tape

WAYS = ("before", "torn", "after")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(way: str, place: int) -> None:
    """Make this process die at record `place`."""
    append, write = Journal.append, Journal._write
    count = [0]

    def armed(journal: Journal, kind: str, body: Any) -> str:
        if count[0] == place and way == "before":
            die()
        if count[0] == place and way == "torn":
            Journal._write = staticmethod(lambda handle, line: (write(handle, line[: len(line) // 2]), die())[0])
        digest = append(journal, kind, body)
        if count[0] == place:
            die()
        count[0] += 1
        return digest

    Journal.append = armed  # type: ignore[method-assign]


def main() -> None:
    bundle_path, tape_path, folder, steps = sys.argv[1:]
    bundle, tape = load_bundle(bundle_path, allow_ungated=True), open_tape(tape_path)
    market = Market.compile(tape)
    records = 2 * int(steps) + 2
    for way in WAYS:
        for place in range(records):
            child = os.fork()
            if child == 0:
                arm(way, place)
                run_paper(bundle, tape, Path(folder) / f"{way}-{place}", steps=int(steps), market=market, sync="none")
                os._exit(0)
            _, status = os.waitpid(child, 0)
            assert os.WIFSIGNALED(status), f"{way}-{place} was not killed: {status}"


if __name__ == "__main__":
    main()
