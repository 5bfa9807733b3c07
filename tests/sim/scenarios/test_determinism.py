"""Goal: a name fixes every byte, in every process, with and without the compiler.

Method: digests of short tapes, written down; a change of them is a decision (docs/decisions). Without the compiler only
moments of a tape are affordable: a calm one, and one with each kind of shock.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from lobgym.sim.exchange.exchange import START_NS, Exchange
from lobgym.sim.flow.shocks import SHOCK_MOVE, SHOCK_PULL, SHOCK_REGIME, SHOCK_SELL, ScriptedFlow
from lobgym.sim.scenarios import SCENARIOS, generate

# The first half of each digest.
GOLDEN: dict[str, str] = {
    "synth:calm?minutes=0.2": "76e650383de6709e8e99eb89d2678714",
    "synth:trend-up?minutes=0.2": "1b72dd64be9f0c5e562068954cc213b8",
    "synth:trend-down?minutes=0.2": "b31a7b6a2cb232062ccaf16d009e02c8",
    "synth:sideways?minutes=0.2": "cda442f62fc3a75dd4b0d624596b0dbe",
    "synth:volatile?minutes=0.2": "521173cbb53f97697ffc0d96eccca092",
    "synth:flash-crash?minutes=0.2&fall_s=2&rise_s=2": "ba9037d9a7fd43c938aa74fb05581445",
    "synth:thin-book?minutes=0.2": "bd9850f455830290a0fe720a90df0fe8",
    "synth:wide-spread?minutes=0.2": "351774b37a794c89d46250b61713777d",
    "synth:halt?minutes=0.2&seconds=2&auction_s=1": "ba710f76862a2072878cf698b6dbdfbe",
    "synth:outage?minutes=0.2&seconds=2": "44cb328f4b399222e45c2b468f231e4a",
    "synth:bad-prints?minutes=0.2&prints=5": "cc76390b578ed939523dd72387247fb6",
    "synth:late-fills?minutes=0.2": "f3378d5edf90f6ec8b4ca8914891bbcf",
    "synth:funding-spike?minutes=0.2": "6f5ea14801563b2d1d7ba2d9777db060",
    "synth:martingale?minutes=0.2": "863c7cd35d729d286d187ccccff1a81d",
    "synth:planted-alpha?minutes=0.2": "1397ebd2482af245b5dc03a637573793",
}

HALF = 32
MS = 1_000_000
SHOCKS = (
    (2 * MS, SHOCK_REGIME, 2, 0),
    (3 * MS, SHOCK_PULL, 3, 50),
    (4 * MS, SHOCK_SELL, 2_000, 30),
    (5 * MS, SHOCK_MOVE, -20 << 16, 0),
    (5 * MS, SHOCK_SELL, -500, 5),
)


def moments() -> dict[str, str]:
    """Digests of two tapes that plain Python makes within seconds."""
    exchange = Exchange(flow=ScriptedFlow(script=SHOCKS), record="levels", seed=5, depth_every_ns=2 * MS)
    exchange.advance(START_NS + 10 * MS)
    return {"shocks": exchange.tape().digest, "calm": generate("synth:calm?minutes=0.001").digest}


CODE = """
import json
from tests.sim.scenarios import test_determinism as t
print(json.dumps(t.moments()))
"""


def elsewhere(code: str, **environment: str) -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    made: dict[str, str] = json.loads(done.stdout)
    return made


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_golden_digest(name: str) -> None:
    assert generate(name).digest[:HALF] == GOLDEN[name]


def test_every_scenario_has_a_golden_digest() -> None:
    assert {name.partition("?")[0].removeprefix("synth:") for name in GOLDEN} == set(SCENARIOS)
    assert len(set(GOLDEN.values())) == len(GOLDEN)


def test_another_process_makes_the_same_tapes() -> None:
    code = "import json; from lobgym.sim.scenarios import generate\n"
    code += f"print(json.dumps({{name: generate(name).digest[:{HALF}] for name in {sorted(GOLDEN)}}}))"
    assert elsewhere(code) == GOLDEN


def test_without_the_compiler_the_same_tapes_come_out() -> None:
    assert elsewhere(CODE, NUMBA_DISABLE_JIT="1") == moments()


def test_a_seed_and_a_parameter_make_other_tapes() -> None:
    names = ("", "&seed=1", "&bps=100", "&recovery=0.1")
    made = [generate(f"synth:flash-crash?minutes=0.2&fall_s=2&rise_s=2{one}").digest for one in names]
    assert len(set(made)) == len(names)


def test_the_length_only_cuts() -> None:
    """A tape begins as a longer one of the same name does, until something comes that depends on the length."""
    short, long = generate("synth:calm?minutes=0.1").events, generate("synth:calm?minutes=0.2").events
    assert (short == long[: len(short)]).all()
