"""Fit a `ReactiveFlow` to a tape: direct estimates, then rounds of simulating and correcting four figures.

The figures are those of `lobgym.sim.measures`: mean spread, mean quantity at the best prices, prints a second, and
volatility of a second. Each has one parameter that it answers to. The work is bounded by `ROUNDS_MAX` simulations of a
fixed length, their seeds follow from `seed`, and nothing depends on the clock.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from lobgym.sim.errors import MeasureError, ParamsError
from lobgym.sim.exchange import Exchange
from lobgym.sim.flow.estimate import estimate, rounded
from lobgym.sim.flow.reactive import FORMAT, ReactiveFlow
from lobgym.sim.flow.tables import bucket_width
from lobgym.sim.instrument import Instrument
from lobgym.sim.market import Market
from lobgym.sim.measures import measure

__all__ = ["TOLERANCE", "Calibrated", "Calibration", "Figures", "calibrate", "figures_of", "load_flow", "simulate"]

ROUNDS_MAX: Final = 10
ROUND_S: Final = (300, 3_600)  # simulated seconds of a round, of each seed: at least, at most
ROUND_SEEDS: Final = 4
ROUND_CANDIDATES: Final = 1.5e8  # that a round may cost, between those bounds
DAMPED: Final = 0.5  # power of an error that is corrected once what is left is mostly chance
FAR: Final = 0.12  # relative error down to which one seed is enough
WARM_S: Final = 30  # before anything is measured
TOLERANCE: Final = 0.15  # relative, that a figure may be away from the tape's
CLOSE: Final = 0.04  # at which rounds end
STEP_NS: Final = 100_000_000
SECOND: Final = 10  # steps
SPAN_MOVES: Final = 40.0  # half the book's prices, in standard deviations of the mid over a simulated hour's root
_NS: Final = 1_000_000_000
_REPAIR_RANGE: Final = (20.0, 20_000.0)


class Figures(NamedTuple):
    """What a market is fitted to and scored on."""

    spread_mean_ticks: float
    top_depth_mean_lots: float
    trade_rate: float  # prints a second
    volatility_1s_bps: float

    def away(self, target: Figures) -> dict[str, float]:
        """Relative difference to a target, by name."""
        return {name: value / getattr(target, name) - 1.0 for name, value in self._asdict().items()}


class Round(NamedTuple):
    """One round: its number from 1 on, of how many at most, and how far each figure was away."""

    number: int
    rounds_max: int
    figures: Figures
    away: dict[str, float]


@dataclass(frozen=True)
class Calibration:
    """A fitted flow and how it came about.

    Attributes:
        flow: the parameters.
        instrument: of the tape.
        start_tick: price that the tape was at.
        target, achieved: the figures of the tape, and of the best round's simulations.
        tape_digest, seed, rounds: what was fitted to, with which seeds, how many rounds were simulated.
        round_seconds: simulated seconds of a round of all seeds.
    """

    flow: ReactiveFlow
    instrument: Instrument
    start_tick: int
    target: Figures
    achieved: Figures
    tape_digest: str
    seed: int
    rounds: int
    round_seconds: int

    def to_json(self) -> str:
        """The file that `load_flow` and `ReactiveFlow.from_json` read."""
        data = {
            "format": FORMAT,
            "parameters": asdict(self.flow),
            "instrument": self.instrument.to_json(),
            "start_tick": self.start_tick,
            "provenance": {
                "tape_digest": self.tape_digest,
                "seed": self.seed,
                "rounds": self.rounds,
                "round_seconds": self.round_seconds,
                "target": self.target._asdict(),
                "achieved": self.achieved._asdict(),
            },
        }
        return json.dumps(data, sort_keys=True, indent=1)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file aside and rename it."""
        target = Path(path)
        aside = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            aside.write_text(self.to_json() + "\n", encoding="utf-8")
            aside.replace(target)
        finally:
            aside.unlink(missing_ok=True)


