"""One cell of the studies with known answers: train on a fresh market, play on another one of the same law.

A cell is a job (`lobgym.agents.jobs`): its task fixes the market's law, the seed, the profile and every setting; its
result is what each player earned, whole ticks times lots, and what the law says could be earned. Training and test
tapes come from seeds that no tuning has used, so nothing of the test tape can have been learned.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final, TypeAlias

from lobgym.agents.baselines.alpha import FOLLOW, TARGETS, SignalTable
from lobgym.agents.baselines.fitting import MARKET_COLUMNS, SIDED_COLUMNS, fit_forecast
from lobgym.agents.baselines.forecasts import ForecastRule
from lobgym.agents.policy import Policy
from lobgym.experiments.errors import EvaluationError
from lobgym.experiments.known.alpha import HOLD, UNIT_LOTS, alpha_desk
from lobgym.experiments.known.players import programme_of
from lobgym.experiments.known.run import run_policies
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.flow.dealer import START_TICK, DealerFlow
from lobgym.sim.instrument import SYNTH
from lobgym.sim.market import Market
from lobgym.sim.observation import ObservationLayout
from lobgym.sim.params import SimParams
from lobgym.sim.tape import open_tape

__all__ = [
    "EARNHFT",
    "TEST_SEED",
    "TRAIN_SEED",
    "Players",
    "agent_cell",
    "earnhft_players",
    "flow_of",
    "tape_name",
    "venue_of",
]

TRAIN_SEED: Final = 50_000
TEST_SEED: Final = 70_000
EARNHFT: Final = "lobgym.experiments.known.cells:earnhft_players"
WARM_NS: Final = 60_000_000_000  # of a tape's beginning, where what is observed has not yet filled its windows
_PPB: Final = 1e9
_BPS: Final = 1e4

Players: TypeAlias = Mapping[str, tuple[Policy, DeskSpec]]
Trainer: TypeAlias = Callable[[dict[str, Any], Market, Path], tuple[Players, dict[str, Any]]]


def flow_of(task: Mapping[str, Any]) -> DealerFlow:
    """The law of a task's market: a strength of the planted alpha, or None for the martingale."""
    strength = task["strength"]
    return DealerFlow.martingale() if strength is None else DealerFlow.planted_alpha(strength)


def tape_name(task: Mapping[str, Any], part: str) -> str:
    """The training or the test tape of a task: a scenario's name, from which anybody gets the same tape."""
    first = {"train": TRAIN_SEED, "test": TEST_SEED}[part]
    rest = f"minutes={task[f'{part}_minutes']:g}&seed={first + int(task['seed'])}"
    if task["strength"] is None:
        return f"synth:martingale?{rest}"
    return f"synth:planted-alpha?strength={task['strength']:g}&{rest}"


def venue_of(task: Mapping[str, Any]) -> SimParams | None:
    """The venue: the default one, or one without fees."""
    return SimParams(maker_fee_ppb=0, taker_fee_ppb=0) if task["free"] else None


def agent_cell(task: dict[str, Any], aside: Path) -> dict[str, Any]:
    """Train, then play.

    The task's fields: `strength` (None: martingale), `free` (no fees), `seed`, `train_minutes`, `test_minutes`,
    `trainer` (module:function, a `Trainer`), and what the trainer reads.

    Raises:
        EvaluationError: a trainer that makes nobody.
    """
    flow, seed = flow_of(task), int(task["seed"])
    train = Market.compile(open_tape(tape_name(task, "train")))
    test = Market.compile(open_tape(tape_name(task, "test")))
    module, _, name = str(task["trainer"]).partition(":")
    trained, facts = getattr(import_module(module), name)(task, train, aside)
    if not trained:
        raise EvaluationError(f"{task['trainer']} made no players")
    fixed, known = _fixed(task, flow, train, test)
    players = dict(trained) | fixed
    earned, lots = {}, {}
    for who, (policy, spec) in players.items():
        (run,) = run_policies(test, spec, [policy], seed)
        earned[who], lots[who] = run.tick_lots, run.lots
    return {
        "trained": list(trained), "earned": earned, "lots": lots, **known, "facts": facts,
        "train_digest": train.tape.digest, "test_digest": test.tape.digest,
    }  # fmt: skip


