"""Runs hftbacktest over prepared cases and writes down what it did. Runs inside `.venv-oracle`, without lobgym.

    python driver.py CASE.npz ...      writes CASE.out.npz beside each

A case holds `events` (hftbacktest's event table), `requests` (REQUEST), `stops` (int64 stamps at which the account and
the best prices are noted), `latency` (int64[rows, 4]: sent, at the exchange, answered, 0; no rows: constant) and
`settings` (JSON as bytes). The answer holds `answers` (ANSWER: every change of an order as the local side saw it),
`codes` (what each call returned), `states` (STATE, one a stop) and `end` (last code, clock at the end).

Every answer that arrives at a stamp of its own is seen; of several for one order at one stamp only the last one is.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from hftbacktest import BacktestAsset, HashMapMarketDepthBacktest
from numba import njit

REQUEST = np.dtype(
    [("at", "i8"), ("id", "i8"), ("tick", "i8"), ("qty", "f8"), ("kind", "i1"), ("side", "i1"), ("type", "u1"),
     ("tif", "u1")]
)  # fmt: skip
ANSWER = np.dtype(
    [("seen", "i8"), ("id", "i8"), ("exch", "i8"), ("tick", "i8"), ("exec_tick", "i8"), ("qty", "f8"), ("leaves", "f8"),
     ("exec_qty", "f8"), ("status", "u1"), ("req", "u1"), ("maker", "u1")]
)  # fmt: skip
STATE = np.dtype(
    [("at", "i8"), ("position", "f8"), ("balance", "f8"), ("fee", "f8"), ("trades", "i8"), ("volume", "f8"),
     ("value", "f8"), ("bid", "i8"), ("ask", "i8"), ("bid_qty", "f8"), ("ask_qty", "f8")]
)  # fmt: skip

_SUBMIT, _CANCEL, _MODIFY, _FORGET = 1, 2, 3, 4  # kinds of a request; FORGET drops ended orders from the local table
_DATA_END, _FED, _ANSWERED = 1, 2, 3
_FIRST_ERROR = 10


@njit
def _changed(order, row):
    return (
        order["exch_timestamp"] != row["exch"]
        or order["status"] != row["status"]
        or order["req"] != row["req"]
        or order["leaves_qty"] != row["leaves"]
        or order["exec_qty"] != row["exec_qty"]
        or order["exec_price_tick"] != row["exec_tick"]
        or order["price_tick"] != row["tick"]
        or order["qty"] != row["qty"]
    )


@njit
def _note(order, row, seen):
    row["seen"] = seen
    row["id"] = order["order_id"]
    row["exch"] = order["exch_timestamp"]
    row["tick"] = order["price_tick"]
    row["exec_tick"] = order["exec_price_tick"]
    row["qty"] = order["qty"]
    row["leaves"] = order["leaves_qty"]
    row["exec_qty"] = order["exec_qty"]
    row["status"] = order["status"]
    row["req"] = order["req"]
    row["maker"] = order["maker"]


@njit
def _scan(hbt, last, answers, written):
    """Write a row for every order that changed. Returns the rows written so far."""
    values = hbt.orders(0).values()
    while values.has_next():
        order = values.get().arr[0]
        row = last[order["order_id"]]
        if _changed(order, row):
            _note(order, row, hbt.current_timestamp)
            answers[written] = row
            written += 1
    return written


@njit
def _go(hbt, until, last, answers, written):
    """Advance to `until`, writing each answer. Returns (last code, rows written so far)."""
    while True:
        code = hbt.wait_next_feed(True, until - hbt.current_timestamp)
        if code == _ANSWERED or code == _DATA_END:
            written = _scan(hbt, last, answers, written)
        if code != _ANSWERED and code != _FED:
            return code, written


@njit
def _state(hbt, at, out):
    values = hbt.state_values(0)
    depth = hbt.depth(0)
    out["at"] = at
    out["position"] = values.position
    out["balance"] = values.balance
    out["fee"] = values.fee
    out["trades"] = values.num_trades
    out["volume"] = values.trading_volume
    out["value"] = values.trading_value
    out["bid"] = depth.best_bid_tick
    out["ask"] = depth.best_ask_tick
    out["bid_qty"] = depth.best_bid_qty
    out["ask_qty"] = depth.best_ask_qty


@njit
def _send(hbt, one, tick_size):
    if one["kind"] == _SUBMIT:
        price = one["tick"] * tick_size
        if one["side"] > 0:
            return hbt.submit_buy_order(0, one["id"], price, one["qty"], one["tif"], one["type"], False)
        return hbt.submit_sell_order(0, one["id"], price, one["qty"], one["tif"], one["type"], False)
    if one["kind"] == _CANCEL:
        return hbt.cancel(0, one["id"], False)
    if one["kind"] == _MODIFY:
        return hbt.modify(0, one["id"], one["tick"] * tick_size, one["qty"], False)
    hbt.clear_inactive_orders(0)
    return 0


@njit
def _play(hbt, requests, stops, end, tick_size, last, answers, codes, states):
    """The whole case. Returns (last code, rows of `answers`)."""
    written = 0
    stop = 0
    k = 0
    code = hbt.elapse(0)
    while code < _FIRST_ERROR:
        at = end
        if k < requests.shape[0]:
            at = min(at, requests[k]["at"])
        if stop < stops.shape[0]:
            at = min(at, stops[stop])
        code, written = _go(hbt, at, last, answers, written)
        if code >= _FIRST_ERROR or code == _DATA_END:
            break
        while stop < stops.shape[0] and stops[stop] == at:
            _state(hbt, at, states[stop])
            stop += 1
        while k < requests.shape[0] and requests[k]["at"] == at:
            codes[k] = _send(hbt, requests[k], tick_size)
            if codes[k] == 0 and requests[k]["kind"] != _FORGET:
                order = hbt.orders(0).get(np.uint64(requests[k]["id"]))
                if order is not None:
                    _note(order.arr[0], last[requests[k]["id"]], at)  # what the request itself changes is no answer
            k += 1
        if at == end:
            break
    while stop < stops.shape[0]:
        _state(hbt, hbt.current_timestamp, states[stop])
        stop += 1
    return code, written


def _asset(case, settings):
    asset = BacktestAsset().data([case["events"]])
    contract = settings["contract_size"]
    asset = asset.inverse_asset(contract) if settings["inverse"] else asset.linear_asset(contract)
    if len(case["latency"]):
        rows = np.ascontiguousarray(case["latency"])
        settings["_keep"] = rows  # the engine reads this memory
        asset = asset.intp_order_latency(rows)
    else:
        asset = asset.constant_order_latency(settings["entry_ns"], settings["response_ns"])
    name, power = settings["queue"], settings["power"]
    if name == "risk_averse":
        asset = asset.risk_adverse_queue_model()
    elif name == "log":
        asset = asset.log_prob_queue_model()
    elif name == "log2":
        asset = asset.log_prob_queue_model2()
    else:
        made = {"power": "power_prob_queue_model", "power2": "power_prob_queue_model2",
                "power3": "power_prob_queue_model3"}[name]  # fmt: skip
        asset = getattr(asset, made)(power)
    asset = asset.partial_fill_exchange() if settings["partial"] else asset.no_partial_fill_exchange()
    return (
        asset.trading_value_fee_model(settings["maker_fee"], settings["taker_fee"])
        .tick_size(settings["tick_size"])
        .lot_size(settings["lot_size"])
        .last_trades_capacity(0)
        .parallel_load(False)
    )


def run_case(path: Path) -> None:
    """Run one case and write its answer."""
    with np.load(path, allow_pickle=False) as file:
        case = {name: file[name] for name in file.files}
    settings = json.loads(case["settings"].tobytes())
    requests, stops = case["requests"].astype(REQUEST), case["stops"]
    hbt = HashMapMarketDepthBacktest([_asset(case, settings)])
    ids = int(requests["id"].max(initial=0)) + 1
    answers = np.zeros(4 * len(requests) + settings["answers"], ANSWER)
    codes = np.full(len(requests), -1, np.int64)
    states = np.zeros(len(stops), STATE)
    last = np.zeros(ids, ANSWER)
    code, written = _play(hbt, requests, stops, settings["end"], settings["tick_size"], last, answers, codes, states)
    end = np.array([code, hbt.current_timestamp], np.int64)
    np.savez(path.with_suffix(".out.npz"), answers=answers[:written], codes=codes, states=states, end=end)
    hbt.close()


if __name__ == "__main__":
    for name in sys.argv[1:]:
        run_case(Path(name))
