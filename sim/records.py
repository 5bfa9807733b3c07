"""The records that flow through the market: events in, orders and fills out. Integers only.

Prices are `ticks`, quantities `lots`, times nanoseconds since the Unix epoch, money an integer count of
`Instrument.money_unit` (1e-8 of the quote currency; 1e-12 of the base currency for inverse contracts).
Constants are module-level integers because compiled kernels read them as literals.
"""

from __future__ import annotations

from typing import Final

import numpy as np

# -- sides -------------------------------------------------------------------------------------------------------
BUY: Final = 1
SELL: Final = -1

# -- event kinds on a tape (EVENT_DTYPE.kind) ---------------------------------------------------------------------
DEPTH: Final = 1  # level (side, price_ticks) now displays qty_lots; 0 removes it
TRADE: Final = 2  # a print; side is the aggressor's: SELL hit a bid, BUY lifted an ask
CLEAR: Final = 3  # every level is void (both sides); a snapshot follows, or the book is unknown
SNAPSHOT: Final = 4  # like DEPTH, part of the snapshot that follows a CLEAR
BBO: Final = 5  # best price and size of one side (bookTicker); a message is a bid row and an ask row
MARK: Final = 6  # mark price; qty_lots holds the price in 1e-8 quote units, price_ticks is 0
INDEX: Final = 7  # index price, likewise
FUNDING: Final = 8  # predicted funding rate in 1e-12 in qty_lots; seq holds the next funding time in ms
STATUS: Final = 9  # qty_lots 1: trading is halted from here on, 0: it goes on
REGIME: Final = 10  # qty_lots: state of the generator that made the tape; no venue says it, no observation shows it

# -- event flags ---------------------------------------------------------------------------------------------------
LAST: Final = 1  # the last row of its message; between rows of one message the book is not observable

# Not aligned: a day of a busy market is 90 million rows, and five bytes of padding in each would be 450 MB.
EVENT_DTYPE: Final = np.dtype(
    [
        ("exch_ns", np.int64),  # exchange stamp
        ("local_ns", np.int64),  # receive stamp, clock offset already corrected
        ("seq", np.int64),  # venue's update id (DEPTH, BBO, SNAPSHOT) or trade id (TRADE); 0 where there is none
        ("price_ticks", np.int64),
        ("qty_lots", np.int64),
        ("kind", np.uint8),
        ("side", np.int8),
        ("flags", np.uint8),
    ],
)

# -- time in force -------------------------------------------------------------------------------------------------
GTC: Final = 0  # rests until cancelled
GTX: Final = 1  # post-only: expires instead of taking
IOC: Final = 2  # takes what it can at once, the rest expires
FOK: Final = 3  # takes all of it at once, or nothing
MARKET: Final = 4  # like IOC, its limit a price band around the opposite best at arrival

# -- order states (ORDER_DTYPE.state at the exchange, .view_state as the lane knows it) ---------------------------
FREE: Final = 0  # the slot holds no order
SENT: Final = 1  # on its way to the exchange
LIVE: Final = 2  # resting
DONE: Final = 3  # filled, cancelled, expired or rejected

# Two cache lines; the first is what matching reads.
ORDER_DTYPE: Final = np.dtype(
    [
        ("tick", np.int64),  # at the exchange
        ("leaves", np.int64),  # lots left, at the exchange
        ("rank", np.int64),  # orders of one price by it: when it came to stand there
        # The queue before it, as of row `sync` (`lobgym.sim.front`); brought up to date only when something asks.
        ("front", np.int64),  # displayed quantity ahead, in 2^-20 lots
        ("printed", np.int64),  # lots printed at this tick since its level last changed
        # Of a free slot: the next free one, -1 at the end. Under l3_fifo: entries of single orders before it came.
        ("sync", np.int32),
        ("touch", np.int32),  # the next of its level's touches to apply
        ("level", np.int32),  # level id, -1 where no event ever touched that price
        ("queue_state", np.int8),  # QUEUE_*
        ("shared", np.int8),  # 1 if another own order has stood at this price with it
        ("side", np.int8),
        ("state", np.int8),
        ("tif", np.int8),
        ("reduce_only", np.int8),
        ("view_state", np.int8),
        ("cancel_sent", np.int8),  # 1 while a cancel is on its way
        ("modifies_sent", np.int32),  # how many modifies are on their way
        ("id", np.int64),  # 1, 2, ... per lane, never reused
        ("qty", np.int64),  # lots asked for
        ("view_tick", np.int64),  # price and lots left, as the lane knows them
        ("view_leaves", np.int64),
        ("submit_ns", np.int64),
        ("arrive_ns", np.int64),  # when it reached the exchange; 0 before
        ("front_units", np.float64),  # `front` and `printed` in base units, compatibility profiles
        ("printed_units", np.float64),
    ],
    align=True,
)

