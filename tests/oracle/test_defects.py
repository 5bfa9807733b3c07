"""Where hftbacktest 2.4.4 is wrong, one small market each: what it says, what happened, and what we say."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lobgym.sim import records as rec
from lobgym.sim.instrument import SYNTH
from lobgym.sim.tape import Tape
from tests.oracle.cases import (
    CANCEL,
    MODIFY,
    SUBMIT,
    Case,
    differences,
    engine_python,
    mended,
    model_rows,
    run_engine,
    stop,
)
from tests.oracle.ours import against_ours, play
from tests.oracle.reference_hft import (
    BAD_STATUS,
    FILLED,
    GTC,
    IOC,
    LIMIT,
    MARKET,
    NO_ASK,
    PeerError,
    PeerModel,
)
from tests.oracle.reference_parts import Settings

pytestmark = pytest.mark.skipif(engine_python() is None, reason="no .venv-oracle: run `make oracle`")
MS = 1_000_000
BOOK = [(0, rec.DEPTH, rec.BUY, 99, 10), (0, rec.DEPTH, rec.SELL, 101, 3), (0, rec.DEPTH, rec.SELL, 102, 10)]
LATE = (1000, rec.DEPTH, rec.BUY, 50, 1)  # so that the tape goes on


def tape_of(*rows: tuple[int, int, int, int, int]) -> Tape:
    """Rows (ms, kind, side, tick, lots), seen as they happen."""
    events = np.zeros(len(rows), rec.EVENT_DTYPE)
    for name, column in zip(
        ("exch_ns", "kind", "side", "price_ticks", "qty_lots"), zip(*rows, strict=True), strict=True
    ):
        events[name] = column
    events["exch_ns"] *= MS
    events["local_ns"] = events["exch_ns"]
    events["flags"] = rec.LAST
    return Tape(events, SYNTH)


Script = tuple[tuple[Any, ...], ...]  # requests (ms, kind, id, ...)
PARTIAL, WHOLE = True, False
BUY_5_AT_99 = (1, SUBMIT, 1, 1, 99, 5, LIMIT, GTC)
THROUGH = (20, rec.TRADE, rec.SELL, 90, 1)
BUY_15_AT_99 = (1, SUBMIT, 1, 1, 99, 15, LIMIT, GTC)
ONE_LOT_THEN_FIVE = tape_of(*BOOK, (10, rec.TRADE, rec.SELL, 99, 11), (20, rec.TRADE, rec.SELL, 99, 5), LATE)

MARKETS: dict[str, tuple[Tape, bool, Script]] = {
    "walk": (tape_of(*BOOK, LATE), PARTIAL, ((1, SUBMIT, 1, 1, 102, 5, LIMIT, GTC),)),
    "ioc": (tape_of(*BOOK, LATE), PARTIAL, ((1, SUBMIT, 1, 1, 101, 5, LIMIT, IOC),)),
    "two prints": (
        tape_of(*BOOK, (10, rec.TRADE, rec.SELL, 99, 12), (20, rec.TRADE, rec.SELL, 99, 9), LATE),
        PARTIAL,
        (BUY_5_AT_99,),
    ),
    "exact": (
        tape_of(*BOOK, (10, rec.TRADE, rec.SELL, 99, 15), (20, rec.TRADE, rec.SELL, 99, 1), LATE),
        PARTIAL,
        (BUY_5_AT_99,),
    ),
    "late cancel": (tape_of(*BOOK, LATE), WHOLE, ((1, SUBMIT, 1, 1, 101, 2, LIMIT, GTC), (5, CANCEL, 1))),
    "moved, smaller": (tape_of(*BOOK, THROUGH, LATE), WHOLE, (BUY_5_AT_99, (5, MODIFY, 1, 1, 98, 2))),
    "larger": (tape_of(*BOOK, THROUGH, LATE), WHOLE, (BUY_5_AT_99, (5, MODIFY, 1, 1, 99, 9))),
    "smaller": (tape_of(*BOOK, THROUGH, LATE), WHOLE, (BUY_5_AT_99, (5, MODIFY, 1, 1, 99, 2))),
    "a hair": (ONE_LOT_THEN_FIVE, PARTIAL, (BUY_15_AT_99, (15, MODIFY, 1, 1, 99, 14))),
    "no hair": (ONE_LOT_THEN_FIVE, PARTIAL, (BUY_15_AT_99, (15, MODIFY, 1, 1, 99, 13))),
    "revived": (
        tape_of(*BOOK, (10, rec.TRADE, rec.SELL, 99, 15), (30, rec.TRADE, rec.SELL, 90, 1), LATE),
        PARTIAL,
        (BUY_5_AT_99, (10, MODIFY, 1, 1, 98, 4)),
    ),
    "no asks": (
        tape_of((0, rec.DEPTH, rec.BUY, 99, 10), (500, rec.DEPTH, rec.SELL, 101, 3), LATE),
        WHOLE,
        ((1, SUBMIT, 1, 1, 1, 2, MARKET, GTC),),
    ),
}


def played(tape: Tape, partial: bool, script: Script) -> Case:
    """A case of these requests, and what the model says of it."""
    settings = Settings(tick_size=0.1, lot_size=0.001, partial=partial, entry_ns=1000, response_ns=1000)
    model = PeerModel(settings, model_rows(tape, "exch_ns"), model_rows(tape, "local_ns"))
    case = Case(tape, settings, [], [], [], 900 * MS, model)
    try:
        for ms, kind, *request in script:
            model.advance(ms * MS)
            case.ask(kind, *request)
        while not model.advance(case.end) or model.now < case.end:
            model.alarm = 0
        stop(case)
    except PeerError as error:
        case.error = error.args[0]
    return case


Results = dict[str, tuple[Case, dict[str, Any]]]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Each market as the model and as the engine plays it; they agree."""
    cases = {name: played(*market) for name, market in MARKETS.items()}
    answers = run_engine(list(cases.values()), tmp_path_factory.mktemp("defects"))
    assert [differences(*pair) for pair in zip(cases.values(), answers, strict=True)] == [[] for _ in cases]
    return {name: (case, engine) for (name, case), engine in zip(cases.items(), answers, strict=True)}


