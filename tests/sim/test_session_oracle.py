"""Lanes of a `Session` against the plain reference: the same calls must give the same fills, fronts and accounts.

Goal: every fill (order, stamps, tick, lots, cash, fee, maker), every order's state and front, every account, bit for
bit. Method: seeded scripts of orders (GTC, GTX, IOC, cancels; near, far and absurd prices; several at one price;
several lanes) on synthetic tapes, on the beginnings of the recordings, and on tiny tapes made by hypothesis.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from lobgym.sim.instrument import SYNTH, find_instrument
from lobgym.sim.market import Market
from lobgym.sim.params import SimParams
from lobgym.sim.synthetic import synthetic_tape
from lobgym.sim.tape import Tape
from tests.recordings import BINANCE
from tests.sim.oracle import recording, run_script
from tests.sim.strategies import tapes

ROOMY = SimParams(max_spent=4096, max_responses=4096)
VENUES = (
    ROOMY.replace(entry_ns=4_000_000, response_ns=6_000_000),
    ROOMY.replace(entry_ns=0, response_ns=0, queue_power=1, maker_fee_ppb=-50_000),
    ROOMY.replace(entry_ns=60_000_000, response_ns=1, queue_power=2, print_implied_depth=False),
)
INVERSE = find_instrument("binance-coinm", "BTCUSD_PERP")


@pytest.mark.parametrize("number", range(len(VENUES)))
def test_synthetic(number: int) -> None:
    params = VENUES[number]
    market = Market.compile(synthetic_tape(seed=number, minutes=1), params.print_implied_depth)
    assert run_script(market, params, seed=number, lanes=3, steps=400, gap_ns=100_000_000) > 300


@pytest.mark.parametrize("number", range(len(VENUES)))
@pytest.mark.parametrize("name", BINANCE)
def test_recordings(name: str, number: int, recordings_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    params = VENUES[number]
    market = Market.compile(recording(name, recordings_dir, tmp_path_factory.getbasetemp()), params.print_implied_depth)
    span = market.end_ns - market.start_ns
    fills = run_script(market, params, seed=number, lanes=2, steps=120, gap_ns=span // 140)
    print(f"{name}, venue {number}: {fills} fills compared")
    assert fills > 60


def test_recording_from_the_middle(recordings_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    tape = recording("usdm-btc-0808", recordings_dir, tmp_path_factory.getbasetemp())
    market = Market.compile(tape)
    middle = (market.start_ns + market.end_ns) // 2
    gap_ns = (market.end_ns - middle) // 120
    assert run_script(market, ROOMY, 5, lanes=1, steps=100, gap_ns=gap_ns, start_ns=middle) > 20


SMALL = st.builds(
    SimParams,
    entry_ns=st.integers(0, 3),
    response_ns=st.integers(0, 3),
    maker_fee_ppb=st.sampled_from((-100_000, 0, 333_333)),
    queue_power=st.integers(1, 3),
    max_spent=st.just(128),
)


@settings(max_examples=250, deadline=None)
@given(st.one_of(tapes(SYNTH), tapes(INVERSE), tapes(SYNTH, 60)), SMALL, st.booleans(), st.integers(0, 1 << 30))
def test_adversarial_tapes(tape: Tape, params: SimParams, implied: bool, seed: int) -> None:
    note(str(tape.events.tolist()))
    params = params.replace(print_implied_depth=implied)
    run_script(Market.compile(tape, implied), params, seed, lanes=2, steps=40, gap_ns=2)
