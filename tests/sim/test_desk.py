"""The desk: one fused step equals its four pieces, lanes do not know of each other, money adds up to the last unit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lobgym.sim.desk import Desk
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.errors import ActionError, ParamsError, SessionError, TapeExhaustedError
from lobgym.sim.market import Market
from lobgym.sim.observation import ObservationLayout
from lobgym.sim.params import SimParams
from lobgym.sim.tape import open_tape

LANES = 5
KINDS = ["grid", "target", "maker", "execution"]


@pytest.fixture(scope="module")
def market() -> Market:
    return Market.compile(open_tape("synth?seed=9&minutes=2"))


def desk_of(market: Market, kind: str, lanes: int = LANES, log_rows: int = 0) -> Desk:
    log = "fills" if log_rows else "off"
    desk = Desk(DeskSpec.for_market(market, kind, interval_ns=200_000_000), market, lanes, log, log_rows)
    desk.reset(starts_of(market)[:lanes])
    give_tasks(desk)
    return desk


def give_tasks(desk: Desk, first: int = 0) -> None:
    """An execution desk's lanes a parent order each, by their number."""
    if desk.spec.kind == "execution":
        sides = np.where((np.arange(desk.lanes) + first) % 2 == 0, 1, -1)
        desk.assign(sides, desk.spec.position_lots_max, desk.t_ns + 30_000_000_000)


def starts_of(market: Market) -> np.ndarray:
    return market.start_ns + np.arange(LANES) * 10_000_000_000