class Calibrated(NamedTuple):
    """A calibration's file, read."""

    flow: ReactiveFlow
    instrument: Instrument
    start_tick: int
    provenance: dict[str, Any]

    def exchange(self, **arguments: Any) -> Exchange:
        """An exchange of that market; arguments as `Exchange` takes them."""
        given = {"start_tick": self.start_tick, "width": book_width(self.flow), **arguments}
        return Exchange(self.instrument, flow=self.flow, **given)


def load_flow(path: str | os.PathLike[str]) -> Calibrated:
    """Read a calibration's file. Raises ParamsError where it is none."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ParamsError(f"{path}: {error}") from None
    try:
        flow = ReactiveFlow.from_json(text)
        data = json.loads(text)
        return Calibrated(flow, Instrument.from_json(data["instrument"]), int(data["start_tick"]), data["provenance"])
    except ParamsError as error:
        raise ParamsError(f"{path}: {error}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise ParamsError(f"{path}: not the file of a calibration: {error!r}") from None


# -- figures -----------------------------------------------------------------------------------------------------------


def figures_of(market: Market) -> Figures:
    """The figures of a compiled tape. Raises MeasureError where it is too short for them."""
    made = measure(market)
    if made.volatility_1s_bps is None or made.volatility_1s_bps <= 0.0:
        raise MeasureError("the tape's price never moved within a second: there is no volatility to fit")
    return Figures(
        float(made.spread_mean_ticks), float(made.top_depth_mean_lots), float(made.trade_rate),
        float(made.volatility_1s_bps),
    )  # fmt: skip


def book_width(flow: ReactiveFlow) -> int:
    """Prices that a book needs for a day or so of this flow: a multiple of 4096."""
    ticks = np.array(flow.jump_ticks)
    second = math.sqrt(flow.jump_per_s * float((ticks * ticks).mean()))
    reach = 1 << (len(flow.limit_per_s) - 1)
    wanted = 2 * (int(SPAN_MOVES * 60.0 * second) + 4 * reach)
    width = 1 << 16
    while width < wanted and width < 1 << 22:
        width *= 2
    return width


def simulate(
    flow: ReactiveFlow, instrument: Instrument, start_tick: int, seeds: tuple[int, ...], seconds: int
) -> Figures:
    """The figures of a flow left to itself: sampled every 100 ms on each seed, nothing recorded."""
    spread = depth = prints = squares = 0.0
    samples = returns = 0
    for seed in seeds:
        exchange = Exchange(instrument, flow=flow, seed=seed, start_tick=start_tick, width=book_width(flow))
        exchange.advance(exchange.now_ns + WARM_S * _NS)
        board, levels = exchange.board, exchange._arrays.levels["qty"]
        begun, last = int(board["trades"]), 0
        for step in range(seconds * SECOND + 1):
            bid, ask = int(board["best_bid"]), int(board["best_ask"])
            if bid >= 0 and ask >= 0:
                spread += ask - bid
                depth += int(levels[0, bid]) + int(levels[1, ask])
                samples += 1
                if step % SECOND == 0:
                    mid2 = 2 * int(board["base_tick"]) + bid + ask
                    if last:
                        squares += (1e4 * (mid2 - last) / last) ** 2
                        returns += 1
                    last = mid2
            exchange.advance(exchange.now_ns + STEP_NS)
        prints += int(board["trades"]) - begun
    if not samples or not returns:
        raise MeasureError("the simulated book was never two-sided: these parameters give no market")
    span = len(seeds) * seconds
    return Figures(spread / samples, depth / (2 * samples), prints / span, math.sqrt(squares / returns))


# -- fitting -----------------------------------------------------------------------------------------------------------


def calibrate(market: Market, seed: int = 1, on_round: Callable[[Round], None] | None = None) -> Calibration:
    """Fit a flow to a market's tape.

    Args:
        on_round: told of each round.

    Raises MeasureError where the tape is too short, or its price never moves.
    """
    target = figures_of(market)
    direct = estimate(market)
    instrument, start_tick = market.instrument, int(direct.price_ticks)
    flow = ReactiveFlow(**{**_response(target, direct.parameters), **direct.parameters})
    best: tuple[bool, float, ReactiveFlow, Figures] | None = None
    done = 0
    seconds = _round_seconds(flow)
    seeds = tuple(1_000_003 * seed + k for k in range(ROUND_SEEDS))
    sure = False  # whether this round is of all seeds
    while done < ROUNDS_MAX:
        found = simulate(flow, instrument, start_tick, seeds if sure else seeds[:1], seconds)
        done += 1
        worst = max(abs(one) for one in _errors(found, target))
        if best is None or (not sure, worst) < best[:2]:
            best = (not sure, worst, flow, found)
        if on_round is not None:
            on_round(Round(done, ROUNDS_MAX, found, found.away(target)))
        if sure and worst < CLOSE:
            break
        flow = _corrected(flow, found, target, DAMPED if sure else 1.0)
        sure = sure or worst < FAR or done >= ROUNDS_MAX - 3
    assert best is not None
    made = best[2]
    return Calibration(
        made, instrument, start_tick, target, best[3], market.tape.digest, seed, done, seconds * len(seeds)
    )


def _round_seconds(flow: ReactiveFlow) -> int:
    return int(min(ROUND_S[1], max(ROUND_S[0], ROUND_CANDIDATES / ROUND_SEEDS / flow.candidates_per_s())))


def _errors(found: Figures, target: Figures) -> list[float]:
    """Logarithms of found over target. Of the spread what is beyond one tick counts, unless that is next to nothing."""
    pairs = list(zip(found[1:], target[1:], strict=True))
    made = [math.log(max(a, 1e-9) / b) for a, b in pairs]
    return [*made, math.log((found[0] - 1.0 + 0.2) / (target[0] - 1.0 + 0.2))]


def _response(target: Figures, parameters: dict[str, Any]) -> dict[str, Any]:
    """What a tape does not show directly, by rule: see docs/flow.md."""
    ticks = np.array(parameters["jump_ticks"])
    second = math.sqrt(parameters["jump_per_s"] * float((ticks * ticks).mean()))
    return {
        "informed_lots": rounded(2.0 * parameters["taker_lots"]),
        "informed_edge_ticks": max(1, int(0.1 * second)),
        "noise_reach_ticks": max(2, int(0.1 * second)),
        "drift_ticks_per_s": rounded(0.03 * second),
        "impact_ticks_per_lot": rounded(0.002 * second / parameters["taker_lots"]),
        "trim_per_s": rounded(2.0 * max(25.0, _far_rate(parameters))),
    }


def _far_rate(parameters: dict[str, Any]) -> float:
    """Limit orders a second in the last distance bucket: more than what the price can leave behind."""
    last = parameters["limit_per_s"][-1]
    return float(2 * bucket_width(len(parameters["limit_per_s"]) - 1) * last[0])


def _corrected(flow: ReactiveFlow, found: Figures, target: Figures, power: float) -> ReactiveFlow:
    """Each figure's own parameter, by a power of how far the figure is away."""
    moves = _bounded(target.volatility_1s_bps / found.volatility_1s_bps, 2.0) ** power
    prints = _bounded(target.trade_rate / found.trade_rate, 2.0) ** power
    depth = _bounded(target.top_depth_mean_lots / found.top_depth_mean_lots, 3.0) ** (0.7 * power)
    wide = _bounded((found.spread_mean_ticks - 0.99) / (target.spread_mean_ticks - 0.99), 4.0) ** (0.6 * power)
    repair = min(_REPAIR_RANGE[1], max(_REPAIR_RANGE[0], flow.repair_per_s * wide))
    up, down = math.sqrt(depth), 1.0 / math.sqrt(depth)
    return replace(
        flow,
        jump_ticks=tuple(rounded(one * moves) for one in flow.jump_ticks),
        taker_per_s=rounded(flow.taker_per_s * prints),
        informed_lots=rounded(flow.informed_lots * math.sqrt(prints)),
        limit_per_s=(tuple(rounded(one * up) for one in flow.limit_per_s[0]), *flow.limit_per_s[1:]),
        cancel_per_s=(tuple(rounded(one * down) for one in flow.cancel_per_s[0]), *flow.cancel_per_s[1:]),
        repair_per_s=rounded(repair),
    )


def _bounded(ratio: float, most: float) -> float:
    return min(most, max(1.0 / most, ratio))