def filled_lots(case: Case) -> int:
    """What really happened at its exchange."""
    return round(sum(fill[3] for fill in case.model.fills) * 1000)


def position_lots(engine: dict[str, Any]) -> int:
    return round(engine["states"]["position"][-1] * 1000)


def our_position(case: Case) -> int:
    """What the lane believes to own in the end, which is what it owns."""
    lane = play(case).state.lane[0]
    assert lane["view_position"] == lane["position"]
    return int(lane["position"])


@pytest.mark.parametrize(
    ("name", "filled", "credited", "ours"),
    [
        ("walk", 5, 2, 5),  # 3 lots at 101, 2 at 102: it credits the last chunk
        ("ioc", 3, 0, 3),  # 3 lots at its limit; then it expires, and nothing is credited
        ("two prints", 5, 3, 5),  # 2 lots, then 3, of a resting order
        ("late cancel", 2, 4, 2),  # the refusal of a cancel carries the fill again
        ("a hair", 1, 0, 6),  # of 15 lots 14 are left, less a hair: a modify to 14 is an increase, the place is lost
        ("no hair", 6, 0, 6),  # a modify to 13 keeps it
        ("revived", 10, 10, 5),  # a modify on its way meets an order that is filled, and enters it anew
        ("moved, smaller", 5, 5, 5),  # the change asked for 2 lots; kept by the profile
        ("larger", 5, 5, 5),  # for 9
        ("smaller", 2, 2, 2),  # for 2, at the same price
    ],
)
def test_what_it_credits(results: Results, name: str, filled: int, credited: int, ours: int) -> None:
    case, engine = results[name]
    assert (filled_lots(case), position_lots(engine), our_position(case)) == (filled, credited, ours)


def test_only_a_hair_is_left_out(results: Results) -> None:
    """What follows on the lost place is not asked of ours; the mended model is, and that says what ours does."""
    case, _ = results["a hair"]
    judged, (peer, codes) = against_ours(case), mended(case)
    assert (list(case.model.misjudged), judged.wrong, judged.fills, judged.mended) == ([1], [], 1, 2)
    assert [round(fill[3] * 1000) for fill in peer.fills] == [1, 5]
    assert codes == case.codes
    case, _ = results["no hair"]
    judged = against_ours(case)
    assert (case.model.misjudged, judged.wrong, judged.fills, judged.mended) == ({}, [], 2, 0)


def test_a_fill_too_many_would_be_seen(results: Results) -> None:
    """Of an order before it is misjudged, of another one, and after that by the mended model."""
    case, _ = results["a hair"]
    first = case.model.fills[0]
    changed = replace(case, model=copy(case.model))
    changed.model.fills = [(*first[:3], first[3] + 0.001, first[4])]
    assert len(against_ours(changed).wrong) == 1
    changed.model.fills = [*case.model.fills, (first[0], 2, *first[2:])]
    assert len(against_ours(changed).wrong) == 1
    changed = replace(case, lots=[14, *case.lots[1:]])  # so that the modify makes the order larger, on our side
    assert [what.split()[0] for what in against_ours(changed).wrong] == ["mended"]


def test_an_exact_fill_breaks_it(results: Results) -> None:
    """A print leaves exactly nothing of the order, which stays in the book; the next print at its price is the end."""
    case, engine = results["exact"]
    assert filled_lots(case) == 5
    assert engine["answers"]["status"][-1] == FILLED
    assert engine["end"][0] == BAD_STATUS
    assert our_position(case) == 5


def test_a_market_order_without_a_market(results: Results) -> None:
    """There is no ask, and the order is filled at the greatest number of ticks that there is. Ours expires."""
    case, engine = results["no asks"]
    assert engine["answers"]["exec_tick"][-1] == NO_ASK
    assert filled_lots(case) == position_lots(engine) == 2
    assert our_position(case) == 0
