"""The venue's calendar as a table: halts, auctions, outages and whatever else is known before a run begins."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.errors import ParamsError
from lobgym.sim.exchange.board import (
    AUCTION,
    DO_FEED,
    DO_LATENCY,
    DO_PHASE,
    DO_PREMIUM,
    DO_PRINT,
    OPEN,
    SCHEDULE_DTYPE,
)
from lobgym.sim.exchange.state import LATENCY_NS_MAX

__all__ = ["schedule_table"]

_STAMP_MAX: Final = (1 << 62) - 1
_FAR: Final = 1 << 41  # of ticks and lots
_RATE_FAR: Final = 1_000_000_000_000  # 100%
# Least and greatest value of `a` and `b`, by task.
_ALLOWED: Final = {
    DO_PHASE: ((OPEN, AUCTION), (0, 0)),
    DO_FEED: ((0, 1), (0, 0)),
    DO_PRINT: ((1, _FAR), (-_FAR, _FAR)),
    DO_LATENCY: ((0, LATENCY_NS_MAX), (0, LATENCY_NS_MAX)),
    DO_PREMIUM: ((-_RATE_FAR, _RATE_FAR), (0, 0)),
}


def schedule_table(tasks: Sequence[tuple[int, int, int, int]]) -> NDArray[np.void]:
    """SCHEDULE_DTYPE[k] by stamp, of equal ones in the order given. Raises ParamsError for what is no task."""
    checked = [_checked(k, task) for k, task in enumerate(tasks)]
    return np.array(sorted(checked, key=lambda task: task[0]), SCHEDULE_DTYPE)


def _checked(k: int, task: Any) -> tuple[int, int, int, int]:
    try:
        ns, what, a, b = (index(value) for value in task)
    except (TypeError, ValueError):
        raise ParamsError(f"schedule[{k}] must be (stamp, DO_*, a, b), four integers; got {task!r}") from None
    if what not in _ALLOWED or not 0 <= ns <= _STAMP_MAX:
        raise ParamsError(f"schedule[{k}]: a stamp from 0 to {_STAMP_MAX} and one of DO_*, 0 to 4; got {task!r}")
    for name, value, (low, high) in zip("ab", (a, b), _ALLOWED[what], strict=True):
        if not low <= value <= high:
            raise ParamsError(f"schedule[{k}]: {name} must be from {low} to {high} here, got {task!r}")
    if what == DO_PRINT and b == 0:
        raise ParamsError(f"schedule[{k}]: a print needs lots, above 0 for a buyer's; got {task!r}")
    return ns, what, a, b
