"""`JointQ`: many networks of one shape answer many rows in one compiled call, each row its own network.

The function is `lobgym.agents.earnhft.network.q_values`. Sums are added input by input in ascending order, whatever
rows stand beside, so a row's answer depends on that row alone: not on the batch, the machine or a library's version.
`q_values` itself adds in the order of the machine's BLAS; the two differ in the last bits of a float32 sum, and choose
alike wherever the best action leads by more than that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lobgym.agents.errors import PolicyError
from lobgym.sim.jit import njit_lean

if TYPE_CHECKING:
    from lobgym.agents.earnhft.network import QWeights

__all__ = ["JointQ"]

_TOGETHER: Final = 4  # inputs whose products are added in one pass over the sums


class JointQ:
    """The stacked weights of M networks.

    Args:
        agents: at least one, all with the same columns, targets and shapes.

    Raises:
        PolicyError: networks that differ in more than their numbers.

    Attributes:
        columns: names of the D features that they read; targets: the P positions that their embedding knows.
        actions: A.
    """

    def __init__(self, agents: Sequence[QWeights]) -> None:
        if not agents:
            raise PolicyError("a joint network needs at least one agent, got none")
        first = agents[0]
        for number, one in enumerate(agents):
            if one.columns != first.columns or one.targets != first.targets or one.w3.shape != first.w3.shape:
                raise PolicyError(
                    f"agents that act together need the same columns, targets and shapes: agent {number} has "
                    f"{one.columns}, {one.targets}, {one.w3.shape}, the first one {first.columns}, {first.targets}, "
                    f"{first.w3.shape}"
                )
        hidden = first.b1.shape[0]
        self.columns: tuple[str, ...] = tuple(first.columns)
        self.targets: tuple[float, ...] = tuple(first.targets)
        self.size = len(agents)
        self.actions = int(first.b3.shape[0])
        self._targets = np.array(first.targets, np.float32)
        self._w1, self._b1 = _stack([a.w1 for a in agents]), _stack([a.b1 for a in agents])
        self._w2 = _stack([a.w2[:hidden] for a in agents])
        # What the embedding adds is linear in the weights of the positions, which sum to 1: one row a position.
        self._places = _stack([a.embed @ a.w2[hidden:] + a.b2 for a in agents])
        self._w3, self._b3 = _stack([a.w3 for a in agents]), _stack([a.b3 for a in agents])
        self._scratch = np.zeros((3, hidden), np.float32)
        self._index = np.zeros(hidden, np.int64)

    def q(self, members: ArrayLike, features: ArrayLike, position: ArrayLike) -> NDArray[np.float32]:
        """float32[N, A]: what network `members[i]` says of row i.

        Args:
            members: int[N], below the number of networks.
            features: float32[N, D], in the order of `columns`.
            position: float32[N], fractions of the limit; between two targets the embedding is interpolated.

        Raises:
            PolicyError: shapes that do not fit, or a member that does not exist.
        """
        who = np.ascontiguousarray(members, np.int64)
        rows = np.ascontiguousarray(features, np.float32)
        held = np.ascontiguousarray(position, np.float32)
        if rows.shape != (len(who), len(self.columns)) or held.shape != (len(who),):
            raise PolicyError(
                f"expected features of shape [{len(who)}, {len(self.columns)}] and {len(who)} positions, "
                f"got {list(rows.shape)} and {list(held.shape)}"
            )
        if who.size and (who.min() < 0 or who.max() >= self.size):
            raise PolicyError(f"members must lie between 0 and {self.size - 1}, got {who.min()} to {who.max()}")
        out = np.empty((len(who), self.actions), np.float32)
        joint_forward(
            who, rows, held, self._targets, self._w1, self._b1, self._w2, self._places, self._w3, self._b3,
            self._scratch, self._index, out,
        )  # fmt: skip
        return out

    def act(self, members: ArrayLike, features: ArrayLike, position: ArrayLike) -> NDArray[np.int64]:
        """int64[N]: the best action of each row, the first of equals. See `q`."""
        best: NDArray[np.int64] = self.q(members, features, position).argmax(axis=1).astype(np.int64)
        return best


def _stack(arrays: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    return np.ascontiguousarray(np.stack(arrays), np.float32)


@njit_lean
def joint_forward(
    members: NDArray[np.int64], features: NDArray[np.float32], position: NDArray[np.float32],
    targets: NDArray[np.float32], w1: NDArray[np.float32], b1: NDArray[np.float32], w2: NDArray[np.float32],
    places: NDArray[np.float32], w3: NDArray[np.float32], b3: NDArray[np.float32],
    scratch: NDArray[np.float32], index: NDArray[np.int64], out: NDArray[np.float32],
) -> None:  # fmt: skip
    """Three layers a row; see `JointQ.q`.

    Args:
        members: [N]; features: [N, D]; position: [N]; targets: [P], ascending.
        w1: [M, D, H]; b1: [M, H]; w2: [M, H, H]; places: [M, P, H]; w3: [M, H, A]; b3: [M, A].
        scratch: [3, H]; index: [H]: working space.
        out: [N, A].
    """
    hidden = b1.shape[1]
    inputs = features.shape[1]
    actions = b3.shape[1]
    top = targets.shape[0] - 1
    first, second = scratch[0], scratch[1]
    for i in range(members.shape[0]):
        m = members[i]
        for j in range(hidden):
            first[j] = b1[m, j]
        d = 0
        while d + _TOGETHER <= inputs:
            x0, x1, x2, x3 = features[i, d], features[i, d + 1], features[i, d + 2], features[i, d + 3]
            for j in range(hidden):
                first[j] = (
                    first[j] + x0 * w1[m, d, j] + x1 * w1[m, d + 1, j] + x2 * w1[m, d + 2, j] + x3 * w1[m, d + 3, j]
                )
            d += _TOGETHER
        while d < inputs:
            x0 = features[i, d]
            for j in range(hidden):
                first[j] += x0 * w1[m, d, j]
            d += 1
        # The two targets around the position, and the share of the upper one.
        held = position[i]
        low = 0
        while low < top - 1 and held >= targets[low + 1]:
            low += 1
        if top == 0:
            upper, share = 0, np.float32(0.0)
        else:
            upper = low + 1
            share = (held - targets[low]) / (targets[upper] - targets[low])
            share = min(max(share, np.float32(0.0)), np.float32(1.0))
        rest = np.float32(1.0) - share
        for j in range(hidden):
            second[j] = rest * places[m, low, j] + share * places[m, upper, j]
        # A unit that is off adds nothing: only those that are on are added.
        on = 0
        for j in range(hidden):
            index[on] = j
            on += first[j] > np.float32(0.0)
        k = 0
        while k + _TOGETHER <= on:
            k0, k1, k2, k3 = index[k], index[k + 1], index[k + 2], index[k + 3]
            x0, x1, x2, x3 = first[k0], first[k1], first[k2], first[k3]
            for j in range(hidden):
                second[j] = second[j] + x0 * w2[m, k0, j] + x1 * w2[m, k1, j] + x2 * w2[m, k2, j] + x3 * w2[m, k3, j]
            k += _TOGETHER
        while k < on:
            k0 = index[k]
            x0 = first[k0]
            for j in range(hidden):
                second[j] += x0 * w2[m, k0, j]
            k += 1
        for a in range(actions):
            out[i, a] = b3[m, a]
        for j in range(hidden):
            x0 = max(second[j], np.float32(0.0))
            for a in range(actions):
                out[i, a] += x0 * w3[m, j, a]
