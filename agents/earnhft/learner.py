"""`Learner`: a network, its target and its optimiser; one call is one gradient step of double DQN.

    loss = MSE(Q(s, a), r + gamma * Qbar(s', argmax_a' Q(s', a'))) + weight * KL(softmax Q* || softmax Q)

Uncorrected, the target net's own maximum stands in place of its value of the net's choice. Nothing ends an episode
here: where the tape was cut, the market goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from lobgym.agents.earnhft.network import QNet
from lobgym.agents.earnhft.replay import Batch
from lobgym.agents.errors import TrainError

__all__ = ["Learner", "Losses"]

_BETAS: Final = (0.9, 0.999)


@dataclass(frozen=True)
class Losses:
    """What one step saw."""

    td: float  # mean squared temporal difference
    kl: float  # divergence from the teacher


class Learner:
    """See the module.

    Args:
        net: what learns; it stays the caller's.
        gamma: discount.
        tau: share of the net that the target takes over at each step.
        clip: norm that gradients are cut to.
        double: see the module.
    """

    def __init__(self, net: QNet, gamma: float, tau: float, clip: float, double: bool = True) -> None:
        self.net = net
        self._parameters: list[torch.Tensor] = list(net.parameters())
        shapes = net.w1.shape[0], net.b3.shape[0], net.b1.shape[0]
        self._target = QNet(shapes[0], net.targets, shapes[1], shapes[2])
        self._target.load_state_dict(net.state_dict())
        self._kept: list[torch.Tensor] = list(self._target.parameters())
        for parameter in self._kept:
            parameter.requires_grad_(False)
        self._adam = torch.optim.Adam(self._parameters, lr=1e-3, betas=_BETAS, foreach=True)
        self._gamma, self._tau, self._clip, self._double = gamma, tau, clip, double

    def step(self, batch: Batch, rate: float, weight: float, measured: bool = False) -> Losses | None:
        """One gradient step.

        Args:
            batch: float32 transitions.
            rate: Adam's learning rate.
            weight: of the teacher's term.
            measured: whether the losses are wanted, which costs a little.

        Raises:
            TrainError: a loss that is no longer finite (looked at where `measured`).
        """
        features, position = torch.from_numpy(batch.features), torch.from_numpy(batch.position)
        later, there = torch.from_numpy(batch.next_features), torch.from_numpy(batch.next_position)
        action = torch.from_numpy(batch.action).unsqueeze(1)
        with torch.no_grad():
            ahead = self._target(later, there)
            if self._double:
                best = ahead.gather(1, self.net(later, there).argmax(dim=1, keepdim=True)).squeeze(1)
            else:
                best = ahead.amax(dim=1)
            wanted = torch.from_numpy(batch.reward) + self._gamma * best
        values = self.net(features, position)
        td = functional.mse_loss(values.gather(1, action).squeeze(1), wanted)
        loss = td
        kl = torch.zeros(())
        if weight > 0.0:
            taught = torch.softmax(torch.from_numpy(batch.taught), dim=1)
            kl = functional.kl_div(torch.log_softmax(values, dim=1), taught, reduction="batchmean")
            loss = td + weight * kl
        for group in self._adam.param_groups:
            group["lr"] = rate
        self._adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._parameters, self._clip, foreach=True)
        self._adam.step()
        with torch.no_grad():
            torch._foreach_lerp_(self._kept, self._parameters, self._tau)
        if not measured:
            return None
        losses = Losses(float(td.detach()), float(kl.detach()))
        if not np.isfinite(losses.td + losses.kl):
            raise TrainError("the loss is no longer finite: lower the learning rate or the reward's scale")
        return losses

    # -- to go on from -------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, NDArray[np.float32]]:
        """Everything that the next step depends on, as arrays."""
        made = {}
        for name, parameter in self.net.named_parameters():
            state = self._adam.state.get(parameter, {})
            made[f"net_{name}"] = parameter.detach().numpy().copy()
            made[f"target_{name}"] = getattr(self._target, name).detach().numpy().copy()
            for moment in ("exp_avg", "exp_avg_sq", "step"):
                if moment in state:
                    made[f"{moment}_{name}"] = state[moment].numpy().copy()
        return made

    def restore(self, state: Mapping[str, NDArray[np.float32]]) -> None:
        """The inverse of `state`."""
        with torch.no_grad():
            for name, parameter in self.net.named_parameters():
                parameter.copy_(torch.from_numpy(state[f"net_{name}"]))
                getattr(self._target, name).copy_(torch.from_numpy(state[f"target_{name}"]))
                if f"step_{name}" in state:
                    self._adam.state[parameter] = {
                        moment: torch.from_numpy(state[f"{moment}_{name}"].copy())
                        for moment in ("step", "exp_avg", "exp_avg_sq")
                    }
