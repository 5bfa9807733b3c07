"""`lobgym study`: policies compared where nothing flatters: pairs, slices, sweeps, random entries, folds, ablations."""

from __future__ import annotations

__all__: list[str] = []
