"""EarnHFT as ONNX: an agent, a router, or the whole hierarchy as one graph.

The hierarchy's graph gives, for one observation, the router's values of the L choices and behind them the values of
the A actions of agent 0, 1, ...: float32[1, D] -> float32[1, L + M A]. Every agent is evaluated at each decision. Which
values count is left to integers: `lobgym.runtime.hierarchy` reads the row by the fields that travel with the graph.

All networks read the whole observation: where a network knows a feature not, its first weights are 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import nn

from lobgym.agents.earnhft.config import INVENTORY
from lobgym.agents.earnhft.network import QNet, QWeights
from lobgym.agents.errors import ExportError
from lobgym.agents.onnx.export import export_module
from lobgym.sim.desk_spec import DeskSpec

if TYPE_CHECKING:
    from lobgym.agents.earnhft.hierarchy import HierarchyPolicy

__all__ = ["HierarchyExport", "export_agent", "export_hierarchy", "export_router", "hierarchy_graph"]


class HasHierarchy(Protocol):
    """What a run of all three stages has (`lobgym.agents.earnhft.pipeline.EarnHftResult`)."""

    @property
    def hierarchy(self) -> HierarchyPolicy: ...


@dataclass(frozen=True)
class HierarchyExport:
    """A hierarchy's graph, and what a bundle's manifest says of it beside (`lobgym.runtime.manifest.Hierarchy`)."""

    onnx: bytes
    hierarchy: dict[str, Any]


def export_agent(weights: QWeights, spec: DeskSpec) -> bytes:
    """One agent at a target desk: float32[1, D] -> the values of the desk's targets float32[1, A].

    Raises:
        ExportError: a desk that lacks what the network reads, or has other targets than it.
    """
    if weights.actions != len(spec.targets):
        raise ExportError(f"expected an action for each of {len(spec.targets)} targets, got {weights.actions}")
    return export_module(_Single(weights, spec), spec.layout.size)


def export_router(weights: QWeights, spec: DeskSpec) -> bytes:
    """A router: float32[1, D] -> the values of its choices float32[1, L]. Raises ExportError as `export_agent`."""
    return export_module(_Single(weights, spec), spec.layout.size)


def export_hierarchy(result: HasHierarchy) -> HierarchyExport:
    """What a run of all stages came to. Raises ExportError as `hierarchy_graph`."""
    return hierarchy_graph(result.hierarchy)


def hierarchy_graph(policy: HierarchyPolicy) -> HierarchyExport:
    """A hierarchy as one graph, and how its row is read.

    Raises:
        ExportError: a desk that lacks what a network reads.
    """
    pool = policy.pool
    fields = {
        "macro_steps": int(policy.macro_steps),
        "positions": [float(position) for position in pool.positions],
        "rounding": "nearest" if pool.nearest else "down",
        "members": [[int(agent) for agent in row] for row in pool.members],
        "agents": [agent.digest for agent in pool.agents],
        "router": policy.router.digest,
    }
    return HierarchyExport(export_module(_Hierarchy(policy), policy.spec.layout.size), fields)


def _over_layout(weights: QWeights, spec: DeskSpec) -> QWeights:
    """The same network over all features of a layout, in its order; weights of those that it does not know are 0."""
    names = tuple(name for name in spec.layout.names if name != INVENTORY)
    missing = [column for column in (*weights.columns, INVENTORY) if column not in spec.layout.names]
    if missing:
        raise ExportError(f"the network reads {', '.join(missing)}, which the desk's layout lacks: give its own desk")
    first = np.zeros((len(names), weights.w1.shape[1]), np.float32)
    first[[names.index(column) for column in weights.columns]] = weights.w1
    return replace(weights, w1=first, columns=names)


class _Split(nn.Module):
    """Observations float32[N, D] -> features float32[N, D - 1] in the layout's order, positions float32[N]."""

    def __init__(self, spec: DeskSpec) -> None:
        super().__init__()
        if INVENTORY not in spec.layout.names:
            raise ExportError(f"the networks read {INVENTORY!r}, which the desk's layout lacks: give its own desk")
        self.place = spec.layout.names.index(INVENTORY)

    def forward(self, observation: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        place = self.place
        features = torch.cat([observation[:, :place], observation[:, place + 1 :]], dim=1)
        return features, observation[:, place : place + 1].squeeze(1)


class _Single(nn.Module):
    """One network over a desk's observations."""

    def __init__(self, weights: QWeights, spec: DeskSpec) -> None:
        super().__init__()
        self.split, self.net = _Split(spec), QNet.from_weights(_over_layout(weights, spec))
        self.eval().requires_grad_(False)

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = self.net(*self.split(observation))
        return made


class _Hierarchy(nn.Module):
    """Observations float32[N, D] -> float32[N, L + M A]; the M agents' layers are stacked, one product a layer."""

    w1: torch.Tensor
    b1: torch.Tensor
    embed: torch.Tensor
    w2: torch.Tensor
    b2: torch.Tensor
    w3: torch.Tensor
    b3: torch.Tensor

    def __init__(self, policy: HierarchyPolicy) -> None:
        super().__init__()
        agents = [_over_layout(agent, policy.spec) for agent in policy.pool.agents]
        self.split = _Split(policy.spec)
        self.router = QNet.from_weights(_over_layout(policy.router, policy.spec))
        self.first = QNet.from_weights(agents[0])  # all share its positions
        for name in ("w1", "embed", "w2", "w3"):
            self.register_buffer(name, _stack([getattr(agent, name) for agent in agents]))
        for name in ("b1", "b2", "b3"):
            self.register_buffer(name, _stack([getattr(agent, name)[None, :] for agent in agents]))
        self.eval().requires_grad_(False)

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        features, position = self.split(observation)
        first = torch.relu(features.unsqueeze(0) @ self.w1 + self.b1)
        joined = torch.cat([first, self.first.hat(position).unsqueeze(0) @ self.embed], dim=2)
        second = torch.relu(joined @ self.w2 + self.b2)
        values = (second @ self.w3 + self.b3).permute(1, 0, 2)
        return torch.cat([self.router(features, position), values.flatten(1)], dim=1)


def _stack(arrays: Sequence[np.ndarray[Any, np.dtype[np.float32]]]) -> torch.Tensor:
    return torch.from_numpy(np.stack(arrays))
