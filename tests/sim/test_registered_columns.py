"""Columns of the user: compiled, called by address, part of the layout's hash, and tried for causality.

Method: a few small functions, each registered under a name of its own, observed by a desk on a synthetic tape.
"""

from __future__ import annotations

import numba
import numpy as np
import pytest

from lobgym.sim import strategy as lob
from lobgym.sim.causality import check_causal
from lobgym.sim.desk import Desk
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.errors import LayoutError, ParamsError
from lobgym.sim.market import Market
from lobgym.sim.observation import ObservationLayout, register_column
from lobgym.sim.tape import Tape

WEIGHT = 3.0


@numba.njit
def spread_ticks(w, lane):
    book = lob.local_of(w)
    cursor = lob.local_cursor(w, lane)
    return float(lob.best_ask(book, cursor) - lob.best_bid(book, cursor))


@numba.njit
def _weighted(x):
    return WEIGHT * x


@numba.njit
def weighted_position(w, lane):
    return _weighted(float(lob.lane_at(w, lane)["view_position"]))


@numba.njit
def nothing(w, lane):
    return np.nan


@numba.njit
def refuses(w, lane):
    if lane >= 0:
        raise ValueError("no")
    return 1.0


@numba.njit
def endless(w, lane):
    return -np.inf


@numba.njit
def clairvoyant(w, lane):
    book = lob.local_of(w)
    return float(lob.best_bid(book, min(lob.local_cursor(w, lane) + 50, book["size"])))


@numba.njit
def whole_number(w, lane):
    return 1


@pytest.fixture(scope="module", autouse=True)
def registered() -> None:
    register_column("my_spread", "ticks", 10.0, spread_ticks, about="best ask minus best bid")
    register_column("my_position", "lots", 100.0, weighted_position)
    register_column("my_nan", "1", 0.0, nothing)
    register_column("my_error", "1", 1.0, refuses)
    register_column("my_infinity", "1", 2.0, endless)
    register_column("my_future", "ticks", 1e6, clairvoyant)


@pytest.fixture(scope="module")
def market(small_tape: Tape) -> Market:
    return Market.compile(small_tape)


def desk_of(market: Market, *columns: str) -> Desk:
    return Desk(DeskSpec.for_market(market, "target", layout=ObservationLayout(columns)), market, 3)


def test_it_stands_in_its_place_among_the_others(market: Market) -> None:
    desk = desk_of(market, "my_position", "spread", "my_spread", "inventory")
    desk.reset(market.start_ns + np.arange(3) * 10_000_000_000)
    for _ in range(5):
        rows = desk.step(np.array([[4], [0], [3]]))[0]
        for lane in range(3):
            bid, ask = desk.session.bests(lane)
            held = 3.0 * desk.session.account(lane).view_position_lots
            spread = (ask - bid) / ((bid + ask) / 2) * 1e4
            position = held / 3 / desk.spec.position_lots_max
            expected = [held / (100 + abs(held)), spread / (1 + spread), (ask - bid) / (10 + ask - bid), position]
            assert rows[lane] == pytest.approx(expected, abs=1e-6)
    assert (rows[:, 0] != 0).all()


def test_what_is_no_number_is_none_in_the_row(market: Market) -> None:
    desk = desk_of(market, "my_nan", "my_error", "my_infinity")
    desk.reset(market.start_ns)
    np.testing.assert_array_equal(desk.observe()[0], [0.0, 0.0, -1.0])


def test_the_source_and_what_it_refers_to_are_in_the_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    layout = ObservationLayout(("spread", "my_position"))
    before = layout.hash
    assert before == ObservationLayout(layout.names).hash
    assert ObservationLayout.from_json(layout.to_json()) == layout
    written = layout.to_json()
    monkeypatch.setitem(globals(), "WEIGHT", 4.0)
    with pytest.raises(LayoutError, match="replace=True"):
        register_column("my_position", "lots", 100.0, weighted_position)
    register_column("my_position", "lots", 100.0, weighted_position, replace=True)
    assert layout.hash != before
    with pytest.raises(LayoutError, match="retrain"):
        ObservationLayout.from_json(written)
    monkeypatch.undo()
    register_column("my_position", "lots", 100.0, weighted_position, replace=True)
    assert layout.hash == before
    register_column("my_position", "lots", 100.0, weighted_position)  # the same once more is no offence


def test_a_column_that_sees_the_future_is_found_out() -> None:
    check_causal(["my_spread", "my_position", "spread"], steps=40)
    with pytest.raises(LayoutError, match="'my_future' sees the future"):
        check_causal(["my_spread", "my_future"], steps=40)
    with pytest.raises(ParamsError, match="fewer steps"):
        check_causal(["my_spread"], steps=100_000)


def test_misuse_says_what_to_do() -> None:
    for name, function, match in (
        ("spread", spread_ticks, "choose another name"),
        ("book_5", spread_ticks, "choose another name"),
        ("My spread", spread_ticks, "identifier"),
        ("my_plain", lambda w, lane: 0.0, "numba.njit"),
        ("my_int", whole_number, "must return a float"),
        ("my_three", numba.njit(lambda w, lane, third: 0.0), "does not compile"),
    ):
        with pytest.raises(LayoutError, match=match):
            register_column(name, "1", 0.0, function)
    for scale in (-1.0, float("nan"), "1"):
        with pytest.raises(LayoutError, match="scale"):
            register_column("my_scale", "1", scale, spread_ticks)  # type: ignore[arg-type]
    with pytest.raises(LayoutError, match="did you mean 'my_spread'"):
        ObservationLayout(("my_spraed",))