QUEUE_UNSEEN: Final = 0  # the front is whatever the level displayed at row `sync`
QUEUE_FRONT: Final = 1  # the front is right as of row `sync`; the level has not been looked up
QUEUE_SYNCED: Final = 2  # front, level and touch are right as of row `sync`

# A change of what one order of an order tape has left at one price (`lobgym.sim.order_queues`).
QUEUE_ENTRY_DTYPE: Final = np.dtype([
    ("ns", np.int64),  # exchange stamp
    ("born", np.int64),  # entry with which its order came to this price; -1: before the tape began
    ("change", np.int64),  # of what that order has left, in 2^-20 lots
    ("total", np.int64),  # what all orders have left there after it, in 2^-20 lots
])  # fmt: skip

# -- messages from a lane to the exchange ---------------------------------------------------------------------------
REQ_SUBMIT: Final = 1
REQ_CANCEL: Final = 2
REQ_MODIFY: Final = 3

REQUEST_DTYPE: Final = np.dtype(
    [
        ("due_ns", np.int64),  # when it reaches the exchange
        ("tick", np.int64),  # of a MODIFY
        ("qty", np.int64),  # of a MODIFY
        ("leaves", np.int64),  # of the order, as its sender knew it
        ("slot", np.int32),
        ("kind", np.int8),
    ],
    align=True,
)

# -- messages from the exchange to a lane -----------------------------------------------------------------------------
ACK: Final = 1  # the order rests
FILL: Final = 2
CANCELLED: Final = 3
EXPIRED: Final = 4  # what an IOC could not take, a GTX that would have taken
REJECTED: Final = 5
CANCEL_REJECTED: Final = 6  # the order was already done
MODIFIED: Final = 7  # the order now stands as asked
MODIFY_REJECTED: Final = 8  # it stays as it was, or was already done
FUNDED: Final = 9  # a funding payment was settled

# A cache line.
RESPONSE_DTYPE: Final = np.dtype(
    [
        ("due_ns", np.int64),  # when the lane sees it
        ("tick", np.int64),  # of a FILL, an ACK, a MODIFIED
        ("qty", np.int64),  # of a FILL; of an ACK and a MODIFIED the lots that rest
        ("leaves", np.int64),  # of the order, at the exchange, after it
        ("cash", np.int64),  # signed change of cash, fee not included
        ("fee", np.int64),  # paid by the lane; negative is a rebate
        ("slot", np.int32),  # -1: the venue's own doing (liquidation, funding)
        ("kind", np.int8),
        ("side", np.int8),
        ("maker", np.int8),
        ("reason", np.int8),
        ("request", np.int8),  # REQ_MODIFY where a modify ended the order, else 0
    ],
    align=True,
)

