"""hftbacktest's side of `lobgym bench replay`. Runs inside `.venv-oracle`, without lobgym.

    python replay_peer.py TAPE.npz

TAPE holds `events` (columns as a tape has them, both stamps in one order) and `settings` (JSON as bytes). Says "ready"
once it has compiled; then each line that it reads, `cancel_all` or `keep_unchanged`, is one run, answered by a line of
JSON: seconds, and what the strategy ended with.

The strategy is a user's compiled function on the engine's fastest book, `ROIVectorMarketDepthBacktest`: every `step_ns`
a grid of `orders` post-only orders a side, `spacing` ticks apart and aligned to it, from the best price outwards.
`cancel_all` withdraws everything first; `keep_unchanged` leaves orders where the new grid wants one.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
from hftbacktest import (
    BUY_EVENT,
    EXCH_EVENT,
    LOCAL_EVENT,
    SELL_EVENT,
    BacktestAsset,
    ROIVectorMarketDepthBacktest,
)
from hftbacktest.types import event_dtype
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


def _events(rows, settings):
    """The engine's event table: depth 1, trades 2, clear 3, snapshot 4; the side's bit; both sides see every row."""
    events = np.zeros(len(rows), event_dtype)
    side = np.array([0, BUY_EVENT, SELL_EVENT], np.uint64)[rows["side"]]
    events["ev"] = rows["kind"].astype(np.uint64) | side | np.uint64(EXCH_EVENT | LOCAL_EVENT)
    events["exch_ts"], events["local_ts"] = rows["exch_ns"], rows["local_ns"]
    events["px"] = rows["price_ticks"] * settings["tick_size"]
    events["qty"] = rows["qty_lots"] / round(1 / settings["lot_size"])
    return events


def _build(events, settings):
    prices = events["px"][events["px"] > 0]
    middle = float(np.median(prices))
    asset = (
        BacktestAsset()
        .data([events])
        .linear_asset(1.0)
        .constant_order_latency(settings["order_ns"], settings["order_ns"])
        .power_prob_queue_model3(3.0)
        .no_partial_fill_exchange()
        .trading_value_fee_model(settings["maker_fee"], settings["taker_fee"])
        .tick_size(settings["tick_size"])
        .lot_size(settings["lot_size"])
        .roi_lb(round(0.9 * middle))
        .roi_ub(round(1.1 * middle))
        .last_trades_capacity(0)
    )
    return ROIVectorMarketDepthBacktest([asset])


def _run(events, settings, variant):
    hbt = _build(events, settings)
    begin = time.perf_counter()
    sent, cancels = _trade(
        hbt, variant == "keep_unchanged", settings["step_ns"], settings["orders"], settings["spacing"],
        settings["lots"] * settings["lot_size"], settings["tick_size"],
    )  # fmt: skip
    seconds = time.perf_counter() - begin
    values = hbt.state_values(0)
    out = {
        "seconds": seconds, "fills": int(values.num_trades), "position": float(values.position),
        "balance": float(values.balance), "fee": float(values.fee), "submits": int(sent), "cancels": int(cancels),
    }  # fmt: skip
    hbt.close()
    return out


def main(path: str) -> None:
    """Compile on a part of the rows, then run as often as asked."""
    with np.load(path, allow_pickle=False) as file:
        settings = json.loads(file["settings"].tobytes())
        events = _events(file["events"], settings)
    _run(events[:50_000], settings, "cancel_all")
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(_run(events, settings, line.strip())), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
