"""A trained policy as ONNX bytes: the deterministic decision, nothing of the machine that made it.

The graph has one input `observation` float32[1, D] and one output `action` float32[1, A]:

- PPO over a Box: the mean of the Gaussian, clipped to [-1, 1]; the caller decodes it with the action specification.
- SAC: the mean of the Gaussian through its tanh, in [-1, 1].
- PPO, DQN or QR-DQN over a Discrete: the logits, the Q-values, or the means of the quantiles; the decision is their
  arg-max, first index on ties.

A recurrent policy is refused: what it decides depends on all that it saw before, and a bundle's network is a function
of one observation.

The same weights give the same bytes in every process with the same versions of torch and onnx: nodes and values are
renamed by position, and doc strings, metadata and the scopes of the tracer are dropped.
"""

from __future__ import annotations

import copy
import io
import warnings
from typing import Any, Final

import gymnasium as gym
import onnx
import torch
from sb3_contrib import QRDQN, RecurrentPPO
from stable_baselines3 import DQN, PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import nn

from lobgym.agents.errors import ExportError

__all__ = ["INPUT_NAME", "OPSET", "OUTPUT_NAME", "decision_module", "export_module", "export_policy"]

INPUT_NAME: Final = "observation"
OUTPUT_NAME: Final = "action"
OPSET: Final = 17

_EXPORTER_DEPRECATIONS: Final = (
    "You are using the legacy TorchScript-based ONNX export",
    "The feature will be removed. Please remove usage of this function",
)


class _ActorMean(nn.Module):
    """Observation float32[N, D] -> clipped mean float32[N, A] (Box) or logits float32[N, n] (Discrete) of a PPO."""

    def __init__(self, policy: Any, clip: bool) -> None:
        super().__init__()
        self.features = copy.deepcopy(policy.pi_features_extractor)
        self.latent = copy.deepcopy(policy.mlp_extractor.policy_net)
        self.head = copy.deepcopy(policy.action_net)
        self.clip = clip

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(self.latent(self.features(observation)))
        return torch.clamp(out, -1.0, 1.0) if self.clip else out


class _QValues(nn.Module):
    """Observation float32[N, D] -> Q-values float32[N, n] of a DQN."""

    def __init__(self, policy: Any) -> None:
        super().__init__()
        self.features = copy.deepcopy(policy.q_net.features_extractor)
        self.head = copy.deepcopy(policy.q_net.q_net)

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(self.features(observation))
        return out


class _SquashedMean(nn.Module):
    """Observation float32[N, D] -> tanh of the mean float32[N, A] of a SAC."""

    def __init__(self, policy: Any) -> None:
        super().__init__()
        self.features = copy.deepcopy(policy.actor.features_extractor)
        self.latent = copy.deepcopy(policy.actor.latent_pi)
        self.head = copy.deepcopy(policy.actor.mu)

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.head(self.latent(self.features(observation))))


