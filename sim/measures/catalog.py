"""Every measure by name: what kind it is, its unit, the grid that it is taken on. docs/compare.md explains them."""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = [
    "CATALOG",
    "CLOCK",
    "CLUSTER_NS",
    "DEPTH_LEVELS",
    "EVENT",
    "IMBALANCE_BUCKETS",
    "IMBALANCE_HORIZONS",
    "RESPONSE_MS",
    "RETURN_LAGS",
    "RETURN_SECONDS",
    "SIGN_LAGS",
    "STEP_NS",
    "TIME",
    "Entry",
]

STEP_NS: Final = 100_000_000  # of the clock grid
CLUSTER_NS: Final = 30_000_000_000  # blocks that a response's standard error takes for independent
DEPTH_LEVELS: Final = 10
IMBALANCE_BUCKETS: Final = 10
IMBALANCE_HORIZONS: Final = {"100ms": 1, "1s": 10}  # in steps of the grid
RESPONSE_MS: Final = (10, 30, 100, 300, 1_000, 3_000, 10_000)
RETURN_SECONDS: Final = (1, 10, 60)
SIGN_LAGS: Final = 50
RETURN_LAGS: Final = 60

TIME: Final = "time"  # each state of the book counts for as long as it stood
CLOCK: Final = "clock"  # sampled at equal distances in time
EVENT: Final = "event"  # once a row, print or trade event


class Entry(NamedTuple):
    """A measure: `kind` is scalar, distribution or curve; `x` is what a curve is drawn over, with its unit."""

    kind: str
    unit: str
    grid: str
    about: str
    x: str = ""


def _depths() -> dict[str, Entry]:
    about = "on the {} at level {}, counted from the best"
    return {
        f"{side}_depth_{k}": Entry("distribution", "base", CLOCK, about.format(f"{side} side", k))
        for side in ("bid", "ask")
        for k in range(1, DEPTH_LEVELS + 1)
    }


def _returns() -> dict[str, Entry]:
    volatility = "standard deviation of log returns of the mid over {} s"
    kurtosis = "fourth moment of those over {} s by the squared variance; 3 of a normal distribution"
    return {
        **{f"volatility_{s}s_bps": Entry("scalar", "bps", CLOCK, volatility.format(s)) for s in RETURN_SECONDS},
        **{f"kurtosis_{s}s": Entry("scalar", "", CLOCK, kurtosis.format(s)) for s in RETURN_SECONDS},
    }


CATALOG: Final[dict[str, Entry]] = {
    "spread_mean_ticks": Entry("scalar", "ticks", TIME, "mean of best ask less best bid"),
    "spread_mean_bps": Entry("scalar", "bps", TIME, "the same as a share of the mid"),
    "top_depth_mean": Entry("scalar", "base", CLOCK, "mean quantity at the best price, over both sides"),
    "top_depth_mean_lots": Entry("scalar", "lots", CLOCK, "the same in lots"),
    "row_rate": Entry("scalar", "1/s", EVENT, "rows of the feed's book and prints"),
    "trade_rate": Entry("scalar", "1/s", EVENT, "prints"),
    "trade_event_rate": Entry("scalar", "1/s", EVENT, "trade events: prints of one stamp and side are one"),
    "print_size_mean": Entry("scalar", "base", EVENT, "mean quantity of a print"),
    "print_size_mean_lots": Entry("scalar", "lots", EVENT, "the same in lots"),
    "order_to_trade": Entry("scalar", "", EVENT, "depth rows for each print"),
    **_returns(),
    "one_sided_share": Entry("scalar", "", TIME, "share of the time without a best bid or without a best ask"),
    "crossed_share": Entry("scalar", "", TIME, "share of the time in which the feed's depth rows alone cross"),
    "spread_ticks": Entry("distribution", "ticks", TIME, "best ask less best bid"),
    "spread_bps": Entry("distribution", "bps", TIME, "the same as a share of the mid"),
    **_depths(),
    "imbalance_1": Entry("distribution", "", CLOCK, "(bid - ask) / (bid + ask) of the quantities at the best prices"),
    "imbalance_5": Entry("distribution", "", CLOCK, "the same of the sums over five levels"),
    "row_gap_ms": Entry("distribution", "ms", EVENT, "from one row of the feed to the next, 0 within a message"),
    "stamp_gap_ms": Entry("distribution", "ms", EVENT, "from one stamp with rows to the next"),
    "print_gap_ms": Entry("distribution", "ms", EVENT, "from one print to the next"),
    "trade_gap_ms": Entry("distribution", "ms", EVENT, "from one trade event to the next"),
    "print_size_lots": Entry("distribution", "lots", EVENT, "quantity of a print"),
    "print_size": Entry("distribution", "base", EVENT, "the same in units of the base currency"),
    "abs_return_1s_bps": Entry("distribution", "bps", CLOCK, "size of the log return of the mid over 1 s"),
    "sign_acf": Entry("curve", "", EVENT, "autocorrelation of the signs of trade events", "lag"),
    "abs_return_acf": Entry("curve", "", CLOCK, "autocorrelation of the size of 1-s returns", "lag, s"),
    "imbalance_response_100ms": Entry(
        "curve", "bps", CLOCK, "mean return of the mid over the next 100 ms, by imbalance", "imbalance_1"
    ),
    "imbalance_response_1s": Entry(
        "curve", "bps", CLOCK, "mean return of the mid over the next second, by imbalance", "imbalance_1"
    ),
    "print_response": Entry(
        "curve", "bps", EVENT, "mean move of the mid from before a trade event, in its direction", "delay, ms"
    ),
}
