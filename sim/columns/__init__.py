"""The columns of an observation: what there is (`catalog`), and a kernel for each kind of source that they read.

`lobgym.sim.observation` chooses among them by name, `lobgym.sim.encoder` writes a row.
"""

from __future__ import annotations

__all__: list[str] = []
