"""What `MultiSession` takes and refuses: checked before anything moves, on any market, and named.

Method: quiet hand-made markets; every array of a session is compared, byte by byte, with what it was before the call.
"""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest

from lobgym.sim import records as rec
from lobgym.sim.errors import CapacityError, ParamsError, SessionError, TapeExhaustedError, TimeReversedError
from lobgym.sim.kernel import advance
from lobgym.sim.multi import MultiSession
from tests.sim.several import MONEY, PLAIN, SECOND, SPOT, START, TIERS, B, quiet_market, two


def everything(session: MultiSession) -> list[bytes]:
    return [array.tobytes() for one in session.sessions for array in (*one.state, one.world_array)]


def test_a_compiled_function_needs_no_session_to_live_on() -> None:
    """The record of one market keeps alive what all of them are made of, and lets go of it when it goes."""
    session, twin = two(500, [(20, 90)], [(25, 95)]), two(500, [(20, 90)], [(25, 95)])
    for one in (session, twin):
        one.submit(0, "b", B, 101, 10, rec.IOC)
    parts = [array for one in session.sessions for array in (one.state.lane, one.state.orders, one.market.exch.ns)]
    parts += [one.world_array.view(np.ndarray).base for one in session.sessions]
    watched = [weakref.ref(array) for array in parts]
    world = session.world("a")
    del session, one, parts
    gc.collect()
    assert all(one() is not None for one in watched)
    junk = [np.full(len(twin.sessions) * 64, 7, np.int64) for _ in range(1000)]  # memory that was let go is used again
    advance(world, 0, START + SECOND)
    twin.advance(START + SECOND)
    lane = watched[3]()
    assert lane is not None
    assert lane["digest"][0] == twin.session("b").state.lane["digest"][0]
    assert lane["fills"][0] == 1
    del junk, lane, world
    gc.collect()
    assert [one() is None for one in watched] == [True] * len(watched)


def test_a_shared_capital_varies_with_a_spot_market_too() -> None:
    """On the spot market stands the same capital, though it asks for none: the account counts it once."""
    params = PLAIN.replace(capital=500 * MONEY, margin_tiers=TIERS)
    markets = {"spot": quiet_market(instrument=SPOT), "perp": quiet_market()}
    session = MultiSession(markets, params, 2, "shared", "full", 100)
    session.vary(capital=[450 * MONEY, 100 * MONEY])
    session.reset()
    assert [session.session(name).state.lane["capital"].tolist() for name in markets] == [
        [450 * MONEY, 100 * MONEY],
        [450 * MONEY, 100 * MONEY],
    ]
    for trader in range(2):  # 20 lots are 2,000 at the mid, and need 600
        session.submit(trader, "perp", B, 98, 15)
    session.advance(START + 5)
    log = session.drain_log()
    assert log[log["kind"] <= rec.FUNDED]["reason"].tolist() == [rec.OK, rec.MARGIN]


def test_what_varies_is_checked_on_all_markets_before_any_changes() -> None:
    markets = {"perp": quiet_market(), "spot": quiet_market(instrument=SPOT)}
    params = PLAIN.replace(capital=500 * MONEY)
    apart, shared = MultiSession(markets, params), MultiSession(markets, params, account="shared")
    with pytest.raises(ParamsError, match="no spot market") as caught:
        apart.vary(capital=7, entry_ns=9)
    assert caught.value.__notes__ == ["in market 'spot'"]
    with pytest.raises(ParamsError, match="vary it on all"):
        shared.vary("perp", capital=7)
    with pytest.raises(ParamsError, match="shared with other markets"):
        shared.session("perp").vary(capital=7)
    with pytest.raises(ParamsError, match="entry_ns"):
        shared.vary(capital=7, entry_ns=-1)
    for session in (apart, shared):
        session.reset()
        lanes = [one.state.lane[0] for one in session.sessions]
        assert [(int(lane["capital"]), int(lane["entry_ns"])) for lane in lanes] == [(500 * MONEY, 1)] * 2
    apart.vary("perp", capital=7)
    apart.reset()
    assert apart.session("perp").state.lane["capital"][0] == 7


T = START + 10
NAN = float("nan")
NO_TIMES: list[Any] = [
    T + 0.5, float(T), NAN, None, "soon", [T], [T] * 2, [[T, T]], [[T] * 3] * 2, [[T], [T]], [[T, T], [T]], [[[T]]],
    [[float(T)] * 2] * 2, np.full((2, 2), T, np.uint64) + (1 << 63), 1 << 70, [],
]  # fmt: skip


@pytest.mark.parametrize("account", ["each", "shared"])
def test_times_that_are_none_move_nobody(account: str) -> None:
    session = three_by_two(account)
    before = everything(session)
    for wrong in NO_TIMES:
        with pytest.raises(SessionError, match="t_ns must"):
            session.advance(wrong)
        with pytest.raises(SessionError, match="start_ns must"):
            session.reset(wrong) if wrong is not None else session.reset(NAN)
        assert everything(session) == before
    session.advance([T, T + 1, T + 2])
    session.advance([[T + 5] * 2, [T + 6] * 2, [T + 7] * 2])
    assert [session.t_ns(i, name) - T for i in range(3) for name in "ab"] == [5, 5, 6, 6, 7, 7]


