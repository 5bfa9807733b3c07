"""The market that reacts: one price-time book that members and a background flow trade in."""

from __future__ import annotations

from lobgym.sim.exchange.exchange import RECORDS, START_NS, Exchange, ExchangeSnapshot, Flow
from lobgym.sim.exchange.places import NOT_RESTING, true_places
from lobgym.sim.exchange.state import FeedLatency

__all__ = ["NOT_RESTING", "RECORDS", "START_NS", "Exchange", "ExchangeSnapshot", "FeedLatency", "Flow", "true_places"]
