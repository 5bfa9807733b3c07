"""Which time is learnt from, which decides between what was learnt, and which is only judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lobgym.agents.errors import TrainError
from lobgym.sim.market import Market
from lobgym.sim.money import mark_value
from lobgym.sim.view import best_ask, best_bid, cursor_at

if TYPE_CHECKING:
    from lobgym.agents.earnhft.config import EarnHftConfig
    from lobgym.sim.desk_spec import DeskSpec

__all__ = ["Parts", "Span", "limit_bps_units"]

_PPM = 1_000_000
_BPS = 10_000.0


@dataclass(frozen=True)
class Span:
    """Time from `low_ns` to `high_ns`, nanoseconds; nothing in it touches what lies outside."""

    low_ns: int
    high_ns: int

    @property
    def length_ns(self) -> int:
        """How long it is, nanoseconds."""
        return self.high_ns - self.low_ns

    @property
    def bounds(self) -> tuple[int, int]:
        """As an environment's `split` takes it."""
        return self.low_ns, self.high_ns


@dataclass(frozen=True)
class Parts:
    """A tape's three parts in the order of time, each followed by an embargo that belongs to none.

    Attributes:
        embargo_ns: the longer of what was asked for and how far back an observation looks, so that nothing seen in one
            part is still seen in the next.
    """

    train: Span
    validation: Span
    test: Span
    embargo_ns: int

    @classmethod
    def of(cls, market: Market, config: EarnHftConfig) -> Parts:
        """Cut a tape by `config.fractions`.

        Raises:
            TrainError: a part is not longer than the embargo behind it and a macro step.
        """
        embargo = max(config.embargo_ns, config.spec(market).layout.lookback_ns)
        span = market.end_ns - market.start_ns
        shares = [round(share * _PPM) for share in config.fractions]
        first = market.start_ns + span * shares[0] // _PPM
        second = market.start_ns + span * (shares[0] + shares[1]) // _PPM
        spans = [(market.start_ns, first - embargo), (first, second - embargo), (second, market.end_ns)]
        least = config.macro_steps * config.interval_ns
        for name, (low, high) in zip(("training", "validation", "test"), spans, strict=True):
            if high - low <= least:
                raise TrainError(
                    f"the {name} part of a tape of {span / 1e9:g} s has no room for the embargo of {embargo / 1e9:g} s "
                    f"behind it (as far as an observation looks back) and a macro step of {least / 1e9:g} s: take a "
                    "longer tape, other fractions, or columns that look back less far"
                )
        train, validation, test = (Span(low, high) for low, high in spans)
        return cls(train, validation, test, embargo)


def limit_bps_units(market: Market, spec: DeskSpec, parts: Parts) -> float:
    """Money units of a basis point of the position limit's value at the first mid of the training part.

    Rewards of every stage are counted in it: one constant for a market, known before anything is learnt.
    """
    book = market.local_view[0]
    cursor = cursor_at(book, parts.train.low_ns)
    mid2 = int(best_bid(book, cursor) + best_ask(book, cursor))
    return abs(int(mark_value(market.economics(), spec.position_lots_max, mid2))) / _BPS
