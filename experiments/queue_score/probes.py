"""A probe: one order that really stood in a queue, with its fate.

What recordings of single orders and a market of one's own have in common: a tape of levels and prints, and orders
whose fills, end and true places in the queue are known. Everything else here takes only this.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from lobgym.experiments.errors import ExperimentError
from lobgym.sim.records import BUY, SELL
from lobgym.sim.tape import Tape

__all__ = ["AGES_NS", "CANCELLED", "FILLED", "OPEN", "Probe", "ProbeError", "Recorded"]

FILLED: Final = "filled"  # the last lot was traded at `end_ns`
CANCELLED: Final = "cancelled"  # withdrawn, moved or enlarged at `end_ns`: what would have come later is not known
OPEN: Final = "open"  # it stood when the recording ended

# Ages at which places in the queue are compared.
AGES_NS: Final = (1_000_000_000, 10_000_000_000, 60_000_000_000, 600_000_000_000)


class ProbeError(ExperimentError):
    """A probe that contradicts itself or its tape."""


@dataclass(frozen=True)
class Probe:
    """One order and what became of it. Ticks, lots, nanoseconds of the tape's clock.

    Attributes:
        entry_ns: stamp of the message by which it came to be displayed.
        front: lots that were displayed at its price before it.
        end_ns, ended: its last moment, and how it ended: FILLED, CANCELLED or OPEN.
        fills: (stamp, lots), ascending; each is the stamp of the message that shows the level without those lots.
        fronts: (age, lots that truly stood before it at `entry_ns` + age), for those of AGES_NS that it lived to see.

    Raises `ProbeError` when these do not fit each other.
    """

    id: int
    side: int
    tick: int
    qty: int
    entry_ns: int
    front: int
    end_ns: int
    ended: str
    fills: tuple[tuple[int, int], ...] = ()
    fronts: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        stamps = [self.entry_ns, *(stamp for stamp, _ in self.fills), self.end_ns]
        rules = {
            "side must be 1 or -1, tick and qty above 0": self.side in (BUY, SELL) and self.tick > 0 and self.qty > 0,
            f"ended must be {FILLED}, {CANCELLED} or {OPEN}": self.ended in (FILLED, CANCELLED, OPEN),
            "entry, fills and end must follow each other": stamps == sorted(stamps),
            "fills must have lots, no more than the order": self.filled <= self.qty
            and all(q > 0 for _, q in self.fills),
            "it is filled if and only if its fills make up its quantity": (self.ended == FILLED)
            == (self.filled == self.qty),
            "no more may come to stand before it": list(self.fronts) == sorted(self.fronts)
            and [self.front, *(lots for _, lots in self.fronts), 0]
            == sorted([self.front, *(lots for _, lots in self.fronts), 0], reverse=True),
        }
        for rule, kept in rules.items():
            if not kept:
                raise ProbeError(f"order {self.id}: {rule}; it is {self}")

    @property
    def filled(self) -> int:
        """Lots that were traded."""
        return sum(lots for _, lots in self.fills)

    def left_at(self, stamps: Any) -> Any:
        """int64[n]: lots of it displayed right after the messages of `stamps` (int64[n]); 0 outside its life."""
        alive = (stamps >= self.entry_ns) & ((stamps < self.end_ns) | (self.ended == OPEN))
        gone = np.zeros(len(stamps), np.int64)
        for stamp, lots in self.fills:
            gone += np.where(stamps >= stamp, lots, 0)
        return np.where(alive, self.qty - gone, 0)


@dataclass(frozen=True)
class Recorded:
    """A tape, the probes in it, and counts that say how far to trust them.

    Messages with level rows must have a stamp each of their own: `Probe.left_at` is asked by stamp.
    """

    tape: Tape
    probes: tuple[Probe, ...]
    facts: dict[str, Any] = field(default_factory=dict)
