"""A run of the pipeline that kills itself: `pipeline_run.py OUT STAGE CALL`, at the stage's so many-th report."""

from __future__ import annotations

import os
import signal
import sys

from lobgym.agents.earnhft.pipeline import train_earnhft
from tests.agents.earnhft.made import config_of


def main() -> None:
    out, stage, call = sys.argv[1], sys.argv[2], int(sys.argv[3])
    calls = 0

    def progress(name: str, done: int, total: int) -> None:
        nonlocal calls
        calls += name == stage
        if calls == call:
            os.kill(os.getpid(), signal.SIGKILL)

    train_earnhft(config_of(out=out), progress)


if __name__ == "__main__":
    main()
