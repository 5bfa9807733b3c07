"""No sum of lots and no sum of money leaves 64 bits: what would is a typed error, and nothing of it is kept.

Method: orders of the largest size there is, compiled ones of sizes that no session would let through, and accounts set
by hand to the ledger's own bounds; sums in Python's integers beside those of the kernels.
"""

from __future__ import annotations

import pytest

from lobgym.sim import kernel
from lobgym.sim import records as rec
from lobgym.sim.errors import LedgerOverflowError
from lobgym.sim.money import MONEY_MAX
from lobgym.sim.own import own_view
from lobgym.sim.params import SimParams
from lobgym.sim.queue import LOTS_MAX
from lobgym.sim.session import Session
from tests.sim.several import MONEY, PLAIN, START, B, S, quiet_market, two

MOST = LOTS_MAX - 1
NO_LOTS = (LOTS_MAX, 1 << 61, 1 << 62, (1 << 63) - 1, 0, -1, -(1 << 63))


@pytest.fixture
def session() -> Session:
    made = Session(quiet_market(), PLAIN, log="full", log_rows=100)
    made.reset(START)
    return made


@pytest.mark.parametrize("side", [B, S])
def test_many_of_the_largest_orders_are_summed_exactly(side: int) -> None:
    count = 300
    session = Session(quiet_market(), PLAIN.replace(max_orders=count, max_requests=count, max_responses=2 * count))
    for k in range(count):
        assert kernel.submit(session.world, 0, side, 98 if side == B else 102 - (k & 1), MOST, rec.GTC, 0) == k + 1
    session.advance(START + 100)
    lane = session.state.lane[0]
    resting = session.orders()[session.orders()["state"] == rec.LIVE]["leaves"].tolist()
    assert len(resting) == count
    assert int(lane["open_bid" if side == B else "open_ask"]) == sum(resting) == count * MOST > 1 << 50
    own = own_view(session.world, 0)
    assert (own.bid_lots, own.ask_lots) == ((count * MOST, 0) if side == B else (0, count * MOST))


def test_the_largest_orders_that_a_lane_can_have_fit() -> None:
    """The sum that a kernel takes of a position and all that rests, at the bounds of both."""
    with pytest.raises(Exception, match="max_orders must be an integer from 1 to 65536"):
        SimParams(max_orders=65_537)
    position_max = MONEY_MAX // 8  # of one money unit a lot, which is the least (`book_trade`)
    assert position_max + 65_536 * MOST + MOST < 1 << 60


@pytest.mark.parametrize("qty", NO_LOTS)
def test_a_compiled_order_of_a_size_that_is_none_stops_the_lane(session: Session, qty: int) -> None:
    for _ in range(3):
        assert kernel.submit(session.world, 0, B, 98, qty, rec.GTC, 0) == 0
    with pytest.raises(LedgerOverflowError, match="lane 0"):
        session.check()
    lane = session.state.lane[0]
    assert (lane["submits"], lane["request_count"], lane["slots_used"], lane["open_bid"]) == (0, 0, 0, 0)
    assert len(session.drain_log()) == 0
    session.reset(START)
    assert kernel.submit(session.world, 0, B, 98, MOST, rec.GTC, 0) == 1
    session.check()


@pytest.mark.parametrize("qty", NO_LOTS)
def test_a_compiled_modify_to_a_size_that_is_none_stops_the_lane(session: Session, qty: int) -> None:
    order = session.submit(0, B, 98, 7)
    session.advance(START + 5)
    kernel.modify(session.world, 0, kernel.find_slot(session.world, 0, order), 98, qty)
    with pytest.raises(LedgerOverflowError, match="lane 0"):
        session.check()
    assert session.state.lane["open_bid"][0] == 7
    assert session.state.orders["modifies_sent"].sum() == 0


# -- an account at the ledger's bounds ---------------------------------------------------------------------------------


def test_what_an_account_owns_on_all_markets_is_no_wrapped_number() -> None:
    """Two markets that are rich to the last unit: their sum leaves 64 bits, and is an error, not a lack of margin."""
    session = two(500)
    for name in ("a", "b"):
        lane = session.session(name).state.lane
        lane["capital"] = MONEY_MAX // 4
        lane["cash"] = MONEY_MAX
    first = session.session("a").state.lane
    first["funding"] = -MONEY_MAX
    first["position"] = MONEY_MAX // (100 * MONEY) - 1
    session.submit(0, "a", B, 98, 1)
    with pytest.raises(LedgerOverflowError, match="lane 0"):
        session.advance(START + 5)
    assert int(first["open_bid"][0]) == 0
    log = session.drain_log()
    assert log[log["kind"] == rec.ACK].size == 0
