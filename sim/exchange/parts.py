"""What goes into an exchange and comes out of it: background flows, and copies of its state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from lobgym.sim.exchange.state import BoardCopy

__all__ = ["ExchangeSnapshot", "Flow"]


class Flow(Protocol):
    """A background flow: the number of its kernel, its state, and what distinguishes it."""

    @property
    def kind(self) -> int:
        """Number of its kernel (`register_flow`)."""
        ...

    @property
    def digest(self) -> str:
        """Of its parameters, as hex."""
        ...

    def state(self, seed: int, start_ns: int, base_tick: int, width: int, start_tick: int) -> NDArray[Any]:
        """A fresh state, a structured array whose first record the kernel finds at `board["flow"]`.

        Its shape does not depend on the seed, and no address in it leads elsewhere: it is copied with the exchange.
        """
        ...


@dataclass(frozen=True)
class ExchangeSnapshot:
    """A copy of an exchange's state. Valid for exchanges made with the same arguments; the seed may differ."""

    digest: str
    seed: int
    board: BoardCopy
    lanes: tuple[NDArray[Any], ...]
    log_count: int
