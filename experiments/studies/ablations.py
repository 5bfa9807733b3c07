"""A hierarchy with parts taken away: what the router adds over chance, and the pool over its best agent.

| written as        | is                                                                                         |
|-------------------|--------------------------------------------------------------------------------------------|
| `RUN#single`      | the one agent that earned most on validation, of all checkpoints, from whatever position    |
| `RUN#random`      | the pool under a router that chooses by chance                                             |
| `RUN#label-2`     | the pool under a router that always makes choice 2                                         |
| `RUN#agent-3`     | every place of the pool held by its agent 3: the router chooses, and nothing changes       |

`single` is chosen on the validation part, as the pool is: picked on the test part it would be the best of many by
chance. All are policies of the hierarchy's own desk.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from lobgym.agents.earnhft.hierarchy import HierarchyPolicy
from lobgym.agents.earnhft.network import QWeights
from lobgym.agents.earnhft.tournament import AgentPool
from lobgym.experiments.errors import EvaluationError
from lobgym.sim.rng import below

if TYPE_CHECKING:
    from lobgym.agents.earnhft.pipeline import EarnHftResult

__all__ = ["RandomRouter", "ablated", "ablation_names", "best_single", "constant_router", "uniform_pool"]

ROUTER_STREAM: Final = 0x726F7574  # "rout": keeps these draws apart from every other use of a lane's seed
_PLACES_MIN: Final = 2  # labels that a pool needs


class RandomRouter(HierarchyPolicy):
    """The hierarchy with every choice equally likely, drawn by (lane seed, choice number)."""

    def reset(self, lanes: int, seed: int = 0) -> None:
        """See `Policy.reset`."""
        super().reset(lanes, seed)
        self._seed = seed

    def act(self, observations: NDArray[np.float32]) -> NDArray[Any]:
        """See `HierarchyPolicy.act`."""
        held = np.ascontiguousarray(observations[:, self._inventory])
        if self._steps % self.macro_steps == 0:
            number, labels = self._steps // self.macro_steps, self.pool.labels
            drawn = [int(below(self._seed + lane, ROUTER_STREAM, number, labels)) for lane in range(len(held))]
            choice = np.array(drawn, np.int64)
            self.last = (choice, self.pool.agent(held, choice))
        self._steps += 1
        return self._agents.act(self.last[1], observations[:, self._low], held)


def constant_router(router: QWeights, label: int) -> QWeights:
    """A router of the same shape that makes one choice, whatever it sees.

    Raises:
        EvaluationError: a choice that the router does not have.
    """
    if not 0 <= label < router.actions:
        raise EvaluationError(f"expected a label from 0 to {router.actions - 1}, got {label}")
    zeros = {name: np.zeros_like(getattr(router, name)) for name in ("w1", "b1", "embed", "w2", "b2", "w3")}
    chosen = np.zeros_like(router.b3)
    chosen[label] = 1.0
    return QWeights(**zeros, b3=chosen, targets=router.targets, columns=router.columns)


def uniform_pool(agent: QWeights, positions: tuple[float, ...], labels: int) -> AgentPool:
    """A pool in which one agent holds every place."""
    return AgentPool(positions, (agent,), np.zeros((len(positions), max(labels, _PLACES_MIN)), np.int64))


def best_single(folder: str | Path) -> QWeights:
    """Of all checkpoints of a run the one with the largest sum of what it earned on the validation segments.

    Raises:
        EvaluationError: the run's folder lacks its checkpoints or their scores.
    """
    root = Path(folder)
    try:
        with np.load(root / "scores.npz") as scores:
            totals = scores["pnl"].sum(axis=(1, 2))
        digest = _digests(root)[int(np.argmax(totals))]
    except (OSError, KeyError, IndexError) as error:
        raise EvaluationError(f"{root} lacks the scores of its checkpoints ({error}): train it again") from error
    for path in sorted((root / "low").glob("*/agent_*.npz")):
        agent = QWeights.load(path)
        if agent.digest == digest:
            return agent
    raise EvaluationError(f"{root} lacks the checkpoint {digest[:12]}, the best on validation: train it again")


def ablation_names(result: EarnHftResult, every_agent: bool = False) -> list[str]:
    """What can be taken away from a run's hierarchy, by name."""
    names = ["single", "random", *(f"label-{label}" for label in range(result.pool.labels))]
    return names + [f"agent-{agent}" for agent in range(len(result.pool.agents))] if every_agent else names


def ablated(result: EarnHftResult, name: str) -> HierarchyPolicy:
    """A hierarchy with something taken away.

    Raises:
        EvaluationError: an unknown name; see `best_single`.
    """
    pool, router, steps = result.pool, result.router, result.config.macro_steps
    part, _, number = name.partition("-")
    if name == "random":
        return RandomRouter(pool, router, result.spec, steps, name)
    if name == "single":
        agent = best_single(result.folder)
        return HierarchyPolicy(uniform_pool(agent, pool.positions, pool.labels), router, result.spec, steps, name)
    if part == "label" and number.isdecimal():
        return HierarchyPolicy(pool, constant_router(router, int(number)), result.spec, steps, name)
    if part == "agent" and number.isdecimal() and int(number) < len(pool.agents):
        agent = pool.agents[int(number)]
        return HierarchyPolicy(uniform_pool(agent, pool.positions, pool.labels), router, result.spec, steps, name)
    raise EvaluationError(f"unknown ablation {name!r}: expected one of {', '.join(ablation_names(result, True))}")


def _digests(root: Path) -> list[str]:
    """Digests of all checkpoints in the order of their scores."""
    import msgspec

    record = msgspec.json.decode((root / "run.json").read_bytes(), type=dict[str, Any])
    found: list[str] = record["agents"]
    return found