# -- reasons: why the exchange or the risk check said no ---------------------------------------------------------------
OK: Final = 0
UNKNOWN_LEVEL: Final = 1  # the price lies outside the recorded depth
WOULD_TAKE: Final = 2  # GTX that would have taken liquidity
NOTHING_TO_TAKE: Final = 3  # IOC: nothing, or nothing more, within the limit
ALREADY_DONE: Final = 4
NO_BOOK: Final = 5  # a side of the book is empty: no reference price
REDUCE_ONLY: Final = 6  # it would not have reduced the position
SELF_TRADE: Final = 7  # it would have met an own order
RATE_LIMIT: Final = 8  # more requests in the venue's window than it allows
HALTED: Final = 9  # the venue takes no orders
RISK_POSITION: Final = 10
RISK_ORDER_QTY: Final = 11
RISK_NOTIONAL: Final = 12
RISK_PRICE_BAND: Final = 13
RISK_STALE_BOOK: Final = 14
RISK_SPREAD: Final = 15
RISK_OPEN_ORDERS: Final = 16
RISK_ORDER_RATE: Final = 17
MARGIN: Final = 18  # not enough equity for the initial margin
LIQUIDATED: Final = 19  # the venue closes the position
CANNOT_FILL: Final = 20  # FOK: not all of it was there
LOST: Final = 21  # the request never reached the exchange

REASON_NAMES: Final = {
    OK: "ok",
    UNKNOWN_LEVEL: "unknown_level",
    WOULD_TAKE: "would_take",
    NOTHING_TO_TAKE: "nothing_to_take",
    ALREADY_DONE: "already_done",
    NO_BOOK: "no_book",
    REDUCE_ONLY: "reduce_only",
    SELF_TRADE: "self_trade",
    RATE_LIMIT: "rate_limit",
    HALTED: "halted",
    RISK_POSITION: "risk_position",
    RISK_ORDER_QTY: "risk_order_qty",
    RISK_NOTIONAL: "risk_notional",
    RISK_PRICE_BAND: "risk_price_band",
    RISK_STALE_BOOK: "risk_stale_book",
    RISK_SPREAD: "risk_spread",
    RISK_OPEN_ORDERS: "risk_open_orders",
    RISK_ORDER_RATE: "risk_order_rate",
    MARGIN: "margin",
    LIQUIDATED: "liquidated",
    CANNOT_FILL: "cannot_fill",
    LOST: "lost",
}

# -- a row of the fill log ------------------------------------------------------------------------------------------
FILL_DTYPE: Final = np.dtype(
    [
        ("exch_ns", np.int64),
        ("seen_ns", np.int64),  # when the lane learns of it
        ("order_id", np.int64),  # 0: the venue closed the position
        ("tick", np.int64),
        ("qty", np.int64),
        ("cash", np.int64),
        ("fee", np.int64),
        ("submit_ns", np.int64),
        ("lane", np.int32),
        ("side", np.int8),
        ("maker", np.int8),
    ],
    align=True,
)

# -- a row of the event log: every request as it is sent, every answer as it is given --------------------------------
LOG_OFF: Final = 0
LOG_FILLS: Final = 1
LOG_FULL: Final = 2

SENT_SUBMIT: Final = 21  # LOG_DTYPE.kind is one of these, or an answer's kind
SENT_CANCEL: Final = 22
SENT_MODIFY: Final = 23

LOG_DTYPE: Final = np.dtype(
    [
        ("ns", np.int64),  # sent: the lane's clock; answers: the exchange's stamp
        ("seen_ns", np.int64),  # sent: when it arrives; answers: when the lane learns of it
        ("order_id", np.int64),  # 0: the venue's own doing
        ("tick", np.int64),
        ("qty", np.int64),
        ("cash", np.int64),
        ("fee", np.int64),
        ("submit_ns", np.int64),  # of the order
        ("lane", np.int32),
        ("kind", np.int8),
        ("reason", np.int8),
        ("side", np.int8),
        ("maker", np.int8),
        ("tif", np.int8),
    ],
    align=True,
)

