"""`ObservationLayout`: named columns with a unit and a scale, and the encoder that belongs to them.

Every column is bounded by [-1, 1], never NaN, and causal: it reads the local book at the lane's own cursor, lookups
at earlier cursors, and the lane's own view of its orders and position. Ratios are as they are; every other quantity v
is mapped by v / (s + |v|), s being the column's scale: monotone, unsaturated and free of library functions, so that
its bits are the same on every processor. A market column is 0 while its book, or the earlier one it compares with,
is not two-sided.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from lobgym.sim.bars import NATR_BARS
from lobgym.sim.errors import LayoutError

__all__ = ["COLUMNS", "COLUMN_NUMBERS", "GRID_COLUMNS", "TARGET_COLUMNS", "Column", "ObservationLayout"]


@dataclass(frozen=True)
class Column:
    """One observable quantity.

    Attributes:
        name: its name in a layout.
        unit: of the quantity before scaling.
        scale: s of v / (s + |v|); 0 for a ratio that is bounded by itself.
        own: whether it reads the lane's own view; otherwise it depends on tape and time alone.
        version: raised whenever its meaning changes, so that a layout's hash changes with it.
        about: what it is.
    """

    name: str
    unit: str
    scale: float
    own: bool
    version: int
    about: str


COLUMNS: Final = (
    Column("two_sided", "1", 0.0, False, 1, "1 while the local book has a bid and an ask, else 0"),
    Column("spread", "bps of mid", 1.0, False, 1, "best ask minus best bid"),
    Column("book_age", "s", 1.0, False, 1, "time since the local book last changed"),
    Column("imbalance_1", "1", 0.0, False, 1, "(bid - ask) / (bid + ask) quantity at the bests"),
    Column("imbalance_5", "1", 0.0, False, 1, "the same over the best five levels a side"),
    Column("pressure_5", "1", 0.0, False, 1, "the same, level k weighted by 1/k"),
    Column("microprice", "bps of mid", 0.5, False, 1, "best prices weighted by opposite quantities, minus the mid"),
    Column("width_5", "bps of mid", 5.0, False, 1, "distance between the outermost of the best five levels a side"),
    Column("return_1s", "bps", 1.0, False, 1, "change of the mid over the last second"),
    Column("return_5s", "bps", 2.5, False, 1, "change of the mid over the last 5 seconds"),
    Column("return_30s", "bps", 5.0, False, 1, "change of the mid over the last 30 seconds"),
    Column("natr_14", "bps", 1.0, False, 1, f"mean true range of the mid in its last {NATR_BARS} bars of a second"),
    Column("trade_flow_1s", "1", 0.0, False, 1, "(bought - sold) / (bought + sold) by takers in the last second"),
    Column("trade_flow_5s", "1", 0.0, False, 1, "the same over 5 seconds"),
    Column("volume_1s", "1", 0.0, False, 1, "V / (V + D): V traded in the last second, D on the best five levels"),
    Column("activity", "1", 0.0, False, 1, "V / (V + W/30): W traded in the last 30 seconds"),
    Column("inventory", "1", 0.0, True, 1, "position / position limit"),
    Column("open_bid_lots", "1", 0.0, True, 1, "open buying quantity / position limit"),
    Column("open_ask_lots", "1", 0.0, True, 1, "open selling quantity / position limit"),
    Column("bid_distance", "bps of mid", 5.0, True, 1, "mid minus own best bid; 1 where there is none"),
    Column("ask_distance", "bps of mid", 5.0, True, 1, "own best ask minus mid; 1 where there is none"),
    Column("pending", "1", 4.0, True, 1, "own requests without an answer"),
    Column("episode_pnl", "bps", 50.0, True, 1, "equity since reset / value of the position limit"),
)

COLUMN_NUMBERS: Final = {column.name: number for number, column in enumerate(COLUMNS)}

GRID_COLUMNS: Final = (
    "spread",
    "book_age",
    "imbalance_1",
    "imbalance_5",
    "pressure_5",
    "microprice",
    "return_1s",
    "return_5s",
    "return_30s",
    "natr_14",
    "trade_flow_1s",
    "trade_flow_5s",
    "volume_1s",
    "activity",
    "inventory",
    "open_bid_lots",
    "open_ask_lots",
    "bid_distance",
    "ask_distance",
    "pending",
)
TARGET_COLUMNS: Final = (
    "spread",
    "imbalance_1",
    "imbalance_5",
    "pressure_5",
    "microprice",
    "return_1s",
    "return_5s",
    "return_30s",
    "natr_14",
    "trade_flow_1s",
    "trade_flow_5s",
    "volume_1s",
    "activity",
    "inventory",
    "pending",
)


@dataclass(frozen=True)
class ObservationLayout:
    """The columns of an observation row, in order.

    Raises:
        LayoutError: no columns, an unknown one, or one named twice.
    """

    columns: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.columns:
            raise LayoutError("a layout needs at least one column")
        for name in self.columns:
            if name not in COLUMN_NUMBERS:
                raise LayoutError(f"unknown column {name!r}; known: {', '.join(COLUMN_NUMBERS)}")
        if len(set(self.columns)) != len(self.columns):
            raise LayoutError(f"a column is named twice in {self.columns}")

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
        """The encoder's number of each column, int64 [D]."""
        return np.array([COLUMN_NUMBERS[name] for name in self.columns], np.int64)

    @property
    def specs(self) -> tuple[Column, ...]:
        """The columns with unit, scale and meaning."""
        return tuple(COLUMNS[COLUMN_NUMBERS[name]] for name in self.columns)

    @property
    def hash(self) -> str:
        """SHA-256 over names, versions, units and scales: equal hashes mean equal observations."""
        rows = [[spec.name, spec.version, spec.unit, spec.scale] for spec in self.specs]
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
