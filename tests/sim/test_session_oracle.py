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

from lobgym.sim import records as rec
from lobgym.sim.instrument import SYNTH, find_instrument
from lobgym.sim.market import Market
from lobgym.sim.params import SimParams
from lobgym.sim.session import Session
from lobgym.sim.synthetic import synthetic_tape
from lobgym.sim.tape import Tape
from tests.recordings import BINANCE
from tests.sim.oracle import compare_lane, recording, reference_lane, run_script, tape_of
from tests.sim.strategies import tapes

ROOMY = SimParams(max_spent=4096, max_responses=4096, self_trade="none")
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


# -- what random scripts seldom meet: own orders that live through a clear ---------------------------------------------

BOOK = [(rec.DEPTH, side, tick, 5, 1) for side, tick in ((1, 8), (1, 9), (-1, 11), (-1, 12))]
CLEAR = (rec.CLEAR, 0, 0, 0, 2)


def fronts_after(rows: list[tuple[int, int, int, int, int]], *more: tuple[int, list]) -> dict[int, float]:
    """Buys at 8 and 9 live through message `rows` at 100, a second buy at 8 comes at 200; fronts in lots by id."""
    end = (900, 900, [(rec.MARK, 0, 0, 5, 0)])
    tape = tape_of([(1, 1, BOOK), (100, 100, rows), *((ns, ns, content) for ns, content in more), end])
    params = SimParams(entry_ns=1, response_ns=1, self_trade="none")
    session = Session(Market.compile(tape), params, log="fills", log_rows=99)
    reference = reference_lane(session.market, params, session.t_ns())
    for at, tick in ((10, 8), (10, 9), (200, 8)):
        session.advance(at)
        reference.advance(at)
        assert session.submit(0, rec.BUY, tick, 1) == reference.submit(rec.BUY, tick, 1, rec.GTC)
        compare_lane(session, 0, reference)
    session.advance(400)
    reference.advance(400)
    compare_lane(session, 0, reference)
    return {int(order["id"]): order["front"] / (1 << 20) for order in session.orders()}


def test_a_snapshot_bounds_the_queues_that_it_covers() -> None:
    snapshot = [(rec.SNAPSHOT, side, tick, qty, 2) for side, tick, qty in ((1, 7, 4), (1, 8, 2), (-1, 11, 5))]
    assert fronts_after([CLEAR, *snapshot]) == {1: 2, 2: 0, 3: 2}


def test_a_snapshot_leaves_the_queues_that_it_does_not_cover() -> None:
    snapshot = [(rec.SNAPSHOT, side, tick, 1, 2) for side, tick in ((1, 9), (-1, 11))]
    assert fronts_after([CLEAR, *snapshot]) == {1: 5, 2: 1}  # the third order is refused: what stands at 8 is unknown


def test_a_younger_order_never_passes_an_older_one() -> None:
    between = (150, [(rec.DEPTH, rec.BUY, 6, 1, 3), (rec.DEPTH, rec.SELL, 11, 1, 3)])
    assert fronts_after([CLEAR], between) == {1: 5, 2: 5, 3: 5}
