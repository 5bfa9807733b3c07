"""A fixed script on a fixed tape; prints its digests. Run in processes of its own by `test_determinism.py`."""

from __future__ import annotations

import hashlib
import json

import numpy as np

from lobgym.sim.market import Market
from lobgym.sim.params import SimParams
from lobgym.sim.records import BUY, SELL
from lobgym.sim.session import Session
from lobgym.sim.synthetic import synthetic_tape

STEP_NS = 40_000_000
LANES = 3


def fixed_run(minutes: float = 0.5) -> dict[str, str | int]:
    """Three lanes quote, take and cancel by a rule of integers; digests of tape, run and fills."""
    tape = synthetic_tape(seed=6, minutes=minutes)
    market = Market.compile(tape)
    session = Session(market, SimParams(entry_ns=3_000_000, response_ns=5_000_000), LANES, log="fills", log_rows=10_000)
    session.reset(seed=100)
    step = 0
    while session.t_ns() + STEP_NS <= session.end_ns:
        session.advance(session.t_ns() + STEP_NS)
        step += 1
        for lane in range(LANES):
            bid, ask = session.bests(lane)
            if bid is None or ask is None:
                continue
            for order in session.orders(lane)[:-2]:
                session.cancel(lane, int(order["id"]))
            side = BUY if (step + lane) % 2 else SELL
            near, far = (bid, ask) if side == BUY else (ask, bid)
            tick = far if step % 5 == lane else near - side * (step % 3)
            session.submit(lane, side, tick, 1 + step * 7 % 40, step % 3 if step % 5 == lane else 0)
    session.advance(session.end_ns)
    fills = session.drain_fills()
    return {
        "tape": tape.digest,
        "run": session.run_digest(),
        "fills": hashlib.sha256(json.dumps(fills.tolist()).encode()).hexdigest(),
        "count": len(fills),
    }


if __name__ == "__main__":
    with np.errstate(over="ignore"):  # without the compiler, wrapping integers are a warning of numpy's
        print(json.dumps(fixed_run()))
