"""The clock and the order of a recording: which message happened first, and when it was seen.

Messages with update ids (depth, snapshot, best quotes) are ordered by id, and their stamps must not go back along
the ids. Prints and mark prices, which have no update id, are merged in by stamp: at an equal stamp a print comes
before every quote and depth message (measured, docs/decisions/0004), and the order of receipt decides the rest.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from lobgym.sim import records as rec

__all__ = ["Clock", "by_update_id", "measure_clock", "order_messages", "tame_stamps"]

_NEVER: Final = np.int64(2**62)
# Within one update id: a best quote shows the book before the depth message that ends at that id is complete, and a
# snapshot with that id is what the message builds on.
_RANK: Final = {rec.BBO: 0, rec.CLEAR: 1, rec.SNAPSHOT: 2, rec.DEPTH: 3}


class Clock(NamedTuple):
    """How the receiver's clock stood to the exchange's, in nanoseconds; `correction_ns` was added to receive stamps."""

    receive_minus_exchange_min_ns: int
    base_latency_ns: int
    correction_ns: int


def measure_clock(recv_ns: Any, stamp_ns: Any, base_latency_ns: int) -> Clock:
    """Correction by which the fastest stamped message takes exactly the base latency."""
    stamped = stamp_ns > 0
    fastest = int((recv_ns - stamp_ns)[stamped].min()) if stamped.any() else base_latency_ns
    return Clock(fastest, base_latency_ns, base_latency_ns - fastest)


def by_update_id(kind: Any, seq: Any) -> Any:
    """Indices of the messages that have update ids, in their order; `kind` and `seq` are in order of receipt."""
    rank = np.full(len(kind), -1, dtype=np.int64)
    for one, value in _RANK.items():
        rank[kind == one] = value
    having = np.flatnonzero(rank >= 0)
    return having[np.lexsort((rank[having], seq[having]))]


def tame_stamps(stamp_ns: Any, guess_ns: Any) -> tuple[Any, int, int]:
    """Stamps that never go back, for messages in order of update id.

    A stamp that goes back is raised to the newest before it; a missing one (0) becomes its guess, held between its
    stamped neighbours. Returns the stamps, how many were raised, and how many guesses were held.
    """
    known = stamp_ns > 0
    low = np.maximum.accumulate(np.where(known, stamp_ns, 0))
    high = np.minimum.accumulate(np.where(known, low, _NEVER)[::-1])[::-1]
    guess = np.clip(guess_ns, low, high)
    out = np.maximum.accumulate(np.where(known, low, guess))
    return out, int((low > stamp_ns)[known].sum()), int((guess != guess_ns)[~known].sum())


def order_messages(kind: Any, stamp_ns: Any, chain: Any) -> Any:
    """Exchange order of all messages, as indices in order of receipt.

    `stamp_ns` is final; `chain` is the order of those with update ids (`by_update_id`). At an equal stamp prints come
    first, and mark prices by order of receipt.
    """
    others = np.flatnonzero(~np.isin(kind, list(_RANK)))
    others = others[np.argsort(stamp_ns[others], kind="stable")]
    chain_stamp = stamp_ns[chain]
    place = np.searchsorted(chain_stamp, stamp_ns[others], side="left")
    end = np.searchsorted(chain_stamp, stamp_ns[others], side="right")
    for i in np.flatnonzero((place < end) & (kind[others] != rec.TRADE)):
        while place[i] < end[i] and chain[place[i]] < others[i]:
            place[i] += 1
    # Sort keys: a merged message at place p comes before the chain's p-th; among equals, the order they have.
    where = np.concatenate([place, np.arange(len(chain))])
    second = np.concatenate([np.zeros(len(others), np.int64), np.ones(len(chain), np.int64)])
    third = np.concatenate([np.arange(len(others)), np.arange(len(chain))])
    return np.concatenate([others, chain])[np.lexsort((third, second, where))]
