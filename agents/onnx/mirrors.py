"""Rules written by hand as ONNX graphs: the same rule, traced by torch instead of run by numpy.

An `ObservationRule` is written over `Ops`; here is the torch side of it. The graph has one input `observation`
float32[1, D] and one output `action` float32[1, A], as a trained policy's: bin centres of a Box, or one score for each
choice of a Discrete, 0 for the chosen one and less for the others. Only operators that a runtime accepts are used
(`lobgym.runtime.model_check`): a comparison is a cast of what is left of a difference, a step function a matrix
product. Everything is computed in float64, so codes are those of numpy, not nearly but always: the only rounding after
them is to float32 bin centres, which both sides do alike.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Final

import numpy as np
import onnx
import torch
from torch import nn

from lobgym.agents.baselines.arrays import Array, Ops, Steps
from lobgym.agents.baselines.rule import ObservationRule
from lobgym.agents.errors import ExportError
from lobgym.agents.onnx.export import export_module
from lobgym.agents.policy import Policy

__all__ = ["RuleModule", "export_rule"]


class _TorchOps:
    """`Ops` on float64 tensors, in operators that a runtime accepts."""

    def over(self, a: Array, b: Array) -> Array:
        return torch.relu(_tensor(a) - _tensor(b)).to(torch.bool).to(torch.float64)

    def pick(self, mask: Array, a: Array, b: Array) -> Array:
        # One of the two products is an exact 0, so the sum is the other one.
        return mask * a + (1.0 - mask) * b

    def steps(self, x: Array, steps: Steps) -> Array:
        if not len(steps.edges):
            return 0.0 * x + float(steps.values[0])
        above = self.over(x, torch.from_numpy(steps.edges[None, :].copy()))
        # Differences of whole numbers: exact. Other values would be rounded, numpy's look-up is not.
        if not np.array_equal(steps.values, np.rint(steps.values)):
            below = 1.0 - torch.cat([above[:, 1:], 0.0 * above[:, :1]], dim=1)
            chosen = torch.cat([1.0 - above[:, :1], above * below], dim=1)
            return chosen @ torch.from_numpy(steps.values[:, None].copy())
        rises = torch.from_numpy(np.diff(steps.values)[:, None].copy())
        return above @ rises + float(steps.values[0])

    def maximum(self, a: Array, b: Array) -> Array:
        return torch.maximum(_tensor(a), _tensor(b))

    def minimum(self, a: Array, b: Array) -> Array:
        return torch.minimum(_tensor(a), _tensor(b))

    def absolute(self, a: Array) -> Array:
        return torch.maximum(a, -a)

    def constant(self, like: Array, values: Sequence[float]) -> Array:
        return 0.0 * like[:, :1] + torch.tensor([list(values)], dtype=torch.float64)

    def join(self, columns: Sequence[Array]) -> Array:
        return torch.cat(list(columns), dim=1)


_TORCH: Final[Ops] = _TorchOps()


class RuleModule(nn.Module):
    """Observation float32[N, D] -> action float32[N, A], or scores float32[N, choices] of a target desk."""

    def __init__(self, rule: ObservationRule) -> None:
        super().__init__()
        self._rule = rule
        action = rule.spec.action
        self._continuous = action.continuous
        bins = action.bins if action.continuous else range(action.bins[0])
        self._bins = torch.tensor([list(bins)], dtype=torch.float64)

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        codes = self._rule.codes(observation.to(torch.float64), _TORCH)
        if self._continuous:
            raw = (codes + 0.5) / self._bins * 2.0 - 1.0
        else:
            raw = -_TORCH.absolute(codes - self._bins)
        out: torch.Tensor = raw.to(torch.float32)
        return out


def export_rule(policy: Policy) -> bytes:
    """The rule as a serialised ONNX graph.

    Raises:
        ExportError: a policy that is no function of the observation, or a graph that onnx refuses.
    """
    if not isinstance(policy, ObservationRule):
        raise ExportError(
            f"{policy.name} is not a function of the observation alone (it draws, counts steps or remembers), so it "
            "cannot leave as one ONNX graph"
        )
    with warnings.catch_warnings():
        # Tables and limits are meant to become constants of the graph.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        return _lifted(export_module(RuleModule(policy).eval(), policy.spec.layout.size))


def _lifted(data: bytes) -> bytes:
    """The graph with its constants as weights, equal ones once: a runtime counts nodes, and half of them are those."""
    model = onnx.load_model_from_string(data)
    graph = model.graph
    kept: list[onnx.NodeProto] = []
    names: dict[str, str] = {}
    known: dict[bytes, str] = {}
    for node in graph.node:
        if node.op_type != "Constant":
            kept.append(node)
            continue
        tensor = node.attribute[0].t
        tensor.name = ""
        content = tensor.SerializeToString(deterministic=True)
        if content not in known:
            known[content] = f"c{len(known)}"
            tensor.name = known[content]
            graph.initializer.append(tensor)
        names[node.output[0]] = known[content]
    for index, node in enumerate(kept):
        node.name = f"n{index}"
        node.input[:] = [names.get(name, name) for name in node.input]
    del graph.node[:]
    graph.node.extend(kept)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def _tensor(value: Array) -> torch.Tensor:
    return value if isinstance(value, torch.Tensor) else torch.tensor(value, dtype=torch.float64)
