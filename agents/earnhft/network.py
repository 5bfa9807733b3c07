"""The value network of both levels: features and position in, a value for each action out.

    h1 = relu(x w1 + b1);  e = hat(p) embed;  h2 = relu([h1, e] w2 + b2);  q = h2 w3 + b3

The published network embeds the number of the position. Here a position between two targets, which a partial fill
leaves, is embedded between them: hat_j(p) is 1 on target j, falls linearly to 0 on its neighbours, and the outermost
stay 1 beyond. On a target the two are the same. It is made of differences, products and relu, so it exports as such.

`QWeights` is the network as arrays, `q_values` its numpy original, `QNet` the torch module that learns, and `QPolicy`
the policy that acts by it.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lobgym.agents.columns import require_kind
from lobgym.agents.earnhft.config import INVENTORY, check_targets
from lobgym.agents.errors import PolicyError, RunFolderError
from lobgym.sim.desk_spec import DeskSpec

__all__ = ["QNet", "QPolicy", "QWeights", "greedy", "hat", "q_values"]

_ARRAYS: Final = ("w1", "b1", "embed", "w2", "b2", "w3", "b3")
_BYTES_MAX: Final = 1 << 26  # of a file that is loaded
_Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class QWeights:
    """A network as float32 arrays, D features, H hidden units, P positions embedded in E = P numbers, A actions.

    Attributes:
        w1: [D, H]; b1: [H]; embed: [P, E]; w2: [H + E, H]; b2: [H]; w3: [H, A]; b3: [A].
        targets: the P positions as fractions of the position limit, ascending.
        columns: the D features, by their names in an observation layout; `inventory` is not among them.

    Raises:
        PolicyError: arrays that do not fit together, or that are not finite.
    """

    w1: _Array
    b1: _Array
    embed: _Array
    w2: _Array
    b2: _Array
    w3: _Array
    b3: _Array
    targets: tuple[float, ...]
    columns: tuple[str, ...]

    def __post_init__(self) -> None:
        features, hidden = len(self.columns), self.b1.size
        positions, actions = len(self.targets), self.b3.size
        wanted = {
            "w1": (features, hidden), "b1": (hidden,), "embed": (positions, positions),
            "w2": (hidden + positions, hidden), "b2": (hidden,), "w3": (hidden, actions), "b3": (actions,),
        }  # fmt: skip
        for name, shape in wanted.items():
            array = getattr(self, name)
            if array.dtype != np.float32 or array.shape != shape:
                raise PolicyError(f"{name} must be float32 {list(shape)}, got {array.dtype} {list(array.shape)}")
            if not np.isfinite(array).all():
                raise PolicyError(f"{name} holds values that are not finite: the training diverged")
            own = np.ascontiguousarray(array).copy()
            own.setflags(write=False)
            object.__setattr__(self, name, own)
        check_targets(self.targets)
        if INVENTORY in self.columns or len(set(self.columns)) != features:
            raise PolicyError(f"columns must be different and without {INVENTORY!r}, got {self.columns}")

    @property
    def actions(self) -> int:
        """Number of actions, A."""
        return self.b3.size

    @property
    def digest(self) -> str:
        """SHA-256 over columns, targets and the arrays."""
        digest = hashlib.sha256(f"{self.columns}|{self.targets}|".encode())
        for name in _ARRAYS:
            array = getattr(self, name)
            digest.update(f"{name}:{array.shape};".encode())
            digest.update(array.tobytes())
        return digest.hexdigest()

    def save(self, path: str | Path) -> Path:
        """Write an .npz, aside and renamed; equal weights give equal bytes."""
        path = Path(path)
        aside = path.with_name(path.name + ".part")
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        with aside.open("wb") as file:
            np.savez(file, targets=np.array(self.targets, np.float64), columns=np.array(self.columns), **arrays)
        os.replace(aside, path)
        return path

    @classmethod
    def load(cls, path: str | Path) -> QWeights:
        """The inverse of `save`; no code from the file is run.

        Raises:
            RunFolderError: no such file, or not one of these. PolicyError: see the class.
        """
        path = Path(path)
        try:
            if path.stat().st_size > _BYTES_MAX:
                raise RunFolderError(f"{path} has {path.stat().st_size} bytes, expected at most {_BYTES_MAX}")
            with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                if set(file.files) != {*_ARRAYS, "targets", "columns"}:
                    raise RunFolderError(f"{path} holds {sorted(file.files)}, not the arrays of a network")
                arrays = {name: file[name] for name in _ARRAYS}
                targets = tuple(float(x) for x in file["targets"])
                columns = tuple(str(x) for x in file["columns"])
        except (OSError, ValueError, EOFError, BadZipFile) as error:
            raise RunFolderError(f"{path} is not a saved network: {error}") from error
        return cls(**arrays, targets=targets, columns=columns)


# -- numpy -------------------------------------------------------------------------------------------------------------


def hat(targets: tuple[float, ...], position: NDArray[Any]) -> _Array:
    """float32[N, P]: how much of each target a position [N] is; see the module."""
    knots = np.array(targets, np.float32)
    ramps = np.clip((position.astype(np.float32)[:, None] - knots[:-1]) / (knots[1:] - knots[:-1]), 0.0, 1.0)
    made = np.empty((len(position), len(knots)), np.float32)
    made[:, 0] = 1.0 - ramps[:, 0]
    made[:, 1:-1] = ramps[:, :-1] - ramps[:, 1:]
    made[:, -1] = ramps[:, -1]
    return made


def q_values(weights: QWeights, features: NDArray[np.float32], position: NDArray[Any]) -> _Array:
    """Values float32[N, A] of features float32[N, D] at positions [N], fractions of the position limit."""
    first = np.maximum(features @ weights.w1 + weights.b1, 0.0)
    joined = np.concatenate([first, hat(weights.targets, position) @ weights.embed], axis=1)
    second = np.maximum(joined @ weights.w2 + weights.b2, 0.0)
    made: _Array = second @ weights.w3 + weights.b3
    return made


def greedy(values: NDArray[Any]) -> NDArray[np.int64]:
    """int64[N]: the best of the actions [N, A], the first of equals."""
    best: NDArray[np.int64] = values.argmax(axis=1).astype(np.int64)
    return best


# -- torch -------------------------------------------------------------------------------------------------------------


class QNet(nn.Module):
    """`q_values` as a module. Features float32[N, D], positions float32[N] -> float32[N, A]."""

    w1: torch.Tensor
    b1: torch.Tensor
    embed: torch.Tensor
    w2: torch.Tensor
    b2: torch.Tensor
    w3: torch.Tensor
    b3: torch.Tensor
    knots: torch.Tensor
    gaps: torch.Tensor

    def __init__(
        self, features: int, targets: tuple[float, ...], actions: int, hidden: int, seed: int | None = None
    ) -> None:  # fmt: skip
        """Weights as torch's linear layers begin, drawn from a generator of its own; `seed` None leaves zeros."""
        super().__init__()
        check_targets(targets)
        self.targets = tuple(targets)
        size = len(targets)
        shapes = {
            "w1": (features, hidden), "b1": (hidden,), "embed": (size, size), "w2": (hidden + size, hidden),
            "b2": (hidden,), "w3": (hidden, actions), "b3": (actions,),
        }  # fmt: skip
        fans = {"w1": features, "b1": features, "embed": 1, "w2": hidden + size, "b2": hidden + size}
        generator = torch.Generator()
        generator.manual_seed(seed or 0)
        for name, shape in shapes.items():
            values = torch.zeros(shape, dtype=torch.float32)
            if seed is not None:
                bound = fans.get(name, hidden) ** -0.5
                values.uniform_(-bound, bound, generator=generator)
            self.register_parameter(name, nn.Parameter(values))
        knots = torch.tensor(targets, dtype=torch.float32)
        self.register_buffer("knots", knots[:-1].clone(), persistent=False)
        self.register_buffer("gaps", knots[1:] - knots[:-1], persistent=False)

    @classmethod
    def from_weights(cls, weights: QWeights) -> QNet:
        """The module with these weights."""
        net = cls(len(weights.columns), weights.targets, weights.actions, weights.b1.size)
        with torch.no_grad():
            for name in _ARRAYS:
                getattr(net, name).copy_(torch.from_numpy(getattr(weights, name).copy()))
        return net

    def weights(self, columns: tuple[str, ...], targets: tuple[float, ...]) -> QWeights:
        """A copy of the weights."""
        arrays = {name: getattr(self, name).detach().cpu().numpy().copy() for name in _ARRAYS}
        return QWeights(**arrays, targets=tuple(targets), columns=tuple(columns))

    def hat(self, position: torch.Tensor) -> torch.Tensor:
        """See the function `hat`; relu(r) - relu(r - 1) cuts a ramp to [0, 1]."""
        ramps = (position.unsqueeze(1) - self.knots) / self.gaps
        ramps = torch.relu(ramps) - torch.relu(ramps - 1.0)
        return torch.cat([1.0 - ramps[:, :1], ramps[:, :-1] - ramps[:, 1:], ramps[:, -1:]], dim=1)

    def forward(self, features: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
        """See the class."""
        first = torch.relu(torch.addmm(self.b1, features, self.w1))
        joined = torch.cat([first, self.hat(position) @ self.embed], dim=1)
        second = torch.relu(torch.addmm(self.b2, joined, self.w2))
        return torch.addmm(self.b3, second, self.w3)


# -- policy ------------------------------------------------------------------------------------------------------------


class QPolicy:
    """Takes the best action of a network at a target desk (`lobgym.agents.policy.Policy`).

    Args:
        weights: one action for each of the desk's targets.
        spec: a target desk whose layout has the network's columns and `inventory`.

    Raises:
        PolicyError: the desk does not fit.
    """

    def __init__(self, weights: QWeights, spec: DeskSpec, name: str = "earnhft-agent") -> None:
        require_kind(spec, "target", name)
        missing = [column for column in (*weights.columns, INVENTORY) if column not in spec.layout.names]
        if missing or spec.targets != weights.targets or weights.actions != len(spec.targets):
            raise PolicyError(
                f"{name} needs the columns {missing or 'it has'} and a desk with the targets {weights.targets} and as "
                f"many actions ({weights.actions}), the desk has {spec.targets}"
            )
        self.name = name
        self.weights = weights
        self._features = np.array([spec.layout.names.index(column) for column in weights.columns])
        self._position = spec.layout.names.index(INVENTORY)

    def reset(self, lanes: int, seed: int = 0) -> None:
        """Nothing to forget."""

    def act(self, observations: NDArray[np.float32]) -> NDArray[Any]:
        """See `lobgym.agents.policy.Policy.act`."""
        return greedy(q_values(self.weights, observations[:, self._features], observations[:, self._position]))
