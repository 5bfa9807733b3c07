"""`HierarchyPolicy`: the three stages put together. A router names a trend, the pool an agent, the agent an action.

Every `macro_steps` decisions since the reset the router looks at its columns and the position and makes a choice; the
choice and the position at that moment name one of the pool's agents, which then acts at every decision until the next
choice. That is what `lobgym/Router-v0` does with a router above and the pool below, as one policy of the lower desk.

A lane's decisions depend on its own observations alone: the networks add in one order whatever stands beside
(`lobgym.agents.earnhft.joint`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from lobgym.agents.columns import require_kind
from lobgym.agents.earnhft.config import INVENTORY
from lobgym.agents.earnhft.joint import JointQ
from lobgym.agents.errors import PolicyError
from lobgym.sim.desk_spec import DeskSpec

if TYPE_CHECKING:
    from lobgym.agents.earnhft.network import QWeights
    from lobgym.agents.earnhft.tournament import AgentPool

__all__ = ["NOBODY", "HierarchyPolicy"]

NOBODY: Final = -1  # in place of a choice and an agent before the first decision


class HierarchyPolicy:
    """A pool under a router, as a `Policy`.

    Args:
        pool: an agent for each position and label.
        router: its actions are the pool's labels.
        spec: a target desk whose layout has the agents' columns, the router's, and `inventory`.
        macro_steps: decisions from one choice to the next.

    Raises:
        PolicyError: a desk, a router or a pool that do not fit together.

    Attributes:
        last: (choice int64[N], agent int64[N]) of the last decision, agents by their number in `pool.agents`.
    """

    def __init__(
        self, pool: AgentPool, router: QWeights, spec: DeskSpec, macro_steps: int, name: str = "earnhft"
    ) -> None:
        require_kind(spec, "target", name)
        self.name = name
        self.pool = pool
        self.router = router
        self.spec = spec
        self.macro_steps = macro_steps
        _require_fit(pool, router, spec, macro_steps, name)
        columns = spec.layout.names
        self._inventory = columns.index(INVENTORY)
        self._agents, self._router = JointQ(pool.agents), JointQ([router])
        self._low = np.array([columns.index(column) for column in self._agents.columns], np.intp)
        self._high = np.array([columns.index(column) for column in self._router.columns], np.intp)
        self.reset(0)

    def reset(self, lanes: int, seed: int = 0) -> None:
        """Begin anew: a choice is due at the next decision of every lane."""
        self._lanes = lanes
        self._steps = 0
        self.last = (np.full(lanes, NOBODY, np.int64), np.full(lanes, NOBODY, np.int64))

    def act(self, observations: NDArray[np.float32]) -> NDArray[Any]:
        """Observations float32[N, D] -> choices of a target int64[N]. See `Policy.act`.

        Raises:
            PolicyError: another number of lanes than that of the reset.
        """
        if len(observations) != self._lanes:
            raise PolicyError(f"{self.name} was reset for {self._lanes} lanes, got {len(observations)}: reset it")
        held = np.ascontiguousarray(observations[:, self._inventory])
        if self._steps % self.macro_steps == 0:
            choice = self._router.act(np.zeros(len(held), np.int64), observations[:, self._high], held)
            self.last = (choice, self.pool.agent(held, choice))
        self._steps += 1
        return self._agents.act(self.last[1], observations[:, self._low], held)


def _require_fit(pool: AgentPool, router: QWeights, spec: DeskSpec, macro_steps: int, name: str) -> None:
    if macro_steps < 1:
        raise PolicyError(f"{name} needs macro_steps >= 1, got {macro_steps}")
    if router.actions != pool.labels:
        raise PolicyError(f"{name}'s router makes {router.actions} choices, the pool has {pool.labels} labels")
    wanted = dict.fromkeys((*pool.agents[0].columns, *router.columns, INVENTORY))
    missing = [column for column in wanted if column not in spec.layout.names]
    if missing:
        raise PolicyError(f"{name} reads the columns {', '.join(missing)}, which the desk's layout lacks: add them")
    if pool.agents[0].actions != len(spec.targets) or pool.agents[0].targets != spec.targets:
        raise PolicyError(
            f"{name}'s agents choose among the targets {pool.agents[0].targets}, the desk has {spec.targets}: use the "
            "desk that they were trained at"
        )
