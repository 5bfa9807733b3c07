"""From a plan to a tape: run an exchange and keep what its feed said."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from lobgym.sim.errors import ScenarioError
from lobgym.sim.exchange.exchange import START_NS, Exchange, Flow
from lobgym.sim.instrument import SYNTH
from lobgym.sim.params import SimParams
from lobgym.sim.progress import Progress
from lobgym.sim.scenarios.names import ScenarioName
from lobgym.sim.tape import Tape

__all__ = ["Plan", "record"]

_STEPS_MIN: Final = 20  # reports of progress
_STEP_NS: Final = 300_000_000_000  # a step lasts no longer


@dataclass(frozen=True)
class Plan:
    """What a scenario is made of.

    Attributes:
        flow: the background.
        schedule: (ns after the start, DO_*, a, b), see `lobgym.sim.exchange.board`.
        exchange: further arguments of the `Exchange`.
    """

    flow: Flow
    schedule: tuple[tuple[int, int, int, int], ...] = ()
    exchange: dict[str, Any] = field(default_factory=dict)


def record(name: ScenarioName, plan: Plan, params: SimParams, progress: Progress | None = None) -> Tape:
    """The tape of a plan. Its provenance says the scenario's full name and what of `params` is not the default."""
    span = name.span_ns
    late = [task for task in plan.schedule if not 0 <= task[0] <= span]
    if late:
        raise ScenarioError(f"{name.text}: {late[0][0] / 1e9:g} s into it is not within its {span / 1e9:g} s")
    exchange = Exchange(
        SYNTH, flow=plan.flow, seed=name["seed"], record="levels", start_ns=START_NS,
        schedule=[(START_NS + ns, what, a, b) for ns, what, a, b in plan.schedule], **plan.exchange,
    )  # fmt: skip
    steps = max(_STEPS_MIN, -(-span // _STEP_NS)) if progress is not None else -(-span // _STEP_NS)
    for step in range(1, steps + 1):
        exchange.advance(START_NS + span * step // steps)
        if progress is not None:
            progress(step, steps)
    plain, usual = params.to_json(), SimParams().to_json()
    changed = {key: value for key, value in plain.items() if value != usual[key]}
    return Tape(exchange.events(), SYNTH, {**exchange.provenance(), "scenario": name.full, "params": changed})
