"""A trained policy as ONNX bytes: the deterministic decision, nothing of the machine that made it.

The graph has one input `observation` float32[1, D] and one output `action` float32[1, A]:

- PPO over a Box: the mean of the Gaussian, clipped to [-1, 1]; the caller decodes it with the action specification.
- SAC: the mean of the Gaussian through its tanh, in [-1, 1].
- PPO, DQN or QR-DQN over a Discrete: the logits, the Q-values, or the means of the quantiles; the decision is their
  arg-max, first index on ties.

- Recurrent PPO: what PPO says, of what it saw before, too. The graph has a second input `state` float32[1, S] and a
  second output `next_state` float32[1, S]: the hidden rows of the LSTM's layers, one after another, and behind them
  their cells. It is zero at the beginning of an episode; who holds it from decision to decision is the caller.

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

__all__ = [
    "INPUT_NAME",
    "NEXT_STATE_NAME",
    "OPSET",
    "OUTPUT_NAME",
    "STATE_NAME",
    "decision_module",
    "export_module",
    "export_policy",
    "state_size",
]

INPUT_NAME: Final = "observation"
OUTPUT_NAME: Final = "action"
STATE_NAME: Final = "state"
NEXT_STATE_NAME: Final = "next_state"
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


class _Recurrent(nn.Module):
    """Observation float32[N, D], state float32[N, S] -> clipped mean or logits of a RecurrentPPO, next state."""

    def __init__(self, policy: Any, clip: bool) -> None:
        super().__init__()
        self.features = copy.deepcopy(policy.pi_features_extractor)
        self.lstm = copy.deepcopy(policy.lstm_actor)
        self.latent = copy.deepcopy(policy.mlp_extractor.policy_net)
        self.head = copy.deepcopy(policy.action_net)
        self.clip = clip

    def forward(self, observation: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        layers = self.lstm.num_layers
        rows = state.reshape(-1, 2 * layers, self.lstm.hidden_size).transpose(0, 1)
        given = rows[:layers].contiguous(), rows[layers:].contiguous()
        seen, after = self.lstm(self.features(observation).unsqueeze(0), given)
        out: torch.Tensor = self.head(self.latent(seen.squeeze(0)))
        left = torch.cat(after).transpose(0, 1).flatten(1)
        return torch.clamp(out, -1.0, 1.0) if self.clip else out, left


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
        model: a PPO over Box[-1, 1] or Discrete, a SAC over Box[-1, 1], a DQN or a QR-DQN, each with an MLP policy;
            or a RecurrentPPO with an LSTM before its MLP, whose module takes and gives a state, too (`state_size`).

    Raises:
        ExportError: another algorithm, or a space that no exported policy has.
    """
    space = model.action_space
    policy: Any = model.policy
    box, discrete = isinstance(space, gym.spaces.Box), isinstance(space, gym.spaces.Discrete)
    if isinstance(space, gym.spaces.Box) and isinstance(model, (PPO, RecurrentPPO, SAC)):
        # SAC squashes by its own tanh; a PPO that does so would be squashed twice.
        squashed = not isinstance(model, SAC) and policy.squash_output
        if not ((space.low == -1.0).all() and (space.high == 1.0).all()) or squashed:
            raise ExportError(f"expected an unsquashed Box within [-1, 1], got {space}: scale inside the environment")
    if isinstance(model, SAC) and box:
        made: nn.Module = _SquashedMean(policy)
    elif isinstance(model, PPO) and (box or discrete):
        made = _ActorMean(policy, clip=box)
    elif isinstance(model, RecurrentPPO) and (box or discrete):
        made = _Recurrent(policy, clip=box)
    elif isinstance(model, QRDQN):
        made = _QuantileMeans(policy)
    elif isinstance(model, DQN):
        made = _QValues(policy)
    else:
        raise ExportError(
            f"expected PPO or RecurrentPPO (Box or Discrete), SAC, DQN or QR-DQN, got {type(model).__name__} over "
            f"{space}: train one of those"
        )
    return made.cpu().eval()


def state_size(model: BaseAlgorithm) -> int:
    """S, the width of what a model remembers between two decisions; 0 for a function of one observation."""
    if not isinstance(model, RecurrentPPO):
        return 0
    lstm: Any = model.policy.lstm_actor
    return 2 * int(lstm.num_layers * lstm.hidden_size)


def export_policy(model: BaseAlgorithm) -> bytes:
    """The model's deterministic decision as a serialised ONNX graph (see the module's docstring).

    Raises:
        ExportError: a model that cannot be exported, or a graph that onnx's checker refuses.
    """
    shape = model.observation_space.shape
    if shape is None or len(shape) != 1:
        raise ExportError(f"expected observations of shape (D,), got {shape}: flatten them in the environment")
    return export_module(decision_module(model), shape[0], state_size(model))


def export_module(module: nn.Module, inputs: int, state: int = 0) -> bytes:
    """A function of one observation as a serialised ONNX graph: float32[1, inputs] -> float32[1, A].

    Args:
        module: in evaluation mode, on the CPU; traced once with zeros, so no branch of it may depend on its input.
        inputs: D, columns of an observation.
        state: S, where the module takes a state float32[1, S] as well and gives the next one behind its output.

    Raises:
        ExportError: a module that cannot be traced, or a graph that onnx's checker refuses.
    """
    buffer = io.BytesIO()
    widths = (inputs, state) if state else (inputs,)
    with warnings.catch_warnings():
        # The scripted exporter is deprecated, but the newer one embeds local paths in the file.
        for message in _EXPORTER_DEPRECATIONS:
            warnings.filterwarnings("ignore", message=message, category=DeprecationWarning)
        # torch's LSTM compares shapes, which are fixed here; the batch is one decision and the state an input.
        warnings.filterwarnings("ignore", message="Converting a tensor to", module=r"torch\.nn\.modules\.rnn")
        warnings.filterwarnings("ignore", message="Exporting a model to ONNX with a batch_size other than 1")
        try:
            torch.onnx.export(
                module,
                tuple(torch.zeros((1, width), dtype=torch.float32) for width in widths),
                buffer,  # type: ignore[arg-type]  # this exporter takes a file, the stub does not know
                dynamo=False,
                opset_version=OPSET,
                input_names=[INPUT_NAME, STATE_NAME][: len(widths)],
                output_names=[OUTPUT_NAME, NEXT_STATE_NAME][: len(widths)],
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
    names = {name: name for name in (INPUT_NAME, OUTPUT_NAME, STATE_NAME, NEXT_STATE_NAME, "")}
    for index, tensor in enumerate(graph.initializer):
        names[tensor.name] = f"w{index}"
        tensor.name = f"w{index}"
        tensor.doc_string = ""
    for index, node in enumerate(graph.node):
        node.name = f"n{index}"
        node.doc_string = ""
        del node.metadata_props[:]
        for place, value in enumerate(node.output):
            names.setdefault(value, f"v{index}_{place}" if place else f"v{index}")
        node.input[:] = [names[value] for value in node.input]
        node.output[:] = [names[value] for value in node.output]
    del graph.value_info[:]
    del graph.metadata_props[:]
    del model.metadata_props[:]
    for text in (graph, model, *graph.input, *graph.output):
        text.doc_string = ""
