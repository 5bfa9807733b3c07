"""Long tapes out of a short recording: the same minutes over and over, each time later.

A repetition begins with the recording's first CLEAR and its snapshot, so that the book is sound across the seam. The
same recording and length give the same rows. A day of rows is gigabytes: it is built in place, compiled from there,
and let go.
"""

from __future__ import annotations

import hashlib
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.compile import compile_effective
from lobgym.sim.market import Market
from lobgym.sim.records import CLEAR, EVENT_DTYPE, LAST
from lobgym.sim.rng import below
from lobgym.sim.tape import Tape

__all__ = ["compile_repeated", "peak_rss_gib", "random_times", "repeat_events", "reset_peak_rss"]

_PAUSE_NS: Final = 1_000_000_000  # between two repetitions: longer than anything takes to be received


def repeat_events(events: NDArray[Any], rows: int) -> NDArray[Any]:
    """`events`, EVENT_DTYPE[n], from their first CLEAR on, repeated to `rows` rows; the last one ends its message."""
    events = events[int(np.flatnonzero(events["kind"] == CLEAR)[0]) :]
    span = int(events["exch_ns"][-1] - events["exch_ns"][0]) + _PAUSE_NS
    out = np.empty(rows, EVENT_DTYPE)
    for repetition, start in enumerate(range(0, rows, len(events))):
        part = out[start : start + len(events)]
        part[:] = events[: len(part)]
        part["exch_ns"] += repetition * span
        part["local_ns"] += repetition * span
    out["flags"][-1] = LAST
    return out


def compile_repeated(recording: Tape, rows: int, runs: int = 1) -> tuple[Market, list[float]]:
    """The market of a recording repeated to `rows` rows, compiled `runs` times, and the seconds that each took.

    The market's `tape` is the recording alone: marks and funding do not repeat, and no copy of the rows is kept.
    """
    events = repeat_events(recording.events, rows)
    seconds = []
    for run in range(runs):
        begin = time.perf_counter()
        made = compile_effective(events, True)
        seconds.append(time.perf_counter() - begin)
        if run < runs - 1:
            del made
    digest = hashlib.sha256(f"{recording.digest}|repeated to {rows} rows".encode()).hexdigest()
    return Market(recording, True, digest, *made), seconds


def random_times(market: Market, count: int, seed: int, margin_ns: int = 0) -> NDArray[np.int64]:
    """int64[count]: times of a market, `margin_ns` before its end at the latest."""
    span = market.end_ns - margin_ns - market.start_ns
    drawn = (int(below(seed, 0, k, span)) for k in range(count))
    return market.start_ns + np.fromiter(drawn, np.int64, count)


def reset_peak_rss() -> None:
    """Let the peak of this process's memory begin at what it holds now, where the system can (Linux)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_rss_gib() -> float | None:
    """The most memory that this process held since `reset_peak_rss`, in GiB; None where the system does not say."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return round(int(line.split()[1]) / 2**20, 3)
    return None
