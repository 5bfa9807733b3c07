"""Random cases for the comparison: a tape, settings, and a script of requests that a random trader made up.

The trader runs inside the plain-Python model, so that it can quote around what it sees; what it asked for is then a
fixed script for any engine. Where the model knows that hftbacktest would stop with an error (an order filled exactly to
its last lot stays in its book and breaks it at the next touch), the trader cancels that order at once.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.tape import Tape
from tests.oracle.convert import base_qty, peer_events
from tests.oracle.reference_hft import (
    ENDED,
    GTC,
    LIMIT,
    MARKET,
    NO_ASK,
    NO_BID,
    NONE,
    PARTLY,
    PeerError,
    PeerModel,
    Settings,
)

__all__ = ["CANCEL", "FORGET", "MODIFY", "SUBMIT", "Case", "Trader", "differences", "engine_python", "make_case",
           "mended", "model_rows", "run_engine", "stop"]  # fmt: skip

REQUEST = np.dtype(
    [("at", "i8"), ("id", "i8"), ("tick", "i8"), ("qty", "f8"), ("kind", "i1"), ("side", "i1"), ("type", "u1"),
     ("tif", "u1")]
)  # fmt: skip
SUBMIT, CANCEL, MODIFY, FORGET = 1, 2, 3, 4
ROOT = Path(__file__).resolve().parents[2]
DRIVER = Path(__file__).with_name("driver.py")


@dataclass
class Case:
    """A script, the tape it was made on, and what the model says happens."""

    tape: Tape
    settings: Settings
    made: list[tuple[Any, ...]]  # rows of REQUEST
    codes: list[int]  # what each call returns
    states: list[tuple[Any, ...]]
    end: int
    model: PeerModel
    lots: list[int] = field(default_factory=list)  # of each request
    error: int = 0  # the engine's code, where it stops

    def ask(
        self, kind: int, number: int, side: int = 0, tick: int = 0, lots: int = 0, type_: int = 0, tif: int = 0
    ) -> None:
        """Make a request now, and keep it."""
        qty = float(base_qty(lots, self.tape.instrument))
        code = _ask(self.model, kind, number, side, tick, qty, type_, tif)
        self.made.append((self.model.now, number, tick, qty, kind, side, type_, tif))
        self.lots.append(lots)
        self.codes.append(code)


@dataclass(frozen=True)
class Trader:
    """How a random trader behaves: mean time between requests, share of each kind, sizes in lots."""

    every_ns: int = 20_000_000
    orders: int = 10
    max_lots: int = 40
    reach: int = 4  # ticks around its side's best at which it quotes
    takes: float = 0.15
    cancels: float = 0.2
    modifies: float = 0.2
    repeats: float = 0.0  # share of turns in which it asks, of an order partly filled, for what is left, where it is


def model_rows(tape: Tape, stamp: str) -> list[tuple[Any, ...]]:
    """Rows for the model: (stamp, kind, side, tick, qty, lots), in the order of a stamp."""
    events = tape.events[tape.local_order()] if stamp == "local_ns" else tape.events
    events = events[events["kind"] <= 4]
    qty = base_qty(events["qty_lots"], tape.instrument)
    columns = (events[stamp], events["kind"], events["side"], events["price_ticks"], qty, events["qty_lots"])
    return list(zip(*(column.tolist() for column in columns), strict=True))


def make_case(
    tape: Tape, settings: Settings, seed: int, trader: Trader | None = None, rows: tuple[Any, Any] | None = None
) -> Case:
    """Let a random trader act from the tape's start to shortly before its end."""
    trader = trader or Trader()
    rng = np.random.default_rng(seed)
    rows = rows or (model_rows(tape, "exch_ns"), model_rows(tape, "local_ns"))
    peer = PeerModel(settings, *rows)
    last = min(rows[0][-1][0], rows[1][-1][0])
    case = Case(tape, settings, [], [], [], 0, peer)
    case.end = last - max(1_000_000, (last - peer.now) // 100)
    try:
        peer.advance(peer.now)
        _trade(case, trader, rng)
        peer.advance(case.end)
        stop(case)
    except PeerError as error:
        case.error = error.args[0]
    peer.data = ([], [])  # hundreds of cases are kept for a while
    return case


def _trade(case: Case, trader: Trader, rng: np.random.Generator) -> None:
    peer, number = case.model, 0
    until = peer.now
    while True:
        until += 1 + int(rng.exponential(trader.every_ns))
        if until >= case.end:
            return
        peer.advance(until)
        while peer.alarm:
            number_done, peer.alarm = peer.alarm, 0
            case.ask(CANCEL, number_done)
            peer.advance(until)
        if rng.random() < 0.02:
            stop(case)
        number = _act(case, trader, rng, number)
        if rng.random() < 0.02:
            case.ask(FORGET, 0)


def mended(case: Case) -> tuple[PeerModel, list[int]]:
    """The same script in the model without the defects that ours does not share (`reference_hft`), and its codes."""
    rows = (model_rows(case.tape, "exch_ns"), model_rows(case.tape, "local_ns"))
    peer = PeerModel(case.settings, *rows, mended=True)
    codes = []
    for at, number, tick, qty, kind, side, type_, tif in case.made:
        peer.advance(at)
        codes.append(_ask(peer, kind, number, side, tick, qty, type_, tif))
    peer.advance(case.end)
    return peer, codes


def _ask(peer: PeerModel, kind: int, number: int, side: int, tick: int, qty: float, type_: int, tif: int) -> int:
    if kind == SUBMIT:
        return peer.submit(number, side, tick, qty, type_, tif)
    if kind == CANCEL:
        return peer.cancel(number)
    if kind == MODIFY:
        return peer.modify(number, tick, qty)
    return peer.forget()


def stop(case: Case) -> None:
    """Note the account and the local best prices, for a comparison."""
    one, depth, account = case.model, case.model.local_depth, case.model.account
    qtys = depth.bids.get(depth.bid, 0.0), depth.asks.get(depth.ask, 0.0)
    case.states.append(
        (one.now, account.position, account.balance, account.fee, account.trades, account.volume, account.value,
         depth.bid, depth.ask, *qtys)
    )  # fmt: skip


def _act(case: Case, trader: Trader, rng: np.random.Generator, number: int) -> int:
    """One random request."""
    peer = case.model
    open_ids = [k for k, order in peer.orders.items() if order.status not in ENDED and order.req == NONE]
    partly = [k for k in open_ids if peer.orders[k].status == PARTLY] if trader.repeats > 0.0 else []
    if partly and rng.random() < trader.repeats:
        one = peer.orders[int(rng.choice(partly))]
        case.ask(MODIFY, one.id, one.side, one.tick, max(1, round(one.leaves / peer.settings.lot_size)))
        return number
    dice = rng.random()
    if open_ids and dice < trader.cancels:
        case.ask(CANCEL, int(rng.choice(open_ids)))
    elif open_ids and dice < trader.cancels + trader.modifies:
        one = peer.orders[int(rng.choice(open_ids))]
        left = round(one.leaves / peer.settings.lot_size)
        tick = one.tick + (int(rng.integers(-2, 3)) if rng.random() < 0.5 else 0)
        case.ask(MODIFY, one.id, one.side, tick, max(1, left + int(rng.integers(-3, 4))))
    elif len(open_ids) < trader.orders:
        number += 1
        side = 1 if rng.random() < 0.5 else -1
        best = peer.local_depth.bid if side > 0 else peer.local_depth.ask
        other = peer.local_depth.ask if side > 0 else peer.local_depth.bid
        takes = rng.random() < trader.takes
        base = other if takes else best
        if base in (NO_BID, NO_ASK):
            return number
        tick = base + side * int(rng.integers(-1, 3) if takes else rng.integers(-trader.reach, 2))
        tif = int(rng.choice([0, 1, 2, 3])) if takes else int(rng.choice([0, 0, 0, 1, 1, 2, 3]))
        kind = MARKET if takes and rng.random() < 0.2 else LIMIT
        lots = 1 + int(trader.max_lots ** rng.random()) if rng.random() < 0.9 else 20 * trader.max_lots
        case.ask(SUBMIT, number, side, max(tick, 1), lots, kind, GTC if kind == MARKET else tif)
    return number


# -- the engine --------------------------------------------------------------------------------------------------------


def engine_python() -> Path | None:
    """The interpreter of `make oracle`'s environment ($LOBGYM_ORACLE_PYTHON names another), or None."""
    path = Path(os.environ.get("LOBGYM_ORACLE_PYTHON", ROOT / ".venv-oracle" / "bin" / "python"))
    return path if path.exists() else None


def run_engine(cases: list[Case], folder: Path) -> list[dict[str, NDArray[Any]]]:
    """What hftbacktest does in each case: the arrays of `driver.py`'s answer."""
    paths = []
    for k, case in enumerate(cases):
        settings = asdict(case.settings)
        latency = settings.pop("latency")
        settings |= {"end": case.end, "answers": 1024 + 4 * len(case.model.answers)}
        arrays = {
            "events": peer_events(case.tape),
            "requests": np.array(case.made, REQUEST),
            "stops": np.array([state[0] for state in case.states], np.int64),
            "latency": np.c_[latency, np.zeros((len(latency), 4 - latency.shape[1]), np.int64)],
            "settings": np.frombuffer(json.dumps(settings).encode(), np.uint8),
        }
        paths.append(folder / f"case{k}.npz")
        np.savez(paths[-1], **arrays)
    command = [str(engine_python()), str(DRIVER), *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    out = []
    for path in paths:
        with np.load(path.with_suffix(".out.npz"), allow_pickle=False) as file:
            out.append({name: file[name] for name in file.files})
    return out


def differences(case: Case, engine: dict[str, NDArray[Any]]) -> list[str]:
    """Where the engine and the model disagree; nothing, one hopes.

    Answers, codes, prices and counts are compared bit for bit. So is money, unless several answers had one stamp: the
    engine adds those up in a random order.
    """
    found = []
    if int(engine["end"][0]) != case.error:
        found.append(f"last code {engine['end'][0]}, the model says {case.error}")
    theirs = [tuple(row.item()) for row in engine["answers"]]
    for k, (a, b) in enumerate(zip(_sorted(case.model.answers), _sorted(theirs), strict=False)):
        if a != b:
            found.append(f"answer {k}: engine {b}, model {a}")
            break
    if len(theirs) != len(case.model.answers):
        found.append(f"{len(theirs)} answers, the model has {len(case.model.answers)}")
    codes = engine["codes"][: len(case.codes)].tolist()
    if codes != case.codes:
        found.append("codes differ")
    for ours, row in zip(case.states, engine["states"], strict=False):
        them = tuple(row.item())
        exact = ours[0] == them[0] and ours[4] == them[4] and ours[7:] == them[7:]
        money = all(abs(x - y) <= 1e-9 * max(1.0, abs(x)) for x, y in zip(ours[1:7], them[1:7], strict=True))
        if not (exact and money):
            found.append(f"state: engine {them}, model {ours}")
            break
    return found


def _sorted(answers: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return sorted(answers)
