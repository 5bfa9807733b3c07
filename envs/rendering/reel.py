"""`Reel`: what traders went through since their resets, as it was seen, in the market's own integers.

Every step is filmed in case somebody wants a picture, and mostly nobody does: nothing is converted before that.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from lobgym.envs.rendering.look import CODES, T_NS
from lobgym.sim.jit import njit_lean
from lobgym.sim.records import FILL

__all__ = ["FILLS", "FILL_COLUMNS", "NOT_YET", "SAMPLES", "Reel"]

SAMPLES: Final = 240  # of the past that a picture shows
FILLS: Final = 512
NOT_YET: Final = -1  # in place of a code: nothing was decided since the reset

FILL_COLUMNS: Final = ("ns", "tick", "qty", "side", "maker")  # what is kept of a log's row


class Reel:
    """The last SAMPLES looks and FILLS fills of each trader.

    Args:
        traders: how many, N.
        codes: how many codes a look has.

    Attributes:
        start_ns: int64[N], their clocks at their resets.
        filled: int64[N], how many fills they had since.
    """

    def __init__(self, traders: int, codes: int) -> None:
        self.start_ns = np.zeros(traders, np.int64)
        self.filled = np.zeros(traders, np.int64)
        self._taken = np.zeros(traders, np.int64)
        self._looks = np.zeros((traders, SAMPLES, CODES + codes), np.int64)
        self._fills = np.zeros((traders, FILLS, len(FILL_COLUMNS)), np.int64)

    def begin(self, mask: NDArray[np.bool_], looks: NDArray[np.int64]) -> None:
        """Forget what the traders of `mask` went through, and keep their first looks, in which they heard nothing."""
        looks[:, CODES:] = NOT_YET
        self.start_ns[mask] = looks[mask, T_NS]
        self.filled[mask] = self._taken[mask] = 0
        self.keep(mask, looks)

    def keep(self, mask: NDArray[np.bool_], looks: NDArray[np.int64]) -> None:
        """Keep the rows of `looks`, int64[N, columns], of the traders of `mask`."""
        _keep_looks(self._looks, self._taken, mask, looks)

    def keep_fills(self, log: NDArray[np.void]) -> None:
        """Keep the fills among LOG_DTYPE[k], whose `lane` is the trader."""
        if len(log):
            _keep_fills(self._fills, self.filled, log)

    def looks(self, i: int) -> list[list[int]]:
        """A trader's looks, the oldest first."""
        return _unrolled(self._looks[i], int(self._taken[i]))

    def fills(self, i: int) -> list[list[int]]:
        """A trader's fills in FILL_COLUMNS, the oldest first."""
        return _unrolled(self._fills[i], int(self.filled[i]))

    def codes(self, i: int) -> list[int]:
        """What the trader's desk heard last, or NOT_YET."""
        last: list[int] = self._looks[i, (self._taken[i] - 1) % SAMPLES, CODES:].tolist()
        return last


def _unrolled(ring: NDArray[np.int64], count: int) -> list[list[int]]:
    """The rows of a ring into which `count` rows were put, the oldest first."""
    rows = ring[:count] if count <= len(ring) else np.roll(ring, -(count % len(ring)), axis=0)
    made: list[list[int]] = rows.tolist()
    return made


@njit_lean
def _keep_looks(
    kept: NDArray[np.int64], taken: NDArray[np.int64], mask: NDArray[np.bool_], looks: NDArray[np.int64]
) -> None:
    for i in range(mask.shape[0]):
        if mask[i]:
            row = taken[i] % SAMPLES
            for k in range(looks.shape[1]):
                kept[i, row, k] = looks[i, k]
            taken[i] += 1


@njit_lean
def _keep_fills(kept: NDArray[np.int64], filled: NDArray[np.int64], log: NDArray[np.void]) -> None:
    for j in range(log.shape[0]):
        fill = log[j]
        if fill["kind"] != FILL:
            continue
        i = fill["lane"]
        row = filled[i] % FILLS
        kept[i, row, 0] = fill["ns"]
        kept[i, row, 1] = fill["tick"]
        kept[i, row, 2] = fill["qty"]
        kept[i, row, 3] = fill["side"]
        kept[i, row, 4] = fill["maker"]
        filled[i] += 1
