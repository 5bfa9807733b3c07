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

GOLDEN: dict[str, str] = {
    "synth:calm?minutes=0.2": "3accb098e718d300f163b21c04bb58bb583b38fcabaa0c10f5d478c4827f3672",
    "synth:trend-up?minutes=0.2": "7837bf0434f14d644c3f52c3fc3341392902ee418ccc84ab3dcdf9c53613e507",
    "synth:trend-down?minutes=0.2": "5749c4e4028dfcc3ebdbfe03dc853bceb3a51bfb42339e2ecef162d920b66924",
    "synth:sideways?minutes=0.2": "79ffe41a1167bb41101bba68ee89b0790a0b15ee541dae1db79b0f803a5fa042",
    "synth:volatile?minutes=0.2": "66ebc73e7ea33d4eeeb743ae0c45f2a4f2037f40adcae7ef2aae87169429a0de",
    "synth:flash-crash?minutes=0.2&fall_s=2&rise_s=2": "8f04d21094dcd6e57c3e516e30bfa21cc19a23378964eccd1711e5710aad6886",
    "synth:thin-book?minutes=0.2": "951b54089a3ef756c1daae7d7aca6159f6329157e9cab327c4d6f7ffb61db6c4",
    "synth:wide-spread?minutes=0.2": "49f9afbc1dd968ffb683116f9aff05cc8ffce9947c36cb5d5af8657ea8ff81a6",
    "synth:halt?minutes=0.2&seconds=2&auction_s=1": "cda58565d1b6438eda90d49a3dd4031ad67ac65ce0d74adf29bbdb97591919ff",
    "synth:outage?minutes=0.2&seconds=2": "aa0fc5e3939928d3937091c342205a7528dd18b2fd6ee878ff7ba12499bfa177",
    "synth:bad-prints?minutes=0.2&prints=5": "25cb795d9e7f493095c5d6a01dfe8af70a4b4f76145800211798615aa9a44961",
    "synth:late-fills?minutes=0.2": "927bb31f705f5fe068d3f0cf9bb635edd169a1a7f0edd776f83425863069292d",
    "synth:funding-spike?minutes=0.2": "6e69f62bb8138fab8da5729e8227b8582831eb07d6bf3b3e0b48efea90af3e41",
}

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
    assert generate(name).digest == GOLDEN[name]


def test_every_scenario_has_a_golden_digest() -> None:
    assert {name.partition("?")[0].removeprefix("synth:") for name in GOLDEN} == set(SCENARIOS)
    assert len(set(GOLDEN.values())) == len(GOLDEN)


def test_another_process_makes_the_same_tapes() -> None:
    code = "import json; from lobgym.sim.scenarios import generate\n"
    code += f"print(json.dumps({{name: generate(name).digest for name in {sorted(GOLDEN)}}}))"
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
