"""What a market is like: spread, depth, flow, volatility and responses of a tape, measured on its compiled book.

`measure(market)` gives one `Measures`. What each of its figures is, in which unit and on which grid, stands in
`lobgym.sim.measures.catalog` and in docs/compare.md.
"""

from __future__ import annotations

from lobgym.sim.measures.catalog import CATALOG, Entry
from lobgym.sim.measures.measure import measure
from lobgym.sim.measures.types import Curve, Distribution, Measures

__all__ = ["CATALOG", "Curve", "Distribution", "Entry", "Measures", "measure"]