class _QuantileMeans(nn.Module):
    """Observation float32[N, D] -> means of the quantiles float32[N, n] of a QR-DQN.

    The mean is taken of the last layer's weights, once, instead of its outputs, each time: the same but for rounding.
    """

    def __init__(self, policy: Any) -> None:
        super().__init__()
        quantiles, net = policy.quantile_net.n_quantiles, policy.quantile_net.quantile_net
        self.features = copy.deepcopy(policy.quantile_net.features_extractor)
        self.latent = copy.deepcopy(net[:-1])
        last = net[-1]
        self.head = nn.Linear(last.in_features, last.out_features // quantiles)
        with torch.no_grad():
            self.head.weight.copy_(last.weight.view(quantiles, -1, last.in_features).mean(dim=0))
            self.head.bias.copy_(last.bias.view(quantiles, -1).mean(dim=0))

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(self.latent(self.features(observation)))
        return out


def decision_module(model: BaseAlgorithm) -> nn.Module:
    """The part of the network that decides, in evaluation mode; it shares no state with the model.

    Args:
        model: a PPO over Box[-1, 1] or Discrete, a SAC over Box[-1, 1], a DQN or a QR-DQN, each with an MLP policy.

    Raises:
        ExportError: another algorithm, or a space that no exported policy has.
    """
    space = model.action_space
    policy: Any = model.policy
    if isinstance(space, gym.spaces.Box) and isinstance(model, (PPO, SAC)):
        # SAC squashes by its own tanh; a PPO that does so would be squashed twice.
        squashed = isinstance(model, PPO) and policy.squash_output
        if not ((space.low == -1.0).all() and (space.high == 1.0).all()) or squashed:
            raise ExportError(f"expected an unsquashed Box within [-1, 1], got {space}: scale inside the environment")
        made: nn.Module = _SquashedMean(policy) if isinstance(model, SAC) else _ActorMean(policy, clip=True)
    elif isinstance(space, gym.spaces.Discrete) and isinstance(model, PPO):
        made = _ActorMean(policy, clip=False)
    elif isinstance(model, QRDQN):
        made = _QuantileMeans(policy)
    elif isinstance(model, DQN):
        made = _QValues(policy)
    elif isinstance(model, RecurrentPPO):
        raise ExportError(
            "a RecurrentPPO remembers what it saw, a bundle's network is a function of one observation: train ppo, and "
            "give it columns that look back"
        )
    else:
        raise ExportError(
            f"expected PPO (Box or Discrete), SAC, DQN or QR-DQN, got {type(model).__name__} over {space}: train one "
            "of those"
        )
    return made.cpu().eval()


def export_policy(model: BaseAlgorithm) -> bytes:
    """The model's deterministic decision as a serialised ONNX graph (see the module's docstring).

    Raises:
        ExportError: a model that cannot be exported, or a graph that onnx's checker refuses.
    """
    shape = model.observation_space.shape
    if shape is None or len(shape) != 1:
        raise ExportError(f"expected observations of shape (D,), got {shape}: flatten them in the environment")
    return export_module(decision_module(model), shape[0])


def export_module(module: nn.Module, inputs: int) -> bytes:
    """A function of one observation as a serialised ONNX graph: float32[1, inputs] -> float32[1, A].

    Args:
        module: in evaluation mode, on the CPU; traced once with zeros, so no branch of it may depend on its input.
        inputs: D, columns of an observation.

    Raises:
        ExportError: a module that cannot be traced, or a graph that onnx's checker refuses.
    """
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # The scripted exporter is deprecated, but the newer one embeds local paths in the file.
        for message in _EXPORTER_DEPRECATIONS:
            warnings.filterwarnings("ignore", message=message, category=DeprecationWarning)
        try:
            torch.onnx.export(
                module,
                (torch.zeros((1, inputs), dtype=torch.float32),),
                buffer,  # type: ignore[arg-type]  # this exporter takes a file, the stub does not know
                dynamo=False,
                opset_version=OPSET,
                input_names=[INPUT_NAME],
                output_names=[OUTPUT_NAME],
                do_constant_folding=True,
            )
        except RuntimeError as error:  # the exporter's own errors are of this type, too
            raise ExportError(f"torch cannot trace this module over {inputs} columns: {error}") from error
    graph_model = onnx.load_model_from_string(buffer.getvalue())
    _anonymise(graph_model)
    try:
        onnx.checker.check_model(graph_model, full_check=True)
    except onnx.checker.ValidationError as error:
        raise ExportError(f"onnx refuses the exported graph: {error}") from error
    return bytes(graph_model.SerializeToString(deterministic=True))


def _anonymise(model: onnx.ModelProto) -> None:
    """Renames nodes and values by position and drops everything that describes their origin, in place."""
    graph = model.graph
    graph.name = "policy"
    names = {INPUT_NAME: INPUT_NAME, OUTPUT_NAME: OUTPUT_NAME, "": ""}
    for index, tensor in enumerate(graph.initializer):
        names[tensor.name] = f"w{index}"
        tensor.name = f"w{index}"
        tensor.doc_string = ""
    for index, node in enumerate(graph.node):
        node.name = f"n{index}"
        node.doc_string = ""
        del node.metadata_props[:]
        for value in node.output:
            names.setdefault(value, f"v{index}")
        node.input[:] = [names[value] for value in node.input]
        node.output[:] = [names[value] for value in node.output]
    del graph.value_info[:]
    del graph.metadata_props[:]
    del model.metadata_props[:]
    for text in (graph, model, *graph.input, *graph.output):
        text.doc_string = ""
