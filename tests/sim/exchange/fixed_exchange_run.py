"""One short run of an exchange in which everything happens; printed as JSON, to be compared between processes."""

from __future__ import annotations

import json
from random import Random

import numpy as np

from lobgym.sim.exchange import Exchange
from lobgym.sim.latency import LatencyQuantiles
from lobgym.sim.params import SimParams
from lobgym.sim.records import BUY, GTC, IOC, SELL
from tests.sim.exchange.duel import MS, ROOMY, START_NS, random_acts
from tests.sim.exchange.scripted_flow import ScriptedFlow


def fixed_exchange(seed: int = 7) -> Exchange:
    """Made, and not yet run."""
    worth = 50_000 * 10_000
    params = SimParams(
        entry_ns=MS, response_ns=2 * MS, latency=LatencyQuantiles((0, MS, 5 * MS), (0, 2 * MS, 3 * MS)),
        capital=worth, margin_tiers=((0, 50_000, 25_000),), **ROOMY,
    )  # fmt: skip
    return Exchange(
        members=2, flow=ScriptedFlow(random_acts(Random(3), 400, 50_000, MS)), params=params, seed=seed,
        start_ns=START_NS, start_tick=50_000, width=4096, record="all", depth_every_ns=20 * MS,
        mark_every_ns=50 * MS, funding_every_ns=100 * MS, log="full", log_rows=4096,
        schedule=((START_NS + 100 * MS, 0, 2, 0), (START_NS + 140 * MS, 0, 0, 0), (START_NS + 170 * MS, 1, 1, 0),
                  (START_NS + 190 * MS, 1, 0, 0), (START_NS + 200 * MS, 3, MS, 0)),
    )  # fmt: skip


def drive(exchange: Exchange, steps: int = 30, first: int = 0) -> None:
    """Members that send the same whatever happens."""
    for k in range(first, first + steps):
        for member in range(exchange.members):
            side = BUY if (k + member) % 2 else SELL
            order = exchange.submit(member, side, 50_000 + (k * 7 + member) % 5 - 2, 1 + k % 4, IOC if k % 3 else GTC)
            if k % 5 == 0:
                exchange.cancel(member, order)
        exchange.advance(exchange.now_ns + 12 * MS)


def outcome(exchange: Exchange) -> dict[str, str]:
    """Digests of everything observable."""
    return {"run": exchange.run_digest(), "tape": exchange.tape().digest, "orders": exchange.order_tape().digest}


if __name__ == "__main__":
    with np.errstate(over="ignore"):
        made = fixed_exchange()
        drive(made)
        print(json.dumps(outcome(made)))
