"""Which time is learnt from, which decides between what was learnt, and which is only judged."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lobgym.agents.errors import TrainError
from lobgym.sim.market import Market
from lobgym.sim.money import mark_value
from lobgym.sim.view import best_ask, best_bid, cursor_at

if TYPE_CHECKING:
    from lobgym.agents.earnhft.config import EarnHftConfig
    from lobgym.sim.desk_spec import DeskSpec

__all__ = ["BARS_MIN", "Parts", "Span", "limit_bps_units"]

BARS_MIN: Final = 16  # of a span whose trends are told: fewer are no series to filter
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
            TrainError: a part is not longer than the embargo behind it, a macro step and the fewest bars that can be
                told trends of.
        """
        embargo = max(config.embargo_ns, config.spec(market).layout.lookback_ns)
        span = market.end_ns - market.start_ns
        shares = [round(share * _PPM) for share in config.fractions]
        first = market.start_ns + span * shares[0] // _PPM
        second = market.start_ns + span * (shares[0] + shares[1]) // _PPM
        spans = [(market.start_ns, first - embargo), (first, second - embargo), (second, market.end_ns)]
        least = max(config.macro_steps * config.interval_ns, BARS_MIN * config.tournament.bar_ns)
        for name, (low, high) in zip(("training", "validation", "test"), spans, strict=True):
            if high - low <= least:
                raise TrainError(_too_short(market, config, name, span, embargo, least))
        train, validation, test = (Span(low, high) for low, high in spans)
        return cls(train, validation, test, embargo)


def _too_short(market: Market, config: EarnHftConfig, name: str, span: int, embargo: int, least: int) -> str:
    """What is said of a tape without room, and what to do: how long one would have to be, or what else to take."""
    shares = config.fractions
    wanted = max((embargo + least) / min(shares[:2]), least / shares[2]) / 1e9
    far = [
        column
        for column in dict.fromkeys((*config.columns, *config.router_columns))
        if config.spec_of(market, (column,)).layout.lookback_ns == embargo > config.embargo_ns
    ]
    why = f"as far back as {', '.join(far)} looks" if far else "embargo_ns"
    other = "" if config.profile == "short" else "the profile short, which is made for recordings of minutes, "
    return (
        f"the {name} part of a tape of {span / 1e9:g} s has no room for {least / 1e9:g} s (a macro step, or the fewest "
        f"bars that have trends) and the embargo of {embargo / 1e9:g} s behind it ({why}): take a tape of more than "
        f"{math.ceil(wanted)} s, {other}other fractions, or columns that look back less far"
    )


def limit_bps_units(market: Market, spec: DeskSpec, parts: Parts) -> float:
    """Money units of a basis point of the position limit's value at the first mid of the training part.

    Rewards of every stage are counted in it: one constant for a market, known before anything is learnt.
    """
    book = market.local_view[0]
    cursor = cursor_at(book, parts.train.low_ns)
    mid2 = int(best_bid(book, cursor) + best_ask(book, cursor))
    return abs(int(mark_value(market.economics(), spec.position_lots_max, mid2))) / _BPS
