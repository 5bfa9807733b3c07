"""`Replay`: the last transitions of one pass, a float32 row each, and batches drawn from them evenly."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lobgym.agents.errors import TrainError

__all__ = ["Batch", "Replay"]

_Array = NDArray[np.float32]


class Batch(NamedTuple):
    """B transitions."""

    features: _Array  # [B, D]
    position: _Array  # [B] fractions of the position limit
    action: NDArray[np.int64]  # [B]
    reward: _Array  # [B]
    next_features: _Array  # [B, D]
    next_position: _Array  # [B]
    taught: _Array  # [B, A] the teacher's values at (features, position)


class Replay:
    """A ring of transitions.

    Args:
        size: how many it keeps.
        features, actions: D and A.
    """

    def __init__(self, size: int, features: int, actions: int) -> None:
        self._features = features
        self.rows: _Array = np.zeros((size, 2 * features + 4 + actions), np.float32)
        self.added = 0

    def __len__(self) -> int:
        return min(self.added, len(self.rows))

    def add(self, batch: Batch) -> None:
        """Keep N transitions, the oldest make room.

        Raises:
            TrainError: more at once than there is room for.
        """
        count, size, d = len(batch.action), len(self.rows), self._features
        if count > size:
            raise TrainError(f"{count} transitions at once do not fit a buffer of {size}: fewer lanes, or more room")
        begin = self.added % size
        head = min(count, size - begin)
        for rows, part in ((self.rows[begin : begin + head], slice(0, head)), (self.rows, slice(head, count))):
            here = rows[: part.stop - part.start]
            here[:, :d] = batch.features[part]
            here[:, d] = batch.position[part]
            here[:, d + 1] = batch.action[part]
            here[:, d + 2] = batch.reward[part]
            here[:, d + 3 : 2 * d + 3] = batch.next_features[part]
            here[:, 2 * d + 3] = batch.next_position[part]
            here[:, 2 * d + 4 :] = batch.taught[part]
        self.added += count

    def draw(self, count: int, rng: np.random.Generator) -> _Array:
        """float32[count, ..]: rows drawn evenly, with repetition; `unpack` tells what is in them."""
        return self.rows[rng.integers(0, len(self), count)]

    def unpack(self, rows: _Array) -> Batch:
        """The transitions in rows that `draw` gave, views where that is possible."""
        d = self._features
        return Batch(
            rows[:, :d], rows[:, d], rows[:, d + 1].astype(np.int64), rows[:, d + 2], rows[:, d + 3 : 2 * d + 3],
            rows[:, 2 * d + 3], rows[:, 2 * d + 4 :],
        )  # fmt: skip
