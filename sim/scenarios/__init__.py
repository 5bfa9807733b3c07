"""Generated tapes by name: `synth:calm`, `synth:flash-crash?seed=3&hours=2`, ... docs/scenarios.md shows each.

A name with all its parameters fixes every byte of the tape, on every machine. Tapes are made with the reacting market
(`lobgym.sim.exchange`) and its background flows (`lobgym.sim.flow`), and kept on disk (`lobgym.sim.scenarios.cache`).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from lobgym.sim.errors import ScenarioError
from lobgym.sim.params import SimParams
from lobgym.sim.progress import reporter
from lobgym.sim.scenarios.cache import TapeCache
from lobgym.sim.scenarios.catalog import SCENARIOS, Scenario
from lobgym.sim.scenarios.names import COMMON, PREFIX, Parameter, ScenarioName, is_scenario, read_query
from lobgym.sim.scenarios.record import record
from lobgym.sim.tape import Tape

__all__ = [
    "COMMON",
    "PREFIX",
    "SCENARIOS",
    "Parameter",
    "Scenario",
    "ScenarioName",
    "generate",
    "is_scenario",
    "open_scenario",
    "read_name",
    "scenario_params",
]

_KEPT_IN_MEMORY: Final = 4


def read_name(name: str) -> ScenarioName:
    """What a name asks for. Raises ScenarioError that lists the right names, or the scenario's parameters."""
    head, _, query = name.partition("?")
    scenario = SCENARIOS.get(head.removeprefix(PREFIX)) if is_scenario(name) else None
    if scenario is None:
        known = ", ".join(f"{PREFIX}{one}" for one in SCENARIOS)
        raise ScenarioError(f"no scenario {head!r}; there are {known}")
    try:
        return read_query(scenario.name, query, scenario.parameters)
    except ScenarioError as error:
        raise ScenarioError(f"{name}: {error}") from None


def scenario_params(name: str) -> SimParams:
    """The venue's rules that belong to a scenario: the default ones, where the tape alone says what happens.

    The tape's provenance has them too, and `lobgym.sim.params.default_params` reads them there.
    """
    made = read_name(name)
    return SCENARIOS[made.scenario].params(made)


def generate(name: str) -> Tape:
    """Make a tape, whatever is kept of it. Raises ScenarioError."""
    made = read_name(name)
    scenario = SCENARIOS[made.scenario]
    return record(made, scenario.plan(made), scenario.params(made), reporter(made.text))


def open_scenario(name: str) -> Tape:
    """The tape of a name: from memory, from disk, or made. Raises ScenarioError."""
    return _open(read_name(name).full)


@lru_cache(maxsize=_KEPT_IN_MEMORY)  # every environment of a process asks for the same few
def _open(full: str) -> Tape:
    return TapeCache().get(full, generate)
