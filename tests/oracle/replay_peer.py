"""hftbacktest's side of `lobgym bench replay`. Runs inside `.venv-oracle`, without lobgym.

    python replay_peer.py CASE.npz

CASE holds `events` and `settings` (JSON as bytes: `variant`, `runs`, `step_ns`, `orders`, `spacing`, `qty`, sizes,
latencies, `roi`). Prints one line of JSON: seconds of each run, rows, and what the strategy ended with.

The strategy is a user's compiled function on the engine's fastest book, `ROIVectorMarketDepthBacktest`: every `step_ns`
a grid of `orders` post-only orders a side, `spacing` ticks apart and aligned to it, from the best price outwards.
`cancel_all` withdraws everything first; `keep_unchanged` leaves orders where the new grid wants one.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
from hftbacktest import BacktestAsset, ROIVectorMarketDepthBacktest
from numba import njit

GTX, LIMIT = 1, 0
NO_BID, NO_ASK = -(2**63), 2**63 - 1


@njit
def _trade(hbt, keep, step_ns, count, spacing, qty, tick_size):
    """Run to the end of the data. Returns (orders sent, cancels sent)."""
    sent = 0
    cancels = 0
    covered = np.zeros((2, count), np.bool_)
    while hbt.elapse(step_ns) == 0:
        hbt.clear_inactive_orders(0)
        depth = hbt.depth(0)
        bid = depth.best_bid_tick
        ask = depth.best_ask_tick
        if bid == NO_BID or ask == NO_ASK:
            continue
        top_bid = bid // spacing * spacing
        top_ask = -(-ask // spacing) * spacing
        covered[:] = False
        values = hbt.orders(0).values()
        while values.has_next():
            order = values.get()
            buy = order.side == 1
            rank = top_bid - order.price_tick if buy else order.price_tick - top_ask
            if keep and 0 <= rank < count * spacing and rank % spacing == 0:
                covered[0 if buy else 1, rank // spacing] = True
            elif order.cancellable:
                hbt.cancel(0, order.order_id, False)
                cancels += 1
        for k in range(count):
            if not covered[0, k]:
                sent += 1
                hbt.submit_buy_order(0, sent, (top_bid - k * spacing) * tick_size, qty, GTX, LIMIT, False)
            if not covered[1, k]:
                sent += 1
                hbt.submit_sell_order(0, sent, (top_ask + k * spacing) * tick_size, qty, GTX, LIMIT, False)
    return sent, cancels


def _build(events, settings):
    low, high = settings["roi"]
    asset = (
        BacktestAsset()
        .data([events])
        .linear_asset(1.0)
        .constant_order_latency(settings["entry_ns"], settings["response_ns"])
        .power_prob_queue_model3(3.0)
        .no_partial_fill_exchange()
        .trading_value_fee_model(settings["maker_fee"], settings["taker_fee"])
        .tick_size(settings["tick_size"])
        .lot_size(settings["lot_size"])
        .roi_lb(low)
        .roi_ub(high)
        .last_trades_capacity(0)
    )
    return ROIVectorMarketDepthBacktest([asset])


def main(path: str) -> None:
    """Time the runs and print what came of them."""
    with np.load(path, allow_pickle=False) as file:
        events, settings = file["events"], json.loads(file["settings"].tobytes())
    seconds = []
    for run in range(settings["runs"] + 1):
        # The first run compiles, and need not see everything for that.
        hbt = _build(events if run else events[:50_000], settings)
        begin = time.perf_counter()
        sent, cancels = _trade(
            hbt, settings["variant"] == "keep_unchanged", settings["step_ns"], settings["orders"], settings["spacing"],
            settings["qty"], settings["tick_size"],
        )  # fmt: skip
        if run:
            seconds.append(time.perf_counter() - begin)
        values = hbt.state_values(0)
        out = {
            "fills": int(values.num_trades), "position": float(values.position), "balance": float(values.balance),
            "fee": float(values.fee), "submits": int(sent), "cancels": int(cancels),
        }  # fmt: skip
        hbt.close()
    print(json.dumps({"seconds": seconds, "rows": len(events)} | out))


if __name__ == "__main__":
    main(sys.argv[1])