def three_by_two(account: str) -> MultiSession:
    params = PLAIN.replace(capital=500 * MONEY, margin_tiers=TIERS)
    session = MultiSession({"a": quiet_market(), "b": quiet_market()}, params, 3, account)
    session.advance(START + 2)
    session.submit(1, "b", B, 98, 1)
    return session


@pytest.mark.parametrize("account", ["each", "shared"])
@pytest.mark.parametrize(
    "mask",
    [
        True, 1, [1, 1, 1], [True, False], np.ones(2, np.bool_), np.ones((2, 3), np.bool_), np.ones((3, 3), np.bool_),
        np.ones((3, 2), np.int64), [[True, True], [True]], "all", np.ones((3, 2, 1), np.bool_), [],
    ],
)  # fmt: skip
def test_masks_that_are_none_move_nobody(account: str, mask: Any) -> None:
    session = three_by_two(account)
    before = everything(session)
    with pytest.raises(SessionError, match="mask must be"):
        session.advance(T, mask)
    with pytest.raises(SessionError, match="mask must be"):
        session.reset(START + 1, mask=mask)
    assert everything(session) == before


@pytest.mark.parametrize(
    "seed",
    [-1, 1.0, NAN, None, "x", 1 << 64, [1, 2], [1.0, 2.0, 3.0], [-1, 0, 0], [[1, 2, 3]] * 2, [[0, -1]] * 3,
     [[1, 2], [3]], np.zeros((3, 2)), np.zeros((3, 2, 1), np.int64)],
)  # fmt: skip
def test_seeds_that_are_none_reset_nobody(seed: Any) -> None:
    session = three_by_two("each")
    before = everything(session)
    with pytest.raises(SessionError, match="seed must"):
        session.reset(START + 1, seed)
    assert everything(session) == before


def test_seeds_of_every_form_mean_what_is_said() -> None:
    session = three_by_two("each")

    def seeds() -> list[list[int]]:
        return [one.state.lane["seed"].tolist() for one in session.sessions]

    session.reset(seed=5)
    assert seeds() == [[5, 6, 7], [5 + (1 << 40), 6 + (1 << 40), 7 + (1 << 40)]]
    session.reset(seed=(1 << 64) - 1)
    assert seeds() == [[(1 << 64) - 1, 0, 1], [(1 << 40) - 1, 1 << 40, (1 << 40) + 1]]
    session.reset(seed=[9, 8, 7])
    assert seeds() == [[9, 8, 7], [9 + (1 << 40), 8 + (1 << 40), 7 + (1 << 40)]]
    for form in ([[1, 2], [3, 4], [5, 6]], np.array([[1, 2], [3, 4], [5, 6]], np.uint64)):
        session.reset(seed=form)
        assert seeds() == [[1, 3, 5], [2, 4, 6]]


@pytest.mark.parametrize("account", ["each", "shared"])
def test_time_goes_forward_for_everyone_or_for_nobody(account: str) -> None:
    session = three_by_two(account)
    before = everything(session)
    with pytest.raises(TimeReversedError, match="trader 2 is at"):
        session.advance([T, T, START + 1])
    with pytest.raises(TapeExhaustedError, match="lies beyond it"):
        session.advance([T, T, session.end_ns + 1])
    assert everything(session) == before
    session.advance([T, T, START + 1], np.array([True, True, False]))  # who stays may be told any time
    assert [session.t_ns(i) for i in range(3)] == [T, T, START + 2]


def test_waiting_and_restoring_take_what_they_say() -> None:
    session = three_by_two("shared")
    before = everything(session)
    for wrong in (-1, 1.0, NAN, None, "x", 1 << 63):
        with pytest.raises(SessionError, match="timeout_ns must be"):
            session.wait(1, "b", 1, wrong)
    for trader in (3, -1, 1.0, None):
        with pytest.raises(SessionError, match="trader must be"):
            session.wait(trader, "b", 1, 5)  # type: ignore[arg-type]
    for thing in (None, session.session("a").snapshot(), "x"):
        with pytest.raises(SessionError, match="restore takes what"):
            session.restore(thing)  # type: ignore[arg-type]
    assert everything(session) == before
    assert session.wait(1, "b", 1, (1 << 63) - 1)


def test_a_stopped_trader_stops_none_of_the_others() -> None:
    session = MultiSession({"a": quiet_market(), "b": quiet_market()}, PLAIN.replace(max_requests=1), 2)
    session.submit(0, "b", B, 98, 1)
    with pytest.raises(CapacityError, match="lane 0"):
        session.submit(0, "b", B, 98, 1)
    order = session.submit(1, "a", B, 98, 1)
    assert session.wait(1, "a", order, 10)
    session.advance(T, np.array([False, True]))
    for call in (lambda: session.advance(T), lambda: session.advance_to_feed(0), session.check):
        with pytest.raises(CapacityError, match="requests in flight") as caught:
            call()
        assert caught.value.__notes__ == ["in market 'b'"]
    assert session.t_ns(1) == T
    session.reset(mask=np.array([True, False]))
    session.check()
