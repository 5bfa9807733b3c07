"""Does an exported hierarchy decide what the original decides: the same choice, the same agent, the same action?

Compared is the graph, read as `lobgym.runtime.hierarchy` reads it, with two originals: every value with torch's
networks, and every decision with `HierarchyPolicy`, which adds in an order of its own. Decisions are compared along
whole episodes, each with its own clock, and on made-up extremes, at each of which a choice is due.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lobgym.agents.earnhft.config import INVENTORY
from lobgym.agents.earnhft.export import HierarchyExport
from lobgym.agents.earnhft.hierarchy import NOBODY, HierarchyPolicy
from lobgym.agents.earnhft.network import QNet, QPolicy, QWeights
from lobgym.agents.errors import ExportError, PolicyError
from lobgym.agents.onnx.parity import (
    OBSERVATIONS_MIN,
    OnnxPolicy,
    ParityReport,
    choice_margins,
    compare_decisions,
    extreme_observations,
    find_problems,
    finite_rows,
)
from lobgym.agents.policy import Policy
from lobgym.sim.desk import Desk
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.errors import TapeExhaustedError
from lobgym.sim.market import Market

__all__ = ["HierarchyParity", "OnnxHierarchy", "check_agent", "check_hierarchy", "collect_episodes"]


class OnnxHierarchy:
    """An exported hierarchy as a `Policy`, one observation at a time as in service.

    Args:
        export: graph and fields.
        spec: the desk that it was exported for.

    Attributes:
        last: (choice int64[N], agent int64[N]) of the last decision.
    """

    def __init__(self, export: HierarchyExport, spec: DeskSpec, name: str = "onnx-hierarchy") -> None:
        fields = export.hierarchy
        self.name = name
        self.network = OnnxPolicy(export.onnx, discrete=True, name=name)
        self.members = np.array(fields["members"], np.int64)
        self.agents = len(fields["agents"])
        self._macro_steps = int(fields["macro_steps"])
        self._positions = np.array(fields["positions"], np.float64)
        self._nearest = fields["rounding"] == "nearest"
        self._inventory = spec.layout.names.index(INVENTORY)
        self.reset(0)

    def reset(self, lanes: int, seed: int = 0) -> None:
        """Begin anew: a choice is due at the next decision of every lane."""
        self._steps = 0
        self.last = (np.full(lanes, NOBODY, np.int64), np.full(lanes, NOBODY, np.int64))

    def act(self, observations: NDArray[np.float32]) -> NDArray[Any]:
        """See `Policy.act`."""
        return self.read(self.network.raw(observations), observations)[0]

    def read(
        self, raw: NDArray[np.float32], observations: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The next decision of all lanes from their rows: actions int64[N], and margins float64[N]."""
        router, values = self.parts(raw)
        margins = np.full(len(raw), np.inf)
        if self._steps % self._macro_steps == 0:
            choice = router.argmax(axis=1)
            self.last = (choice, self.members[self._rows(observations[:, self._inventory]), choice])
            margins = choice_margins(router)
        self._steps += 1
        own = values[np.arange(len(raw)), self.last[1]]
        return own.argmax(axis=1), np.minimum(margins, choice_margins(own))

    def parts(self, raw: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The router's values float32[N, L] and the agents' float32[N, M, A]."""
        choices = self.members.shape[1]
        return raw[:, :choices], raw[:, choices:].reshape(len(raw), self.agents, -1)

    def _rows(self, held: NDArray[np.float32]) -> NDArray[np.int64]:
        if self._nearest:
            return np.asarray(np.abs(held.astype(np.float64)[:, None] - self._positions[None, :]).argmin(axis=1))
        below = np.searchsorted(self._positions.astype(np.float32), held, side="right") - 1
        return np.asarray(np.maximum(below, 0))


@dataclass(frozen=True)
class HierarchyParity(ParityReport):
    """A `ParityReport` of decisions (choice, agent, action), and of what stands behind them.

    Attributes:
        distinct_values: different rows of values. Those must differ, or nothing was compared; the decisions need not: a
            hierarchy that never trades is exported like any other.
        distinct_decisions, choices, agents: how many different ones there were in `observations`.
        silent_flips: best actions that differ of agents which did not act there: told, but not a failure.
    """

    distinct_values: int = 0
    distinct_decisions: int = 0
    choices: int = 0
    agents: int = 0
    silent_flips: int = 0


def collect_episodes(
    policy: Policy, spec: DeskSpec, market: Market, low_ns: int, high_ns: int, rows: int = OBSERVATIONS_MIN,
    lanes: int = 64, seed: int = 0,
) -> NDArray[np.float32]:  # fmt: skip
    """What a policy meets while it acts itself, in episodes side by side: float32[T, lanes, D], T * lanes >= rows.

    The lanes begin evenly spread between `low_ns` and the last moment from which an episode ends by `high_ns`.

    Raises:
        TapeExhaustedError: the span is shorter than an episode.
    """
    steps = -(-rows // lanes)
    room = high_ns - low_ns - (steps + 1) * spec.interval_ns
    if room < 0:
        raise TapeExhaustedError(
            f"{steps} decisions of {spec.interval_ns / 1e9:g} s do not fit between {low_ns} and {high_ns} ns: "
            "give a longer span or more lanes"
        )
    desk = Desk(spec, market, lanes)
    desk.reset(low_ns + np.arange(lanes, dtype=np.int64) * room // lanes, seed)
    policy.reset(lanes, seed)
    observations = desk.observe()
    met = np.empty((steps, lanes, spec.layout.size), np.float32)
    for step in range(steps):
        met[step] = observations
        observations, _ = desk.step(desk.action.decode(policy.act(observations)))
    return met


def check_agent(
    weights: QWeights,
    spec: DeskSpec,
    onnx_bytes: bytes,
    observations: NDArray[np.float32],
    *,
    observations_min: int = OBSERVATIONS_MIN,
) -> ParityReport:
    """Compare an agent with its export: torch's values, and the decisions of `QPolicy`.

    Args:
        observations: float32[N, D] that the agent met; N >= `observations_min`.

    Raises:
        PolicyError: observations of another shape than the graph's, or not finite.
    """
    met = finite_rows(observations)
    made_up = extreme_observations(met.shape[1])
    rows = np.concatenate([met, made_up])
    actions = QPolicy(weights, spec).act(rows)
    values = _torch_values([weights], spec, rows)
    return compare_decisions(onnx_bytes, rows, len(made_up), values, actions, spec.action, observations_min)


def check_hierarchy(
    policy: HierarchyPolicy,
    export: HierarchyExport,
    episodes: NDArray[np.float32],
    *,
    observations_min: int = OBSERVATIONS_MIN,
) -> HierarchyParity:
    """Compare a hierarchy with its export.

    Args:
        policy: the original.
        export: of `hierarchy_graph(policy)`.
        episodes: float32[T, N, D], N episodes of T decisions that the policy met; T * N >= `observations_min`.

    Raises:
        PolicyError: observations of another shape than the graph's, or not finite.
    """
    if episodes.ndim != 3 or not np.isfinite(episodes).all():
        raise PolicyError(f"expected finite observations of shape (T, N, D), got shape {episodes.shape}")
    made_up = extreme_observations(episodes.shape[2])
    served = OnnxHierarchy(export, policy.spec, policy.name)
    walked = [_compare(policy, served, walk) for walk in (episodes, made_up[None])]
    flips = np.concatenate([one.flips for one in walked])
    acted = np.concatenate([one.decisions for one in walked])
    margins = np.concatenate([one.margins for one in walked])
    difference = max(one.difference for one in walked)
    relative = max(one.difference / one.scale for one in walked)
    met, values = episodes.shape[0] * episodes.shape[1], len(set().union(*(one.values for one in walked)))
    return HierarchyParity(
        observations=len(flips),
        extremes=len(made_up),
        flips=int(flips.sum()),
        first_flip=int(np.argmax(flips)) if flips.any() else -1,
        raw_difference_max=difference,
        margin_min=float(margins.min()),
        margin_p01=float(np.sort(margins)[len(margins) // 100]),
        distinct_actions=len(np.unique(acted[:, 2])),
        problems=find_problems(met, observations_min, int(flips.sum()), relative, values),
        distinct_values=values,
        distinct_decisions=len(np.unique(acted, axis=0)),
        choices=len(np.unique(acted[:, 0])),
        agents=len(np.unique(acted[:, 1])),
        silent_flips=sum(one.silent_flips for one in walked),
    )


@dataclass
class _Walk:
    """One batch of episodes compared: [T * N] rows, T steps of N lanes."""

    flips: NDArray[np.bool_]
    decisions: NDArray[np.int64]  # [T * N, 3]: choice, agent, action of the original
    margins: NDArray[np.float64]
    difference: float
    scale: float
    silent_flips: int
    values: set[bytes]  # different rows of the graph's values


def _compare(policy: HierarchyPolicy, served: OnnxHierarchy, episodes: NDArray[np.float32]) -> _Walk:
    rows = episodes.reshape(-1, episodes.shape[2])
    raw, expected = served.network.raw(rows), _torch_values([policy.router, *policy.pool.agents], policy.spec, rows)
    if raw.shape != expected.shape:
        raise ExportError(f"expected values of shape {expected.shape}, got {raw.shape}: another model's export?")
    policy.reset(episodes.shape[1])
    served.reset(episodes.shape[1])
    originals, decisions, margins = [], [], []
    for seen, values in zip(episodes, raw.reshape(*episodes.shape[:2], -1), strict=True):
        action = policy.act(seen)
        originals.append(np.stack([*policy.last, action], axis=1))
        action, margin = served.read(values, seen)
        decisions.append(np.stack([*served.last, action], axis=1))
        margins.append(margin)
    original, made = np.concatenate(originals), np.concatenate(decisions)
    flips = (original != made).any(axis=1)
    best, torch_best = (served.parts(values)[1].argmax(axis=2) for values in (raw, expected))
    best[np.arange(len(rows)), made[:, 1]] = torch_best[np.arange(len(rows)), made[:, 1]]
    return _Walk(
        flips=flips,
        decisions=original,
        margins=np.concatenate(margins),
        difference=float(np.abs(raw - expected).max()),
        scale=max(1.0, float(np.abs(expected).max())),
        silent_flips=int((best != torch_best).sum()),
        values={row.tobytes() for row in raw},
    )


def _torch_values(
    networks: Sequence[QWeights], spec: DeskSpec, rows: NDArray[np.float32]
) -> NDArray[np.float32]:  # fmt: skip
    """float32[N, sum of their actions]: every network on its own columns, in torch."""
    names = spec.layout.names
    held = torch.from_numpy(np.ascontiguousarray(rows[:, names.index(INVENTORY)]))

    def values(weights: QWeights) -> NDArray[np.float32]:
        features = np.ascontiguousarray(rows[:, [names.index(column) for column in weights.columns]])
        with torch.no_grad():
            made: NDArray[np.float32] = QNet.from_weights(weights)(torch.from_numpy(features), held).numpy()
        return made

    return np.concatenate([values(one) for one in networks], axis=1)
