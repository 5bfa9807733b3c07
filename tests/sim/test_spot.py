"""Goal: nobody sells on a spot market what they do not hold: not in a plan, not at the exchange, at no latency.

Method: the synthetic market declared a spot one, random codes on both kinds of desk, the position after every fill.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from lobgym.envs import LobVectorEnv
from lobgym.sim.desk import Desk
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.errors import ParamsError
from lobgym.sim.market import Market
from lobgym.sim.params import SimParams
from lobgym.sim.synthetic import synthetic_tape
from lobgym.sim.tape import Tape

STEPS = 400
KINDS = ["grid", "target"]


@pytest.fixture(scope="module")
def spot() -> Market:
    tape = synthetic_tape(seed=4, minutes=2)
    return Market.compile(Tape(tape.events, dataclasses.replace(tape.instrument, kind="spot"), tape.provenance))


@pytest.mark.parametrize("latency_ms", [0, 10, 700])
@pytest.mark.parametrize("kind", KINDS)
def test_the_position_never_falls_below_zero(spot: Market, kind: str, latency_ms: int) -> None:
    params = SimParams(entry_ns=latency_ms * 1_000_000, response_ns=latency_ms * 1_000_000)
    spec = DeskSpec.for_market(spot, kind, interval_ns=200_000_000, params=params)
    desk = Desk(spec, spot, 1, log="fills", log_rows=10_000)
    rng = np.random.default_rng(0)
    position = sold = 0
    for _ in range(STEPS):
        desk.step([[int(rng.integers(bins)) for bins in spec.action.bins]], observe=False)
        for fill in desk.session.drain_fills():
            position += int(fill["side"]) * int(fill["qty"])
            sold += fill["side"] < 0
            assert position >= 0
    assert sold > 0


def test_the_defaults_of_a_spot_market_are_never_short(spot: Market) -> None:
    spec = DeskSpec.for_market(spot, "target")
    assert min(spec.targets) == 0.0
    assert not spec.risk.short
    environment = LobVectorEnv("target", spot, horizon=5)
    environment.reset(seed=0)
    for _ in range(4):
        environment.step(np.zeros(1, np.int64))
    assert int(environment.core.summary()["fills"][0]) == 0


def test_a_desk_that_may_be_short_is_refused(spot: Market) -> None:
    spec = DeskSpec.for_market(spot, "grid")
    with pytest.raises(ParamsError, match="spot market"):
        Desk(spec.replace(risk=spec.risk.replace(short=True)), spot)
    with pytest.raises(ParamsError, match="targets below 0"):
        DeskSpec.for_market(spot, "target", targets=(-1.0, 0.0, 1.0))
    with pytest.raises(ParamsError, match="true or false"):
        spec.risk.replace(short=1)
