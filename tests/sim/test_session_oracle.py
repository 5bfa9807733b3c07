"""Lanes of a `Session` against the plain reference: the same calls must give the same answers, fronts and accounts.

Goal: every answer (kind, order, both stamps, tick, lots, cash, fee, maker, reason), every order's state and front,
every account, bit for bit, under every rule of docs/market.md. Method: seeded scripts (every type, modifies, cancels,
reduce-only; near, far and absurd prices) at random venues, on busy little tapes, a synthetic minute, the beginnings
of the recordings, and tiny tapes made by hypothesis, all dressed with mark prices, funding and halts. A count of the
rules that were met shows that nothing was left out.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from lobgym.sim import records as rec
from lobgym.sim.instrument import SYNTH, Instrument, find_instrument
from lobgym.sim.market import Market
from lobgym.sim.params import SimParams
from lobgym.sim.synthetic import synthetic_tape
from lobgym.sim.tape import Tape
from tests.recordings import BINANCE
from tests.sim.differential import MODELS, MS, ROOMY, busy_tape, dressed, random_venue, run_script, stretched
from tests.sim.oracle import recording
from tests.sim.strategies import tapes

INVERSE = find_instrument("binance-coinm", "BTCUSD_PERP")
SPOT = find_instrument("binance-spot", "BTCUSDT")

# Every kind of answer with every reason that it can have.
ANSWERS = {
    rec.ACK: (rec.OK,),
    rec.FILL: (rec.OK, rec.LIQUIDATED),
    rec.CANCELLED: (rec.OK, rec.SELF_TRADE, rec.LIQUIDATED),
    rec.EXPIRED: (rec.WOULD_TAKE, rec.NOTHING_TO_TAKE, rec.REDUCE_ONLY, rec.SELF_TRADE, rec.CANNOT_FILL),
    rec.REJECTED: (rec.UNKNOWN_LEVEL, rec.REDUCE_ONLY, rec.RATE_LIMIT, rec.HALTED, rec.MARGIN, rec.LOST),
    rec.CANCEL_REJECTED: (rec.ALREADY_DONE, rec.LOST),
    rec.MODIFIED: (rec.OK,),
    rec.MODIFY_REJECTED: (
        rec.ALREADY_DONE, rec.UNKNOWN_LEVEL, rec.REDUCE_ONLY, rec.RATE_LIMIT, rec.HALTED, rec.MARGIN, rec.LOST,
    ),
    rec.FUNDED: (rec.OK,),
}  # fmt: skip
BRANCHES = (
    *(f"answer {kind}: {rec.REASON_NAMES[reason]}" for kind, reasons in ANSWERS.items() for reason in reasons),
    *(f"queue: {what}" for what in ("void", "first", "nothing cancelled")),
    "request queued", "answer queued", "print at", "print beyond", "crossing",
    "modify keeps its place", "modify comes anew", "modify to nothing", "reduce-only cut at arrival",
    "margin check", "margin not asked: reduces", "liquidation closed all", "liquidation left some",
    "funding paid", "funding received or nothing",
)  # fmt: skip


def worth_of(instrument: Instrument, lots: int, tick: int) -> int:
    """Money that `lots` at `tick` are worth, about."""
    scale = instrument.inverse_scale // tick if instrument.is_inverse else instrument.money_per_tick_lot * tick
    return max(1, lots * scale)


def run_dressed(tape: Tape, seed: int, lots: int, scale_ns: int, steps: int, lanes: int = 1) -> Counter[str]:
    """One random venue and script on a tape that gets everything which is not book."""
    chance = Random(seed)
    first = int(tape.events["price_ticks"][tape.events["price_ticks"] > 0][0])
    rows = len(tape.events)
    marks, halts = chance.choice((0, 8, min(60, rows // 8))), chance.choice((0, 0, 4))
    tape = dressed(tape, chance, marks, 10, halts, chance.choice((0.02, 0.5)))
    market = Market.compile(tape, chance.random() < 0.8)
    params = random_venue(chance, market, scale_ns, worth_of(tape.instrument, lots, first), seed)
    print(params)
    gap_ns = max(1, (market.end_ns - market.start_ns) // steps)
    return run_script(market, params, seed, lanes, steps, gap_ns, worth=lots)


def test_every_rule_is_met_and_agrees() -> None:
    met: Counter[str] = Counter()
    for seed in range(180):
        tape = busy_tape(Random(seed), (SYNTH, SYNTH, INVERSE, SPOT)[seed % 4])
        met += run_dressed(tape, seed, lots=12, scale_ns=2 * MS, steps=150, lanes=1 + seed % 2)
    print("\n".join(f"{count:8d} {branch}" for branch, count in sorted(met.items())))
    missed = [branch for branch in BRANCHES if met[branch] < 3]
    missed += [model for model in MODELS if sum(met[f"queue: {model} {n} share"] for n in (1, 2, 3)) < 3]
    assert not missed
    assert sum(branch.startswith("fee tier") for branch in met) >= 6


@pytest.mark.parametrize("seed", range(7))
def test_synthetic(seed: int) -> None:
    tape = synthetic_tape(seed=seed, minutes=1)
    rows = 5000 + int(tape.events["flags"][5000:].argmax())
    tape = Tape(tape.events[: rows + 1], tape.instrument)
    assert run_dressed(tape, seed, 200, 20 * MS, steps=120, lanes=2)["answers compared"] > 100


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("name", BINANCE)
def test_recordings(name: str, number: int, recordings_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    tape = recording(name, recordings_dir, tmp_path_factory.getbasetemp())
    met = run_dressed(tape, 40 + number, lots=1 << 20, scale_ns=10 * MS, steps=120)
    print(f"{name}, venue {number}: {met['answers compared']} answers compared")
    assert met["answers compared"] > 60


def test_recording_from_the_middle(recordings_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    market = Market.compile(recording("usdm-btc-0808", recordings_dir, tmp_path_factory.getbasetemp()))
    middle = (market.start_ns + market.end_ns) // 2
    gap_ns = (market.end_ns - middle) // 120
    met = run_script(market, SimParams(**ROOMY), 5, lanes=1, steps=100, gap_ns=gap_ns, start_ns=middle)
    assert met["answers compared"] > 20


@settings(max_examples=250, deadline=None)
@given(st.one_of(tapes(SYNTH), tapes(INVERSE), tapes(SPOT), tapes(SYNTH, 60)), st.integers(0, 1 << 30))
def test_adversarial_tapes(tape: Tape, seed: int) -> None:
    note(str(tape.events.tolist()))
    run_dressed(stretched(tape, MS, 999_970_000_000), seed, lots=7, scale_ns=2 * MS, steps=40, lanes=2)
