"""`ObservationLayout`: named columns with a unit and a scale, and the encoder that belongs to them.

Every column is bounded by [-1, 1], never NaN, and causal: it reads the local book at the lane's own cursor, lookups
at earlier cursors, and the lane's own view of its orders and position. Ratios are as they are; every other quantity v
is mapped by v / (s + |v|), s being the column's scale: monotone, unsaturated and free of library functions, so that
its bits are the same on every processor. A market column is 0 while its book, or the earlier one it compares with,
is not two-sided.
"""

from __future__ import annotations

import difflib
import hashlib
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from lobgym.sim.columns.catalog import (
    COLUMN_NUMBERS,
    COLUMNS,
    DEFAULT_COLUMNS,
    EXECUTION_COLUMNS,
    GRID_COLUMNS,
    GROUPS,
    MAKER_COLUMNS,
    ROUTER_COLUMNS,
    TARGET_COLUMNS,
    Column,
)
from lobgym.sim.columns.custom import REGISTERED, register_column
from lobgym.sim.errors import LayoutError

__all__ = [
    "COLUMNS",
    "COLUMN_NUMBERS",
    "DEFAULT_COLUMNS",
    "EXECUTION_COLUMNS",
    "GRID_COLUMNS",
    "GROUPS",
    "MAKER_COLUMNS",
    "ROUTER_COLUMNS",
    "TARGET_COLUMNS",
    "Column",
    "ObservationLayout",
    "register_column",
]


@dataclass(frozen=True)
class ObservationLayout:
    """The columns of an observation row, in order.

    Args:
        columns: names of columns, or of groups of them (`GROUPS`), which are replaced by their columns.

    Raises:
        LayoutError: no columns, an unknown one, or one named twice.
    """

    columns: tuple[str, ...]

    def __post_init__(self) -> None:
        columns = tuple(column for name in self.columns for column in GROUPS.get(str(name), (name,)))
        object.__setattr__(self, "columns", columns)
        if not columns:
            raise LayoutError("a layout needs at least one column")
        for name in columns:
            if name not in COLUMN_NUMBERS and name not in REGISTERED:
                raise LayoutError(_unknown(name))
        if len(set(columns)) != len(columns):
            raise LayoutError(f"a column is named twice in {columns}")

    @property
    def names(self) -> tuple[str, ...]:
        """Column names."""
        return self.columns

    @property
    def size(self) -> int:
        """Number of columns, D."""
        return len(self.columns)

    @property
    def low(self) -> NDArray[np.float32]:
        """Lower bounds, float32 [D]."""
        return np.full(self.size, -1.0, np.float32)

    @property
    def high(self) -> NDArray[np.float32]:
        """Upper bounds, float32 [D]."""
        return np.full(self.size, 1.0, np.float32)

    @property
    def ids(self) -> NDArray[np.int64]:
        """The encoder's number of each column, int64 [D]; registered ones come behind all others."""
        registered = [name for name in self.columns if name not in COLUMN_NUMBERS]
        numbers = COLUMN_NUMBERS | {name: len(COLUMNS) + k for k, name in enumerate(registered)}
        return np.array([numbers[name] for name in self.columns], np.int64)

    @property
    def specs(self) -> tuple[Column, ...]:
        """The columns with unit, scale and meaning."""
        return tuple(
            COLUMNS[COLUMN_NUMBERS[name]] if name in COLUMN_NUMBERS else REGISTERED[name] for name in self.columns
        )

    @property
    def wants_flow(self) -> bool:
        """Whether a column reads the order flow, which is compiled only for those who do."""
        return any(part.startswith("flow_") for spec in self.specs for part in spec.parts)

    @property
    def wants_tops(self) -> bool:
        """Whether a column reads what the best levels hold together, which is compiled only for those who do."""
        return any("tops" in spec.parts for spec in self.specs)

    @property
    def lookback_ns(self) -> int:
        """How far back the columns look, nanoseconds; those that nothing bounds (vpin) are left out."""
        return max(spec.lookback_s for spec in self.specs) * 1_000_000_000

    @property
    def hash(self) -> str:
        """SHA-256 over names, versions, units, scales and registered sources: equal hashes mean equal observations."""
        rows = [[spec.name, spec.version, spec.unit, spec.scale, *filter(None, [spec.source])] for spec in self.specs]
        return hashlib.sha256(msgspec.json.encode(rows)).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """The columns, and the hash they had when they were written."""
        return {"columns": list(self.columns), "hash": self.hash}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ObservationLayout:
        """The inverse of `to_json`.

        Raises:
            LayoutError: unknown fields, or columns that mean something else than when they were written.
        """
        if set(data) != {"columns", "hash"}:
            raise LayoutError(f"a layout has the fields columns and hash, got {sorted(data)}")
        layout = cls(tuple(data["columns"]))
        if layout.hash != data["hash"]:
            raise LayoutError(
                f"layout hash {data['hash'][:12]} was written, this version of the columns has {layout.hash[:12]}; "
                "retrain the policy, or run it with the version of lobgym that made it"
            )
        return layout


def _unknown(name: str) -> str:
    known = [*COLUMN_NUMBERS, *REGISTERED, *GROUPS]
    near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.5)
    meant = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
    return (
        f"unknown column {name!r}; {meant}one of your own must be registered first (register_column); "
        f"known: {', '.join(known)}"
    )
