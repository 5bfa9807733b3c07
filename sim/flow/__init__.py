"""Background flows of the exchange: orders of nobody in particular, from seeded, counter-based random numbers."""

from __future__ import annotations

from lobgym.sim.flow.dealer import DealerFlow
from lobgym.sim.flow.reactive import ReactiveFlow

__all__ = ["DealerFlow", "ReactiveFlow"]
