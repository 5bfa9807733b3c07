"""A case on our side: the same requests at the same times, under the profile that does as hftbacktest does."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lobgym.sim import kernel
from lobgym.sim.compile_depth import compile_depth_market
from lobgym.sim.latency import LatencyTable
from lobgym.sim.params import SimParams
from lobgym.sim.records import FOK, GTC, GTX, IOC, MARKET
from lobgym.sim.session import Session, raise_lane_error
from tests.oracle.cases import CANCEL, MODIFY, SUBMIT, Case, mended
from tests.oracle.reference_hft import LIMIT, PeerModel
from tests.oracle.reference_parts import NO_ASK, NO_BID

__all__ = ["Judged", "against_ours", "comparable", "play"]

Fill = tuple[int, int, int, int, int]  # stamp, order, tick, lots, maker
_TIFS = (GTC, GTX, FOK, IOC)  # by the engine's numbers


def comparable(case: Case) -> bool:
    """Whether our latency table can say what this one does: a lost request stands there as received before sent."""
    return len(case.settings.latency) == 0 or bool((case.settings.latency[:, 1] > 0).all())


@dataclass
class Judged:
    """What the comparison of one case found."""

    fills: int = 0  # that the engine and ours both have
    wrong: list[str] = field(default_factory=list)
    left_out: int = 0  # fills of the engine that come of its defects
    misjudged_out: int = 0  # of these, what orders did after a hair in a float64 had sent them to the back
    mended: int = 0  # fills of the mended model, where the case was held to that, too


def against_ours(case: Case, engine: dict[str, NDArray[Any]] | None = None) -> Judged:
    """Fills of the case on both sides, and what they disagree about; money, too, where the engine has run.

    Left out is what the engine should not have done: what it trades against nothing, what orders do that it revived
    after their end or whose place it took for a hair in a float64, and everything from the stamp on at which it stopped
    with an error. A case in which that befell resting orders is held to the mended model as well, and there nothing is
    left out.
    """
    ours, session = _our_fills(case, case.codes)
    until = case.model.now if case.error else 1 << 62
    revived, misjudged = case.model.revived, case.model.misjudged
    theirs = _in_lots(case, case.model)
    wanted, got = (
        sorted(f for f in fills if f[0] < min(until, misjudged.get(f[1], until)) and f[1] not in revived)
        for fills in (theirs, ours)
    )
    out = Judged(len(wanted), _first_apart("engine", wanted, got), len(case.model.fills) - len(wanted))
    out.misjudged_out = sum(f[1] in misjudged and misjudged[f[1]] <= f[0] < until for f in theirs)
    if case.settings.partial and (case.error or revived or misjudged):
        model, codes = mended(case)
        if codes != case.codes:
            ours, session = _our_fills(case, codes)
        wanted = sorted(_in_lots(case, model))
        out.mended = len(wanted)
        out.wrong += _first_apart("mended", wanted, sorted(ours))
    if engine is not None and not case.settings.partial and not case.error and len(theirs) == len(case.model.fills):
        out.wrong += _money(case, engine, session)
    return out


def _in_lots(case: Case, model: PeerModel) -> list[Fill]:
    """The model's fills as ours are; without those against nothing."""
    lot = case.settings.lot_size
    return [
        (at, number, tick, round(qty / lot), int(maker))
        for at, number, tick, qty, maker in model.fills
        if tick not in (NO_BID, NO_ASK)
    ]


def _first_apart(name: str, wanted: list[Fill], got: list[Fill]) -> list[str]:
    if wanted == got:
        return []
    pairs = (pair for pair in zip(wanted, got, strict=False) if pair[0] != pair[1])
    first = next(pairs, (f"{len(wanted)} fills", f"{len(got)} fills"))
    return [f"{name} {first[0]}, ours {first[1]}"]


def _money(case: Case, engine: dict[str, NDArray[Any]], session: Session) -> list[str]:
    """The accounts as both local sides know them at the end; ours rounds each fill to a unit of money."""
    lane, made, last = session.state.lane[0], case.tape.instrument, engine["states"][-1]
    sign = -1.0 if made.is_inverse else 1.0
    pairs = {
        "position": (float(made.lots_to_qty(int(lane["view_position"]))), float(last["position"])),
        "balance": (sign * made.money_to_float(int(lane["view_cash"])), float(last["balance"])),
        "fee": (made.money_to_float(int(lane["view_fees"])), float(last["fee"])),
    }
    rounding = (len(case.model.fills) + 1) * float(made.money_unit)
    room = 1e-9 * float(last["value"]) + 1e-9 * float(last["volume"]) + rounding
    return [f"{name}: ours {a}, engine {b}" for name, (a, b) in pairs.items() if abs(a - b) > room]


def play(case: Case) -> Session:
    """A session after the case's requests; its log holds the fills."""
    return _play(case, case.codes)[0]


def _our_fills(case: Case, codes: list[int]) -> tuple[list[Fill], Session]:
    """Every fill of the case's requests but those with a code, under the script's numbers, and the session."""
    session, ids = _play(case, codes)
    theirs = {ours: number for number, ours in ids.items()}
    names = ("exch_ns", "order_id", "tick", "qty", "maker")
    fills = [tuple(int(row[name]) for name in names) for row in session.drain_fills()]
    return [(at, theirs[number], tick, qty, maker) for at, number, tick, qty, maker in fills], session


def _play(case: Case, codes: list[int]) -> tuple[Session, dict[int, int]]:
    set_ = case.settings
    table = None
    if len(set_.latency):
        table = LatencyTable(*(tuple(int(v) for v in column) for column in set_.latency.T))
    params = SimParams(
        profile="hftbacktest-partial" if set_.partial else "hftbacktest",
        entry_ns=0 if table else set_.entry_ns,
        response_ns=0 if table else set_.response_ns,
        latency=table,
        queue=set_.queue,
        queue_power=int(set_.power),
        max_orders=1024,
        max_requests=4096,
        max_responses=8192,
    )
    session = Session(compile_depth_market(case.tape), params, log="fills", log_rows=8 * len(case.made) + 64)
    world = session.world
    start = int(case.tape.events["exch_ns"][0])
    kernel.reset_lanes(world, np.ones(1, np.bool_), np.array([start]), np.zeros(1, np.uint64))
    ids: dict[int, int] = {}  # theirs to ours
    for (at, number, tick, _, kind, side, type_, tif), lots, code in zip(case.made, case.lots, codes, strict=True):
        if code:
            continue
        kernel.advance(world, 0, at)
        slot = int(kernel.find_slot(world, 0, ids[number])) if kind in (CANCEL, MODIFY) else -1
        if kind == SUBMIT:
            made = kernel.submit(world, 0, side, tick, lots, _TIFS[tif] if type_ == LIMIT else MARKET, 0)
            assert made > 0
            ids[number] = made
        elif kind == CANCEL and slot >= 0:  # of an order that is over on our side there is nothing to cancel
            kernel.cancel(world, 0, slot)
        elif kind == MODIFY and slot >= 0:
            kernel.modify(world, 0, slot, tick, lots)
    kernel.advance(world, 0, case.end)
    raise_lane_error(session.state)
    return session, ids
