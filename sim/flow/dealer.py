"""`DealerFlow`: two markets whose answer is known beforehand, one where nothing can be earned and one where it can.

**Martingale** (after Glosten and Milgrom, 1985). A dealer knows what everybody knows and quotes around the expected
value m, bid m - h, ask m + h, in whole ticks. Anonymous traders arrive at Poisson times and buy or sell with
probability 1/2 each, whatever has happened. After a buy the value is the ask just paid, m + h = E[value | a buy], after
a sale m - h: the dealer's quotes earn nothing, in expectation and in fact. Public news moves m by h (or a random
multiple), up or down equally likely, without a trade. All quotes move in the same instant as m. Sizes of quotes and
of trades are drawn independently of everything, those of the best quotes anew now and then, so that queues move.
Nothing on the tape says where m goes next: m is a martingale for everybody.

What a trader on the tape earns before fees, at whatever latency, follows fill by fill, held against the value just
after the fill: takers pay h or more; an order that stood in the dealer's queue was filled at a print of its own price,
to which m then moved: 0; one inside the spread was traded through (m moved beyond it) or met by a quote that came
through it (m is h beyond it): a loss. Whatever is held between fills earns a martingale's change: 0 on average.

With `impact_ticks` below `half_spread_ticks` the dealer learns too little from each trade and makers earn the
difference: a planted edge, to show that a test of the martingale can fail.

**Planted alpha.** The same market with a hidden signal s: nothing for an exponential time of mean `rest_ns`, then up
or down, equally likely, for one of mean `stay_ns`, and so on. While s is not 0, m moves by s * `drift_ticks` at Poisson
times, besides all else: a drift of s * drift_ticks / drift_gap_ns. The sizes of the best quotes show s: both from
`lots` while s = 0; with a signal the one that the price will leave behind from `thick`, the other from `thin`. The
ranges give imbalances (`imbalance_1`) that never meet, so whoever sees the book knows s; REGIME rows state it.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from lobgym.sim.errors import ParamsError
from lobgym.sim.exchange.exchange import START_NS, Exchange
from lobgym.sim.exchange.state import FeedLatency
from lobgym.sim.flow.dealer_kernel import DEALER_DTYPE, DEALER_KIND
from lobgym.sim.instrument import SYNTH
from lobgym.sim.rng import stream_key
from lobgym.sim.tape import Tape

__all__ = [
    "DEALER_FEED",
    "REACTION_NS",
    "START_TICK",
    "STRENGTHS",
    "DealerFlow",
    "dealer_tape",
    "martingale_tape",
    "planted_alpha_tape",
]

START_TICK: Final = 600_000
STRENGTHS: Final = (0.25, 0.5, 1.0)
# Every stream equally late, so that no observer ever sees half of a re-quote.
DEALER_FEED: Final = FeedLatency((2_000_000,) * 4, (0,) * 4)
REACTION_NS: Final = 2_000_000 + 10_000_000  # the feed, and the default way to the exchange (`SimParams.entry_ns`)
WIDTH: Final = 1 << 19  # half of it is 44% of the price: no tape of days reaches that

_STREAM: Final = 22  # of the random numbers
_LEVELS_MAX: Final = 64
_GAP_MIN: Final = 1 << 10  # means count in steps of this many ns (`dealer_kernel`)
_GAP_MAX: Final = 1 << 40
_LOTS_MAX: Final = 1 << 32
_TICKS_MAX: Final = 1 << 20
_NS_PER_HOUR: Final = 3_600_000_000_000
_HOURS_MAX: Final = 48
_PPM: Final = 1_000_000
_PPB: Final = 1_000_000_000


@dataclass(frozen=True)
class DealerFlow:
    """A dealer's market; `martingale` and `planted_alpha` have the defaults.

    Attributes:
        half_spread_ticks: h, from value to best quote, and from each level to the next.
        impact_ticks: how far a trade moves the value; h makes it a martingale with makers that earn nothing.
        levels: quotes a side.
        trade_gap_ns: mean time between two trades.
        take_lots_max: a trade is for 1 to this many lots, equally likely, but never for more than the best quote.
        news_gap_ns: mean time between news; 0 for none.
        news_spreads_max: news move the value by 1 to this many h, equally likely; from 2 on they take orders that
            joined the dealer's quotes with them.
        sizes_gap_ns: mean time between new sizes of the best quotes, besides those that come with every move; 0: none.
        lots_min, lots_max: sizes of quotes.
        drift_ticks: a step of the drift; drift_gap_ns: mean time between two while there is a signal.
        stay_ns, rest_ns: mean length of a signal, and of the time between two; 0 for no signal ever.
        thin_min, thin_max, thick_min, thick_max: sizes of the best quotes while there is a signal.

    Raises:
        ParamsError: a value outside its range, or sizes that do not tell signal from none.
    """

    half_spread_ticks: int = 24
    impact_ticks: int = 24
    levels: int = 6
    trade_gap_ns: int = 2_000_000_000
    take_lots_max: int = 4_000
    news_gap_ns: int = 10_000_000_000
    news_spreads_max: int = 1
    sizes_gap_ns: int = 500_000_000
    lots_min: int = 1_500
    lots_max: int = 2_500
    drift_ticks: int = 0
    drift_gap_ns: int = 0
    stay_ns: int = 0
    rest_ns: int = 0
    thin_min: int = 500
    thin_max: int = 900
    thick_min: int = 2_000
    thick_max: int = 3_000

    def __post_init__(self) -> None:
        _within("half_spread_ticks", self.half_spread_ticks, 1, _TICKS_MAX)
        _within("impact_ticks", self.impact_ticks, 0, _TICKS_MAX)
        _within("levels", self.levels, 1, _LEVELS_MAX)
        _within("trade_gap_ns", self.trade_gap_ns, _GAP_MIN, _GAP_MAX)
        _within("take_lots_max", self.take_lots_max, 1, _LOTS_MAX)
        _within("news_spreads_max", self.news_spreads_max, 1, _TICKS_MAX)
        for low, high in (("lots_min", "lots_max"), ("thin_min", "thin_max"), ("thick_min", "thick_max")):
            _within(low, getattr(self, low), 1, _LOTS_MAX)
            _within(high, getattr(self, high), getattr(self, low), _LOTS_MAX)
        _within("drift_ticks", self.drift_ticks, 0, _TICKS_MAX)
        for name in ("news_gap_ns", "sizes_gap_ns", "drift_gap_ns", "stay_ns", "rest_ns"):
            _within(name, getattr(self, name), 0 if getattr(self, name) == 0 else _GAP_MIN, _GAP_MAX)
        if (self.stay_ns > 0) != (self.rest_ns > 0) or (self.stay_ns > 0) != (self.drift_gap_ns > 0):
            raise ParamsError("stay_ns, rest_ns and drift_gap_ns describe one signal: give all three, or none")
        if self.stay_ns > 0 and self.imbalance_quiet >= self.imbalance_signal:
            raise ParamsError(
                f"imbalances up to {self.imbalance_quiet:.3f} without and from {self.imbalance_signal:.3f} with a "
                "signal cannot be told apart; make thin thinner or lots_min and lots_max closer"
            )

    @classmethod
    def martingale(cls, **changes: int) -> DealerFlow:
        """Nothing predicts the value, and no fill is better than it. Sizes vary more than beside a signal."""
        return cls(**{"lots_min": 500, "lots_max": 3_500} | changes)

    @classmethod
    def planted_alpha(
        cls, strength: float = 0.5, *, stay_ns: int = 30_000_000_000, rest_ns: int = 30_000_000_000,
        drift_ticks: int = 24, **changes: int,
    ) -> DealerFlow:  # fmt: skip
        """A signal that is worth `strength` round trips, net of one, to who trades each in and out once.

        A round trip costs 2 h and two taker fees of SYNTH at the first price. Who follows every signal `REACTION_NS`
        late catches drift * (stay_ns - REACTION_NS), to first order in their ratio; that is (1 + strength) round trips.
        """
        if isinstance(strength, bool) or not isinstance(strength, int | float) or not 0 <= strength <= 100:
            raise ParamsError(f"strength must be a number from 0 to 100, got {strength!r}")
        _within("stay_ns", stay_ns, 2 * REACTION_NS, _GAP_MAX)
        _within("drift_ticks", drift_ticks, 1, _TICKS_MAX)
        quiet = cls(**changes)
        gross_ppb = (_PPM + round(strength * _PPM)) * quiet.round_trip_ppb // _PPM
        gap = drift_ticks * (stay_ns - REACTION_NS) * _PPB // (gross_ppb * START_TICK)
        return replace(quiet, drift_ticks=drift_ticks, drift_gap_ns=gap, stay_ns=stay_ns, rest_ns=rest_ns)

    @property
    def kind(self) -> int:
        """Number of the kernel."""
        return DEALER_KIND

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON of every field."""
        return hashlib.sha256(msgspec.json.encode({"dealer": self.to_json()}, order="sorted")).hexdigest()

    @property
    def round_trip_ppb(self) -> int:
        """Spread and two taker fees of SYNTH, in parts per billion of the first price."""
        return 2 * self.half_spread_ticks * _PPB // START_TICK + 2 * SYNTH.taker_fee_ppb

    @property
    def drift_ticks_per_s(self) -> float:
        """Expected change of the value in a second with the signal up."""
        return self.drift_ticks * 1e9 / self.drift_gap_ns if self.drift_gap_ns else 0.0

    @property
    def imbalance_quiet(self) -> float:
        """The largest |imbalance_1| without a signal."""
        return (self.lots_max - self.lots_min) / (self.lots_max + self.lots_min)

    @property
    def imbalance_signal(self) -> float:
        """The smallest |imbalance_1| with one."""
        return (self.thick_min - self.thin_max) / (self.thick_min + self.thin_max)

    @property
    def imbalance_threshold(self) -> float:
        """Between the two: what tells a signal from none."""
        return (self.imbalance_quiet + self.imbalance_signal) / 2

    def to_json(self) -> dict[str, int]:
        """The fields as plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, int]) -> DealerFlow:
        """The inverse of `to_json`; an unknown field is a ParamsError."""
        unknown = sorted(set(data) - set(cls.__dataclass_fields__))
        if unknown:
            raise ParamsError(f"unknown dealer parameter {unknown[0]!r}; known: {sorted(cls.__dataclass_fields__)}")
        return cls(**data)

    def state(self, seed: int, start_ns: int, base_tick: int, width: int, start_tick: int) -> NDArray[Any]:
        """See `lobgym.sim.exchange.exchange.Flow`."""
        state = np.zeros(1, DEALER_DTYPE)
        for name, value in self.to_json().items():
            state[name] = value
        with np.errstate(over="ignore"):
            state["key"] = stream_key(seed, _STREAM)
        state["mid"] = start_tick - base_tick
        return state


def dealer_tape(flow: DealerFlow, seed: int, hours: float) -> Tape:
    """The tape of a dealer's market: depth at once, every stream `DEALER_FEED` late.

    Raises:
        ParamsError: not more than 0 and at most 48 hours. CapacityError: the price reached the end of its range.
    """
    if isinstance(hours, bool) or not isinstance(hours, int | float) or not 0 < hours <= _HOURS_MAX:
        raise ParamsError(f"hours must be a number above 0, up to {_HOURS_MAX}, got {hours!r}")
    exchange = Exchange(
        SYNTH, flow=flow, seed=seed, start_tick=START_TICK, width=WIDTH, node_room=1 << 12, record="levels",
        depth_every_ns=0, feed=DEALER_FEED,
    )  # fmt: skip
    exchange.advance(START_NS + round(hours * _NS_PER_HOUR))
    return exchange.tape()


def martingale_tape(seed: int = 0, hours: float = 1.0, **changes: int) -> Tape:
    """A market in which nothing can be earned; `changes` of `DealerFlow.martingale`."""
    return dealer_tape(DealerFlow.martingale(**changes), seed, hours)


def planted_alpha_tape(seed: int = 0, hours: float = 2.0, strength: float = 0.5, **changes: int) -> Tape:
    """A market whose best sizes predict it; arguments of `DealerFlow.planted_alpha`."""
    return dealer_tape(DealerFlow.planted_alpha(strength, **changes), seed, hours)


def _within(name: str, value: Any, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ParamsError(f"{name} must be an integer from {low} to {high}, got {value!r}")
