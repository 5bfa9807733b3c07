"""The quoter's kinds, one module each, and what they share; `lobgym.sim.quoter` is the way in."""

from __future__ import annotations

from lobgym.sim.quotes.intents import QuoterValues, Touch

__all__ = ["QuoterValues", "Touch"]