def _fixed(
    task: Mapping[str, Any], flow: DealerFlow, train: Market, test: Market
) -> tuple[dict[str, tuple[Policy, DeskSpec]], dict[str, Any]]:
    """Players that are not trained, and what the law says they earn, in ticks times lots."""
    spec = alpha_desk(test)
    params = venue_of(task)
    if params is not None:
        spec = spec.replace(params=params)
    players: dict[str, tuple[Policy, DeskSpec]] = {
        "always long": (SignalTable(spec, HOLD, 0.3, "always long"), spec),
        **_fitted(train, spec, flow),
    }
    if task["strength"] is None:
        players["imbalance follower"] = SignalTable(spec, FOLLOW, 0.05, "imbalance follower"), spec
        return players, {"round_trip": None, "optimum": None, "expected": {}}
    edge = flow.imbalance_threshold
    programme = programme_of(flow, spec)
    tables = {"programme": programme.optimal_table(), "threshold": FOLLOW}
    players |= {name: (SignalTable(spec, table, edge, name), spec) for name, table in tables.items()}
    decisions = (test.end_ns - test.start_ns) // spec.interval_ns
    trip = 2 * (flow.half_spread_ticks + START_TICK * SYNTH.taker_fee_ppb / _PPB)
    return players, {
        "round_trip": trip * UNIT_LOTS,
        "optimum": programme.optimum(decisions) * UNIT_LOTS,
        "expected": {name: programme.expected(table, decisions) * UNIT_LOTS for name, table in tables.items()},
    }


def _fitted(train: Market, spec: DeskSpec, flow: DealerFlow) -> dict[str, tuple[Policy, DeskSpec]]:
    """Rules on a forecast fitted to the training tape: of one column or of all, holding between its thresholds or not.

    What a trade costs them is known, as it is to the programme: half the dealer's spread and the taker's fee.
    """
    fee = SYNTH.taker_fee_ppb if spec.params.taker_fee_ppb is None else spec.params.taker_fee_ppb
    cost_bps = (flow.half_spread_ticks / START_TICK + fee / _PPB) * _BPS
    low, high = train.start_ns + WARM_NS, train.end_ns
    columns = tuple(name for name in MARKET_COLUMNS if name in spec.layout.names)
    made: dict[str, tuple[Policy, DeskSpec]] = {}
    for name, chosen, single in (("fitted threshold", SIDED_COLUMNS, True), ("linear", columns, False)):
        own = spec.replace(layout=ObservationLayout(tuple(dict.fromkeys((*spec.layout.columns, *chosen)))))
        forecast = fit_forecast(train, chosen, low, high, spec.interval_ns, cost_bps, single=single)
        made[name] = ForecastRule(own, forecast, False, name), own
        made[f"{name}, holding"] = ForecastRule(own, forecast, True, f"{name}, holding"), own
    return made


def earnhft_players(task: dict[str, Any], train: Market, aside: Path) -> tuple[Players, dict[str, Any]]:
    """EarnHFT's hierarchy and, if the task says `ablate`, what is left of it without its parts.

    The task's fields: `profile`, `corrections` (name -> bool, of those that are not on), `ablate`.
    """
    from lobgym.agents.earnhft.config import Corrections, EarnHftConfig
    from lobgym.agents.earnhft.pipeline import train_earnhft
    from lobgym.experiments.studies.ablations import ablated

    config = EarnHftConfig.profile_of(
        task["profile"],
        tape=tape_name(task, "train"),
        seed=int(task["seed"]),
        out=str(aside / "run"),
        targets=TARGETS,
        position_lots_max=UNIT_LOTS,
        params=venue_of(task),
        corrections=Corrections(**task["corrections"]),
    )
    result = train_earnhft(config, market=train)
    players: dict[str, tuple[Policy, DeskSpec]] = {"earnhft": (result.hierarchy, result.spec)}
    if task["ablate"]:
        for name in ("single", "random"):
            players[f"earnhft, {name}"] = ablated(result, name), result.spec
    return players, {"counts": dict(result.counts), "router": result.record.router}