def codes_of(desk: Desk, steps: int) -> np.ndarray:
    rng = np.random.default_rng(2)
    codes = np.stack([rng.integers(0, bins, (steps, LANES)) for bins in desk.action.bins], -1).astype(np.int32)
    return codes[np.arange(steps) // 3 * 3]


@pytest.mark.parametrize("kind", KINDS)
def test_a_fused_step_equals_plan_commit_advance_observe(market: Market, kind: str):
    fused, pieces = desk_of(market, kind), desk_of(market, kind)
    for codes in codes_of(fused, 200):
        row, result = fused.step(codes)
        before = [pieces.equity(i) for i in range(LANES)]
        pieces.plan(codes)
        pieces.commit()
        ended = pieces.advance()
        np.testing.assert_array_equal(row, pieces.observe())
        np.testing.assert_array_equal(ended, result.ended)
        np.testing.assert_array_equal(before, result.equity_before)
        np.testing.assert_array_equal([pieces.equity(i) for i in range(LANES)], result.equity)
        np.testing.assert_array_equal([pieces.mid2(i) for i in range(LANES)], result.mid2)
    assert fused.session.run_digest() == pieces.session.run_digest()
    assert fused.session.state.lane["fills"].sum() > 50


@pytest.mark.parametrize("kind", KINDS)
def test_a_lane_among_many_equals_a_lone_one(market: Market, kind: str):
    together = desk_of(market, kind)
    codes = codes_of(together, 150)
    alone = []
    for i in range(LANES):
        desk = Desk(together.spec, market, 1)
        desk.reset(starts_of(market)[i], seed=i)
        give_tasks(desk, i)
        alone.append(desk)
    for step in codes:
        rows, result = together.step(step)
        for i, desk in enumerate(alone):
            row, one = desk.step(step[i : i + 1])
            np.testing.assert_array_equal(row[0], rows[i])
            assert [field[0] for field in one] == [field[i] for field in result]
    assert [desk.session.digest() for desk in alone] == [together.session.digest(i) for i in range(LANES)]


@pytest.mark.parametrize("kind", KINDS)
def test_pnl_sums_to_the_ledger_of_fills(market: Market, kind: str):
    desk = desk_of(market, kind, log_rows=20_000)
    total = np.zeros(LANES, np.int64)
    counted: dict[str, Any] = {name: np.zeros(LANES, np.int64) for name in ("fills", "fees", "turnover")}
    for codes in codes_of(desk, 250):
        result = desk.step(codes)[1]
        total += result.pnl
        for name, sums in counted.items():
            sums += getattr(result, name)
    fills = desk.session.drain_fills()
    per_tick_lot = market.instrument.money_per_tick_lot
    for i in range(LANES):
        own = fills[fills["lane"] == i]
        position = int((own["side"] * own["qty"]).sum())
        cash = sum(-int(f["side"]) * int(f["tick"]) * int(f["qty"]) * per_tick_lot for f in own)
        fees = int(own["fee"].sum())
        # The mark is a whole number of half ticks: floor division is what rounds it against the trader.
        assert desk.equity(i) == total[i] == cash - fees + position * desk.mid2(i) * per_tick_lot // 2
        assert (counted["fills"][i], counted["fees"][i]) == (len(own), fees)
        assert counted["turnover"][i] == int(np.abs(own["cash"]).sum())
    assert len(fills) > 50


def test_plan_changes_no_lane(market: Market):
    desk = desk_of(market, "grid")
    for codes in codes_of(desk, 20):
        before = desk.session.snapshot()
        desk.plan(codes)
        for a, b in zip(before.arrays, desk.session.state, strict=True):
            np.testing.assert_array_equal(a, b)
        desk.commit()
        desk.advance()


def test_a_caller_may_refuse_an_intent(market: Market):
    desk = desk_of(market, "grid")
    intents, counts = desk.plan(codes_of(desk, 1)[0] * 0)
    assert (counts > 0).all()
    intents["reason"] = 99
    desk.commit()
    assert not desk.session.state.lane["submits"].any()


def test_masked_lanes_stand_still(market: Market):
    desk, mask = desk_of(market, "grid"), np.array([True, False, True, True, False])
    clocks = desk.t_ns
    _, result = desk.step(codes_of(desk, 1)[0], mask)
    np.testing.assert_array_equal(desk.t_ns - clocks, mask * desk.spec.interval_ns)
    assert not result.submits[~mask].any()
    assert result.submits[mask].all()


def test_the_end_of_the_tape_is_announced_and_then_enforced(market: Market):
    desk = desk_of(market, "target", 2)
    codes = np.full((2, 1), 2, np.int32)
    interval = desk.spec.interval_ns
    desk.reset(np.array([market.start_ns, market.end_ns - 2 * interval]))
    assert desk.step(codes)[1].ended.tolist() == [False, False]
    assert desk.step(codes)[1].ended.tolist() == [False, True]
    clocks = desk.t_ns
    with pytest.raises(TapeExhaustedError, match="lane 1"):
        desk.step(codes)
    np.testing.assert_array_equal(desk.t_ns, clocks)
    with pytest.raises(TapeExhaustedError):
        desk.advance()


def test_misuse_is_refused(market: Market):
    desk = desk_of(market, "grid")
    codes = codes_of(desk, 1)[0]
    with pytest.raises(SessionError, match="plan"):
        desk.commit()
    desk.plan(codes)
    desk.advance()
    with pytest.raises(SessionError, match="plan"):
        desk.commit()
    for bad in (codes + 100, codes[:2], codes.astype(float), -1 - codes):
        with pytest.raises(ActionError):
            desk.step(bad)
    np.testing.assert_array_equal(desk.plan(codes.astype(np.int64))[1], desk.plan(codes)[1])


@pytest.mark.parametrize("kind", KINDS)
def test_specs_round_trip_as_json_and_keep_their_digest(market: Market, kind: str):
    import msgspec

    spec = DeskSpec.for_market(market, kind, params=SimParams(entry_ns=1), targets=(-1.0, 0.0, 0.25))
    again = DeskSpec.from_json(msgspec.json.decode(msgspec.json.encode(spec.to_json())))
    assert again == spec
    assert again.digest == spec.digest
    assert spec.replace(order_lots=spec.order_lots + 1).digest != spec.digest
    with pytest.raises(ParamsError, match="unknown"):
        DeskSpec.from_json({**spec.to_json(), "surprise": 1})


@pytest.mark.parametrize(
    "change",
    [
        {"interval_ns": 0},
        {"order_lots": True},
        {"position_lots_max": 1 << 39},
        {"spacing_ticks": (1, 2)},
        {"targets": (0.0, 1.5)},
        {"kind": "other"},
        {"surprise": 1},
        {"params": SimParams(max_orders=8)},
    ],
)
def test_specs_refuse_nonsense(market: Market, change: dict[str, Any]):
    with pytest.raises(ParamsError):
        DeskSpec.for_market(market, "grid").replace(**change)


def test_defaults_come_from_the_first_price_alone(market: Market):
    spec = DeskSpec.for_market(market, "grid", layout=ObservationLayout(("spread",)))
    mid = Desk(spec, market).mid2() // 2
    unit = max(1, mid // 100_000)
    assert spec.spacing_ticks[0] == unit
    assert spec.spacing_ticks[-1] == 192 * unit
    worth = spec.order_lots * float(market.instrument.tick_size * market.instrument.lot_size) * mid
    assert 500 < worth <= 1_000
