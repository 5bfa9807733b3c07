"""`ActionSpec`: what a policy may say, and the integer codes that are all the desk ever hears of it.

Everything behind the policy works on codes, so a decision is a few small integers: it can be logged, hashed and
replayed without a float in it. A Box action in [-1, 1] is cut into equal bins; a Discrete one is its own code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lobgym.sim.errors import ActionError, LayoutError
from lobgym.sim.jit import njit_lean

__all__ = [
    "CODE_AGGRESSIVENESS",
    "CODE_ASK_OFFSET",
    "CODE_BID_OFFSET",
    "CODE_LEAN",
    "CODE_LEVELS",
    "CODE_MAKER_SIZE",
    "CODE_PAUSE",
    "CODE_SIZE",
    "CODE_SKEW",
    "CODE_SLICE",
    "CODE_SPACING",
    "EXECUTION",
    "EXECUTION_BINS",
    "EXECUTION_NAMES",
    "GRID",
    "GRID_BINS",
    "GRID_LEVELS_MAX",
    "GRID_NAMES",
    "KINDS",
    "MAKER",
    "MAKER_BINS",
    "MAKER_NAMES",
    "NO_QUOTE",
    "OFFSETS",
    "PAUSED",
    "SKEW_ZERO",
    "TARGET",
    "ActionSpec",
]

GRID: Final = "grid"
TARGET: Final = "target"
MAKER: Final = "maker"
EXECUTION: Final = "execution"
KINDS: Final = (GRID, TARGET, MAKER, EXECUTION)  # the kernels know them by their place

GRID_NAMES: Final = ("spacing", "levels", "skew", "size", "pause")
# Odd numbers: an untrained network's outputs lie near 0, which is then in the middle of a bin and not on an edge,
# where the last bit of a float would decide.
GRID_BINS: Final = (15, 5, 9, 5, 3)
CODE_SPACING: Final = 0  # row of DeskSpec.spacing_ticks
CODE_LEVELS: Final = 1  # 0..4: 1 to 5 levels a side
CODE_SKEW: Final = 2  # 0..8: the centre moves by (code - 4) quarters of the spacing, upwards if positive
CODE_SIZE: Final = 3  # 0..4: 1 to 5 times DeskSpec.order_lots
CODE_PAUSE: Final = 4  # PAUSED: no quotes; 0 and 1 quote
PAUSED: Final = 2
SKEW_ZERO: Final = 4
GRID_LEVELS_MAX: Final = GRID_BINS[CODE_LEVELS]

MAKER_NAMES: Final = ("bid_offset", "ask_offset", "size", "skew")
MAKER_BINS: Final = (15, 15, 5, 9)
CODE_BID_OFFSET: Final = 0  # row of DeskSpec.offset_ticks, or NO_QUOTE
CODE_ASK_OFFSET: Final = 1
CODE_MAKER_SIZE: Final = 2  # 0..4: 1 to 5 times DeskSpec.order_lots
CODE_LEAN: Final = 3  # 0..8: how much the centre leans against the inventory, in DeskSpec.lean_ticks at the limit
NO_QUOTE: Final = MAKER_BINS[CODE_BID_OFFSET] - 1  # nothing on that side
OFFSETS: Final = NO_QUOTE  # how many rows DeskSpec.offset_ticks has

EXECUTION_NAMES: Final = ("slice", "aggressiveness")
EXECUTION_BINS: Final = (11, 7)
CODE_SLICE: Final = 0  # row of lobgym.sim.quotes.execution.SLICE_EIGHTHS
CODE_AGGRESSIVENESS: Final = 1  # 0, 1: behind the best; join, improve, mid; take, sweep

# Kinds whose dimensions are always the same.
_FIXED: Final = {
    GRID: (GRID_NAMES, GRID_BINS),
    MAKER: (MAKER_NAMES, MAKER_BINS),
    EXECUTION: (EXECUTION_NAMES, EXECUTION_BINS),
}
_TARGETS_MAX: Final = 64


@dataclass(frozen=True)
class ActionSpec:
    """Names and numbers of bins of an action's dimensions.

    Attributes:
        kind: "target" (Discrete), or one of "grid", "maker" and "execution" (a Box in [-1, 1], float32).
        names: one name a dimension.
        bins: how many codes each dimension has; codes run from 0 to bins - 1.

    Raises:
        LayoutError: an unknown kind, or names and bins that do not belong to it.
    """

    kind: str
    names: tuple[str, ...]
    bins: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.kind == TARGET:
            if len(self.bins) != 1 or len(self.names) != 1 or not 2 <= self.bins[0] <= _TARGETS_MAX:
                raise LayoutError(f"a target action has one dimension of 2 to {_TARGETS_MAX} codes, got {self}")
        elif self.kind not in _FIXED:
            raise LayoutError(f"action kind must be one of {', '.join(KINDS)}, got {self.kind!r}")
        elif (self.names, self.bins) != _FIXED[self.kind]:
            names, bins = _FIXED[self.kind]
            raise LayoutError(f"a {self.kind} action has dimensions {names} with bins {bins}, got {self}")

    @classmethod
    def grid(cls) -> ActionSpec:
        """The five dimensions of a quoting grid."""
        return cls(GRID, GRID_NAMES, GRID_BINS)

    @classmethod
    def maker(cls) -> ActionSpec:
        """The four dimensions of a two-sided quote."""
        return cls(MAKER, MAKER_NAMES, MAKER_BINS)

    @classmethod
    def execution(cls) -> ActionSpec:
        """The two dimensions of working a parent order."""
        return cls(EXECUTION, EXECUTION_NAMES, EXECUTION_BINS)

    @classmethod
    def of(cls, kind: str, targets: int = 0) -> ActionSpec:
        """The action of a desk's kind; `targets` counts those of a target desk."""
        return cls(kind, *_FIXED[kind]) if kind in _FIXED else cls(kind, (kind,), (targets,))

    @classmethod
    def target(cls, count: int) -> ActionSpec:
        """`count` target positions."""
        return cls(TARGET, ("target",), (count,))

    @property
    def size(self) -> int:
        """Number of dimensions, A."""
        return len(self.bins)

    @property
    def bins_array(self) -> NDArray[np.int64]:
        """`bins` as int64 [A]."""
        return np.array(self.bins, np.int64)

    @property
    def continuous(self) -> bool:
        """Whether raw actions are floats in [-1, 1] (a Box) rather than codes (a Discrete)."""
        return self.kind != TARGET

    def decode(self, actions: ArrayLike) -> NDArray[np.int32]:
        """Codes of a batch of raw actions.

        Args:
            actions: a Box: float [N, A], clipped to [-1, 1]; targets: integer [N] or [N, 1].

        Returns:
            int32 [N, A].

        Raises:
            ActionError: a wrong shape or dtype, a value that is not finite, a code out of range.
        """
        array = np.asarray(actions)
        if not self.continuous:
            return self.check_codes(array.reshape(-1, 1) if array.ndim == 1 else array)
        if array.ndim != 2 or array.shape[1] != self.size:
            raise ActionError(f"expected {self.kind} actions of shape [N, {self.size}], got {list(array.shape)}")
        if array.dtype.kind not in "fiu":
            raise ActionError(f"expected {self.kind} actions of a float dtype, got {array.dtype}")
        codes = np.empty(array.shape, np.int32)
        bad = _decode_box(array.astype(np.float64), self.bins_array, codes)
        if bad >= 0:
            row = array[bad]
            raise ActionError(f"action {bad} is not finite: {row.tolist()}; check what the policy was given")
        return codes

    def encode(self, codes: ArrayLike) -> NDArray[Any]:
        """Raw actions that decode to `codes` [N, A]: bin centres as float32 [N, A], or int64 [N] for targets."""
        checked = self.check_codes(np.asarray(codes))
        if not self.continuous:
            return checked[:, 0].astype(np.int64)
        return ((checked + 0.5) / np.asarray(self.bins, np.float64) * 2.0 - 1.0).astype(np.float32)

    def to_json(self) -> dict[str, Any]:
        """The fields as plain data."""
        return {"kind": self.kind, "names": list(self.names), "bins": list(self.bins)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ActionSpec:
        """The inverse of `to_json`."""
        if set(data) != {"kind", "names", "bins"}:
            raise LayoutError(f"an action spec has the fields kind, names and bins, got {sorted(data)}")
        return cls(data["kind"], tuple(data["names"]), tuple(data["bins"]))

    def check_codes(self, codes: NDArray[Any]) -> NDArray[np.int32]:
        """`codes` [N, A] as contiguous int32. Raises ActionError for a wrong dtype, shape or value."""
        if codes.dtype.kind not in "iu":
            raise ActionError(f"expected codes of an integer dtype, got {codes.dtype}")
        if codes.ndim != 2 or codes.shape[1] != self.size:
            raise ActionError(f"expected codes of shape [N, {self.size}], got {list(codes.shape)}")
        outside = (codes < 0) | (codes >= np.asarray(self.bins))
        if outside.any():
            lane = int(np.argmax(outside.any(axis=1)))
            raise ActionError(f"codes {codes[lane].tolist()} of lane {lane} are outside 0..bins-1, bins {self.bins}")
        return np.ascontiguousarray(codes, np.int32)


@njit_lean
def _decode_box(actions: NDArray[np.float64], bins: NDArray[np.int64], out: NDArray[np.int32]) -> int:
    """Bin every value; return -1, or the first row with a value that is not finite."""
    for i in range(actions.shape[0]):
        for j in range(actions.shape[1]):
            value = actions[i, j]
            if not np.isfinite(value):
                return i
            value = min(max(value, -1.0), 1.0)
            out[i, j] = min(int((value + 1.0) / 2.0 * bins[j]), bins[j] - 1)
    return -1
