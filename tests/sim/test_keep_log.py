"""Goal: a log that is begun later holds what one kept from the start would have held, and changes nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lobgym.sim import Market, Session, SimParams, open_tape
from lobgym.sim.errors import CapacityError, ParamsError
from lobgym.sim.records import BUY, IOC


@pytest.fixture(scope="module")
def market() -> Market:
    return Market.compile(open_tape("synth?seed=4&minutes=3"))


def trade(session: Session, count: int) -> None:
    for _ in range(count):
        session.advance(session.t_ns() + 100_000_000)
        ask = session.bests()[1]
        assert ask is not None
        session.submit(0, BUY, ask, 1, IOC)


def test_a_log_begun_later_is_the_rest_of_one_kept_from_the_start(market: Market) -> None:
    whole = Session(market, SimParams(), 1, "full", 512)
    late = Session(market, SimParams(), 1)
    for session in (whole, late):
        trade(session, 10)
    before = whole.drain_log()
    assert len(before) > 15
    late.keep_log("full", 512)
    for session in (whole, late):
        trade(session, 10)
    rows = late.drain_log()
    assert np.array_equal(rows, whole.drain_log())
    assert len(rows) > 15
    assert late.run_digest() == whole.run_digest()
    copy: Any = late.clone()
    trade(copy, 3)
    trade(late, 3)
    assert np.array_equal(copy.drain_log(), late.drain_log())


def test_its_bound_is_kept(market: Market) -> None:
    session = Session(market)
    session.keep_log("fills", 2)
    with pytest.raises(CapacityError, match="event log"):
        trade(session, 20)
    for log, rows in (("off", 1), ("all", 1), ("fills", 0)):
        with pytest.raises(ParamsError):
            session.keep_log(log, rows)
