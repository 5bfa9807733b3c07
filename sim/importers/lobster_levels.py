"""From successive pictures of the best levels to changes of levels, as a compiled loop.

A picture shows L levels a side. A level that is missing in the next one was removed if it would have been in view, and
has merely left the view if it lies beyond the worst level shown. Such a level keeps what it last showed; it is heard of
again when the view reaches so far: by its quantity if it is shown, by its removal if it is not.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.jit import njit

__all__ = ["NOTHING", "Pictures", "changes_of"]

NOTHING: Final = np.int64(2**62)  # key of an empty place in a picture
_ROW, _SIDE, _KEY, _QTY = 0, 1, 2, 3


class Pictures(NamedTuple):
    """State between batches. A key is the price, negated for bids, so that the best comes first on both sides."""

    key: NDArray[np.int64]  # [2, L]: bids, asks of the newest picture
    qty: NDArray[np.int64]  # [2, L]
    hidden: NDArray[np.int64]  # [2, H]: keys out of view, the farthest first
    hidden_count: NDArray[np.int64]  # [2]: how many of them

    @classmethod
    def empty(cls, levels: int) -> Pictures:
        """Before the first picture."""
        shape = (2, levels)
        hidden = np.zeros((2, 1 << 12), dtype=np.int64)
        return cls(np.full(shape, NOTHING), np.zeros(shape, dtype=np.int64), hidden, np.zeros(2, dtype=np.int64))

    def roomier(self) -> Pictures:
        """The same with room for twice as many hidden levels."""
        return self._replace(hidden=np.concatenate([self.hidden, np.zeros_like(self.hidden)], axis=1))


@njit
def changes_of(
    pictures: Pictures, key: NDArray[np.int64], qty: NDArray[np.int64], begin: int, out: NDArray[np.int64]
) -> tuple[int, int]:
    """Write the changes that lead to each picture: int64 (row, side 1 or -1, key, quantity) each.

    `key` and `qty` are int64[rows, 2, L], best first, empty places with key NOTHING. Begins with picture `begin` and
    stops before `out` or the hidden levels could overflow; returns the picture to go on with and the changes written.
    """
    levels = key.shape[2]
    written = 0
    left = np.empty(levels, dtype=np.int64)
    for row in range(begin, key.shape[0]):
        most = 4 * levels + pictures.hidden_count[0] + pictures.hidden_count[1]
        if (
            written + most > out.shape[0]
            or max(pictures.hidden_count[0], pictures.hidden_count[1]) + levels > pictures.hidden.shape[1]
        ):
            return row, written
        for s in range(2):
            side = 1 - 2 * s
            old_key, old_qty = pictures.key[s], pictures.qty[s]
            new_key, new_qty = key[row, s], qty[row, s]
            reach = new_key[levels - 1]  # NOTHING where the whole side is in view
            gone = 0
            i = 0
            j = 0
            while i < levels or j < levels:
                old = old_key[i] if i < levels else NOTHING
                new = new_key[j] if j < levels else NOTHING
                if old == NOTHING and new == NOTHING:
                    break
                amount = -1
                if old == new:
                    if old_qty[i] != new_qty[j]:
                        amount = int(new_qty[j])
                    i += 1
                    j += 1
                elif old < new:
                    if old < reach:
                        amount = 0
                    else:
                        left[gone] = old
                        gone += 1
                    i += 1
                else:
                    amount = int(new_qty[j])
                    j += 1
                if amount >= 0:
                    out[written, _ROW], out[written, _SIDE] = row, side
                    out[written, _KEY], out[written, _QTY] = min(old, new), amount
                    written += 1
            while pictures.hidden_count[s] > 0 and pictures.hidden[s, pictures.hidden_count[s] - 1] <= reach:
                pictures.hidden_count[s] -= 1
                back = pictures.hidden[s, pictures.hidden_count[s]]
                shown = False
                for k in range(levels):
                    shown |= new_key[k] == back
                if not shown:
                    out[written, _ROW], out[written, _SIDE] = row, side
                    out[written, _KEY], out[written, _QTY] = back, 0
                    written += 1
            for k in range(gone):
                pictures.hidden[s, pictures.hidden_count[s]] = left[gone - 1 - k]
                pictures.hidden_count[s] += 1
            old_key[:] = new_key
            old_qty[:] = new_qty
    return key.shape[0], written
