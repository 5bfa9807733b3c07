"""Raw recordings of venues, made into tapes."""

from __future__ import annotations

from lobgym.sim.importers.binance import import_binance

__all__ = ["import_binance"]
