"""Names of generated tapes: `synth:flash-crash?seed=3&hours=2`, and what parameters a name may carry.

A name is read into a `ScenarioName`, which has every parameter, given or not. Its text says those that differ from the
default, in the scenario's order: two names of one tape have one text.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

from lobgym.sim.errors import ScenarioError

__all__ = ["COMMON", "MINUTES_MAX", "PREFIX", "Parameter", "ScenarioName", "is_scenario", "read_query"]

PREFIX: Final = "synth:"
MINUTES_MAX: Final = 24 * 60
_SEED_MAX: Final = (1 << 63) - 1
_HOURS: Final = "hours"  # another way to say minutes
_INTEGER: Final = "integer"
_NUMBER: Final = "number"


@dataclass(frozen=True)
class Parameter:
    """What a scenario can be asked for.

    Attributes:
        default: an int where only whole numbers are taken, else a float.
        low, high: bounds, both allowed.
        choices: where given, the only values allowed.
        above: whether `low` itself is not allowed.
    """

    name: str
    default: int | float
    low: int | float
    high: int | float
    about: str
    choices: tuple[int | float, ...] = ()
    above: bool = False

    @property
    def kind(self) -> str:
        """`integer` or `number`."""
        return _INTEGER if isinstance(self.default, int) else _NUMBER

    @property
    def values(self) -> str:
        """What is allowed, in words."""
        if self.choices:
            return "one of " + ", ".join(_text(one) for one in self.choices)
        if self.above:
            return f"{self.kind} above {_text(self.low)}, up to {_text(self.high)}"
        return f"{self.kind} from {_text(self.low)} to {_text(self.high)}"

    def read(self, text: str) -> int | float:
        """The value that a text says. Raises ScenarioError."""
        try:
            value: int | float = int(text) if self.kind == _INTEGER else float(text)
        except ValueError:
            value = math.nan
        inside = self.low < value <= self.high if self.above else self.low <= value <= self.high
        if not inside or (self.choices and value not in self.choices):
            raise ScenarioError(f"{self.name} is {text!r}; expected {self.values} (default {_text(self.default)})")
        return value

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        bounds = {"choices": list(self.choices)} if self.choices else {"low": self.low, "high": self.high}
        return {"name": self.name, "kind": self.kind, "default": self.default, "about": self.about, **bounds}


COMMON: Final = (
    Parameter("seed", 0, 0, _SEED_MAX, "of all random numbers"),
    Parameter("minutes", 20.0, 0.0, MINUTES_MAX, "length; hours=... says the same", above=True),
)


@dataclass(frozen=True)
class ScenarioName:
    """A scenario with all its parameters.

    Attributes:
        scenario: `calm`, `flash-crash`, ...
        values: (parameter, value), every one of the scenario's, in its order.
    """

    scenario: str
    values: tuple[tuple[str, int | float], ...]
    text: str  # the shortest name, e.g. `synth:flash-crash?seed=3`

    def __getitem__(self, parameter: str) -> Any:
        return dict(self.values)[parameter]

    @property
    def full(self) -> str:
        """A name that says every parameter, defaults as well."""
        return f"{PREFIX}{self.scenario}?" + "&".join(f"{name}={_text(value)}" for name, value in self.values)

    @property
    def span_ns(self) -> int:
        """Length in nanoseconds, at least one."""
        return max(1, round(self["minutes"] * 60_000_000_000))


def is_scenario(name: str) -> bool:
    """Whether a text is meant to name a scenario."""
    return name.startswith(PREFIX)


def read_query(scenario: str, query: str, parameters: tuple[Parameter, ...]) -> ScenarioName:
    """Parameters of a scenario from what follows the question mark. Raises ScenarioError that lists what is right."""
    known = {one.name: one for one in parameters}
    given = _pairs(query, known)
    made = {one.name: one.read(given[one.name]) if one.name in given else one.default for one in parameters}
    if _HOURS in given:
        text = given[_HOURS]
        try:
            made["minutes"] = known["minutes"].read(repr(float(text) * 60))
        except (ValueError, ScenarioError):
            raise ScenarioError(f"hours is {text!r}; expected a number above 0, up to {MINUTES_MAX // 60}") from None
    said = "&".join(f"{one.name}={_text(made[one.name])}" for one in parameters if made[one.name] != one.default)
    text = f"{PREFIX}{scenario}" + (f"?{said}" if said else "")
    return ScenarioName(scenario, tuple(made.items()), text)


def _pairs(query: str, known: Mapping[str, Parameter]) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        raise ScenarioError(
            f"cannot read {query!r}; parameters look like seed=3&minutes=20. {_listed(known)}"
        ) from None
    given = dict(pairs)
    unknown = [name for name in given if name not in known and name != _HOURS]
    if unknown:
        raise ScenarioError(f"no parameter {', '.join(unknown)}. {_listed(known)}")
    if len(given) < len(pairs):
        raise ScenarioError(f"a parameter is given twice in {query!r}; give it once")
    if _HOURS in given and "minutes" in given:
        raise ScenarioError("hours and minutes are two ways to say one length; give one of them")
    return given


def _listed(known: Mapping[str, Parameter]) -> str:
    parts = (f"{one.name} ({one.values}; default {_text(one.default)})" for one in known.values())
    return f"It takes {'; '.join(parts)}"


def _text(value: int | float) -> str:
    return repr(int(value)) if float(value).is_integer() else repr(value)
