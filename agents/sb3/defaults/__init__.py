"""Default settings, one YAML file an environment: what `lobgym train` and `lobgym tune` begin with.

    all:        settings for every algorithm, by the names of `TrainConfig`
    ppo:        settings for PPO, which may name those of `all` again; and so for dqn, sac, qrdqn, ppo_lstm
    search:
      ppo:      what tuning may vary: {low, high}, whole numbers or not as the bounds are, `log: true`; or {choices}

Layers are laid over one another, field by field; the later one holds.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from lobgym.agents.errors import DefaultsError, TrainError
from lobgym.agents.sb3.config import ENV_IDS, TrainConfig
from lobgym.agents.sb3.settings import ALGOS

__all__ = ["Defaults", "Dimension", "assignment", "merged", "read_defaults", "read_settings"]

_PARTS: Final = ("all", "search", *ALGOS)


@dataclass(frozen=True)
class Dimension:
    """What tuning may do with one setting: a range, of whole numbers if both bounds are, or a list of choices.

    Raises:
        DefaultsError: neither, or both; an empty range; a logarithm of what is not positive.
    """

    low: int | float | None = None
    high: int | float | None = None
    log: bool = False
    choices: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        ranged = self.low is not None and self.high is not None
        if ranged == bool(self.choices):
            raise DefaultsError(f"expected low and high, or choices, got {self}")
        if self.low is not None and self.high is not None and (self.low > self.high or (self.log and self.low <= 0)):
            raise DefaultsError(f"expected low <= high, and low > 0 on a logarithmic scale, got {self}")

    @property
    def whole(self) -> bool:
        """Whether it is a range of whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def holds(self, value: Any) -> bool:
        """Whether a value is one that the search may choose."""
        if self.choices:
            return value in self.choices
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return number and self.low is not None and self.high is not None and bool(self.low <= value <= self.high)


@dataclass(frozen=True)
class Defaults:
    """One file. `settings(algo)` is what a training begins with, `search[algo]` what may vary."""

    env: str
    layers: dict[str, dict[str, Any]]
    search: dict[str, dict[str, Dimension]] = field(default_factory=dict)

    def settings(self, algo: str) -> dict[str, Any]:
        """`TrainConfig` fields, those of the algorithm over those of all."""
        return merged({"algo": algo, "env": self.env}, self.layers.get("all", {}), self.layers.get(algo, {}))


def read_defaults(env: str, path: str | Path | None = None) -> Defaults:
    """The defaults of an environment: the file that comes with the project, or another one.

    Raises:
        DefaultsError: an unknown environment, or a file that says something unknown or out of range.
    """
    if env not in ENV_IDS:
        raise DefaultsError(f"expected an environment of {', '.join(ENV_IDS)}, got {env!r}")
    name = str(path) if path else f"defaults/{env}.yml"
    text = _text(Path(path)) if path else (files(__name__) / f"{env}.yml").read_text(encoding="utf-8")
    data = _mapping(text, name)
    unknown = [str(part) for part in data if part not in _PARTS]
    if unknown:
        raise DefaultsError(f"{name}: expected parts of {', '.join(_PARTS)}, got {', '.join(unknown)}")
    layers = {part: _checked(layer, f"{name}: {part}") for part, layer in data.items() if part != "search"}
    made = Defaults(env, layers, _search(data.get("search") or {}, name))
    for algo in ALGOS:
        if algo in layers or algo in made.search:
            _try(made, algo, name)
    return made


def read_settings(path: str | Path) -> dict[str, Any]:
    """A file of `TrainConfig` fields, such as `lobgym train --show-config` prints. Raises DefaultsError."""
    return _mapping(_text(Path(path)), str(path))


def assignment(text: str) -> dict[str, Any]:
    """`ppo.learning_rate=3e-4` as {"ppo": {"learning_rate": 0.0003}}. Raises DefaultsError."""
    name, sign, value = text.partition("=")
    words = name.strip().split(".")
    if not sign or not all(re.fullmatch(r"\w+", word) for word in words):
        raise DefaultsError(f"expected NAME=VALUE, as in gamma=0.99 or ppo.learning_rate=3e-4, got {text!r}")
    try:
        made: Any = json.loads(value)
    except ValueError:
        try:
            made = yaml.load(value, _Loader)
        except yaml.YAMLError:
            made = value
    for word in reversed(words):
        made = {word: made}
    found: dict[str, Any] = made
    return found


def merged(*layers: dict[str, Any]) -> dict[str, Any]:
    """Nested settings laid over one another."""
    made: dict[str, Any] = {}
    for layer in layers:
        for name, value in layer.items():
            both = isinstance(value, dict) and isinstance(made.get(name), dict)
            made[name] = merged(made[name], value) if both else value
    return made


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Plain data only, and 1e-3 is a number: YAML 1.1 wants a point and a sign in it."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DefaultsError(f"{path} is no text: {error}") from error


def _mapping(text: str, name: str) -> dict[str, Any]:
    try:
        data = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise DefaultsError(f"{name} is not valid YAML: {error}") from error
    return _checked({} if data is None else data, name)


def _checked(data: Any, where: str) -> dict[str, Any]:
    if not isinstance(data, dict) or not all(isinstance(name, str) for name in data):
        raise DefaultsError(f"{where}: expected names and their values, got {data!r}")
    return data


def _search(data: Any, name: str) -> dict[str, dict[str, Dimension]]:
    made: dict[str, dict[str, Dimension]] = {}
    for algo, space in _checked(data, f"{name}: search").items():
        if algo not in ALGOS:
            raise DefaultsError(f"{name}: search has {', '.join(ALGOS)}, not {algo!r}")
        made[algo] = {}
        for setting, dimension in _checked(space, f"{name}: search.{algo}").items():
            where = f"{name}: search.{algo}.{setting}"
            unknown = set(_checked(dimension, where)) - set(Dimension.__dataclass_fields__)
            if unknown:
                raise DefaultsError(f"{where} has low, high, log and choices, not {', '.join(sorted(unknown))}")
            try:
                made[algo][setting] = msgspec.convert(dimension, Dimension)
            except (msgspec.ValidationError, DefaultsError) as error:
                raise DefaultsError(f"{where}: {error}") from error
    return made


def _try(made: Defaults, algo: str, name: str) -> None:
    """The settings as they stand, and with each dimension at its ends, must be a config."""
    try:
        TrainConfig.from_json(made.settings(algo))
        for setting, dimension in made.search.get(algo, {}).items():
            for value in dimension.choices or (dimension.low, dimension.high):
                TrainConfig.from_json(merged(made.settings(algo), assignment(f"{setting}={json.dumps(value)}")))
    except TrainError as error:
        raise DefaultsError(f"{name}: {algo}: {error}") from error
