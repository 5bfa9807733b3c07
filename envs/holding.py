"""`HoldingCore`: an `EnvCore` that can hold its lanes' codes for several steps, in one compiled call."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lobgym.envs.core import EnvCore, Transition
from lobgym.envs.errors import ResetNeededError
from lobgym.envs.stepping import EPISODES, step_episodes
from lobgym.sim.desk import StepResult
from lobgym.sim.jit import njit_lean
from lobgym.sim.session import raise_lane_error

__all__ = ["Held", "HoldingCore", "hold_lanes"]

_NOTHING: Final = np.empty((0, 0), np.float32)  # in place of observations that nobody looks at
_episodes_of = EPISODES.at


class Held(NamedTuple):
    """What several steps of N lanes added up to."""

    observations: NDArray[np.float32]  # [N, D], each lane's at its own time
    rewards: NDArray[np.float64]  # [N] added in the order of the steps
    terminated: NDArray[np.bool_]  # [N]
    truncated: NDArray[np.bool_]  # [N]
    result: StepResult  # of the last step


class HoldingCore(EnvCore):
    """See `EnvCore`."""

    @property
    def can_hold(self) -> bool:
        """Whether nothing but compiled code takes part in a step: no picture is drawn, no reward is a function."""
        return self.watcher is None and not self.plan.functions

    def hold(self, codes: NDArray[np.int32], mask: NDArray[np.bool_], steps: int) -> Held:
        """`steps` steps of the lanes of `mask`, fewer where the episode ends; needs `can_hold`.

        Args:
            codes: [N, A], in range.
            mask: [N].
            steps: at least 1.

        Raises:
            ResetNeededError: one of the lanes has no running episode.
        """
        np.copyto(self._episodes.codes, codes)
        np.copyto(self._episodes.live, mask)
        last = Transition(self.lanes, 0)
        rewards = np.zeros(self.lanes, np.float64)
        ends = np.zeros((2, self.lanes), np.bool_)
        verdict = hold_lanes(
            self.desk.handle, self._handle, steps, _NOTHING, last.block, last.floats, last.flags, rewards, ends
        )
        if verdict < 0:
            raise_lane_error(self.desk.session.state)
            raise ResetNeededError(
                f"lane {-verdict - 1} has no running episode: call reset() before the first step, and after an end"
            )
        return Held(self.desk.observe(), rewards, ends[0], ends[1], last.result)


@njit_lean
def hold_lanes(
    h: Any, eh: Any, steps: int, nothing: NDArray[np.float32], block: NDArray[np.int64], floats: NDArray[np.float64],
    flags: NDArray[np.bool_], rewards: NDArray[np.float64], ends: NDArray[np.bool_],
) -> int:  # fmt: skip
    """`step_episodes` of the lanes of `Episodes.live`, up to `steps` times, each until its episode ends.

    Args:
        nothing: float32[0, 0]: no step is observed.
        block, floats, flags: see `step_episodes`; they hold the last step.
        rewards: [N], to which the rewards are added.
        ends: [2, N]: terminated and truncated lanes are set.

    Returns:
        0, or the negative number with which `step_episodes` refused.
    """
    e = _episodes_of(eh)
    lanes = e.running.shape[0]
    for _ in range(steps):
        verdict = step_episodes(h, eh, True, nothing, block, floats, flags)
        if verdict < 0:
            return int(verdict)
        going = 0
        for i in range(lanes):
            rewards[i] += floats[0, i]
            ends[0, i] |= flags[0, i]
            ends[1, i] |= flags[1, i]
            if e.live[i] and not e.running[i]:
                e.live[i] = False
            going += e.live[i]
        if going == 0:
            break
    return 0