# -- a lane: its clock, its parameters, its account at the exchange and as it knows it --------------------------------
LANE_DTYPE: Final = np.dtype(
    [
        ("t_ns", np.int64),
        ("exch_cursor", np.int64),  # rows of Market.exch already applied
        ("local_cursor", np.int64),  # rows of Market.local already seen
        ("exch_stamp", np.int64),  # how many different stamps those rows have
        ("local_stamp", np.int64),
        ("error", np.int64),  # 0, or one of ERR_*: the lane stopped
        ("digest", np.uint64),  # running digest of every response the exchange gave
        ("next_id", np.int64),
        ("next_rank", np.int64),
        # rings and tables
        ("request_head", np.int64),
        ("request_count", np.int64),
        ("request_due", np.int64),  # arrival of the last request: the way there is first in, first out
        ("response_head", np.int64),
        ("response_count", np.int64),
        ("response_due", np.int64),  # likewise, the way back
        ("slot_count", np.int64),  # one past the highest order slot in use
        ("slots_used", np.int64),
        ("free_slot", np.int64),  # head of the list of free slots below slot_count, -1
        ("spent_count", np.int64),
        # resting orders: how many, and bounds that hold them (never too narrow, at times too wide)
        ("live_orders", np.int64),
        ("bid_high", np.int64),
        ("ask_low", np.int64),
        ("bid_mask", np.uint64),  # bit (tick mod 64) of every price at which an own bid may rest
        ("ask_mask", np.uint64),
        ("open_bid", np.int64),  # lots of resting bids
        ("open_ask", np.int64),
        # places in the exchange book's lists, right for row `list_cursor`
        ("list_cursor", np.int64),
        ("bid_at", np.int64),
        ("ask_at", np.int64),
        ("print_at", np.int64),
        # prices that the book's current epoch knows; right for rows up to `known_until`
        ("known_low", np.int64),
        ("known_high", np.int64),
        ("known_until", np.int64),
        # the venue's own calendar (`lobgym.sim.timeline`)
        ("check_ns", np.int64),  # the next stamp at which something is due to the account
        # parameters, per lane so that domain randomisation costs nothing
        ("seed", np.uint64),
        ("entry_ns", np.int64),  # lane -> exchange
        ("response_ns", np.int64),  # exchange -> lane
        ("feed_delay_ns", np.int64),
        ("feed_jitter_ns", np.int64),
        ("maker_fee_ppb", np.int64),
        ("taker_fee_ppb", np.int64),
        ("fee_tier_at", np.int64),  # turnover from which the next fee tier holds
        ("queue_model", np.int64),
        ("queue_power", np.int64),
        ("capital", np.int64),
        # account at the exchange: the truth
        ("position", np.int64),  # lots
        ("cash", np.int64),  # money, fees not included
        ("fees", np.int64),  # money paid, net of rebates
        ("funding", np.int64),  # money paid
        ("open_cost", np.int64),  # cash paid for what is held
        ("realised", np.int64),  # cash + open_cost
        # account as the lane knows it
        ("view_position", np.int64),
        ("view_cash", np.int64),
        ("view_fees", np.int64),
        ("view_funding", np.int64),
        ("view_entry_ns", np.int64),  # when it learned that its position had left 0 or changed sides
        ("view_fill_ns", np.int64),  # when it learned of its last fill; 0 before the first
        # counts since reset
        ("requests_sent", np.int64),
        ("answers_given", np.int64),
        ("rate_window", np.int64),  # the venue's window that `rate_count` counts in
        ("rate_count", np.int64),
        ("submits", np.int64),
        ("cancels", np.int64),
        ("modifies", np.int64),
        ("rejects", np.int64),  # rejected or expired without any fill
        ("fills", np.int64),
        ("maker_fills", np.int64),
        ("filled_lots", np.int64),
        ("filled_orders", np.int64),  # orders that had at least one fill
        ("first_fill_wait_ns", np.int64),  # sum over those orders of first fill - arrival
        ("turnover", np.int64),  # sum of |cash|
        ("liquidations", np.int64),
        ("deficit", np.int64),  # the most money owed beyond the capital when the venue had closed the position
    ],
    align=True,
)

ERR_REQUESTS_FULL: Final = 1
ERR_RESPONSES_FULL: Final = 2
ERR_SPENT_FULL: Final = 3
ERR_LOG_FULL: Final = 4
ERR_LEDGER: Final = 5

# Depth that a lane itself consumed (semantics 6.6): what is left of a level for this lane.
SPENT_DTYPE: Final = np.dtype([("avail", np.int64), ("cursor", np.int64), ("level", np.int32)], align=True)
