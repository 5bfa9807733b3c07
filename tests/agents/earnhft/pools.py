"""Hand-made hierarchies: random networks over a few columns, the same for every seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lobgym.agents.earnhft.config import EarnHftConfig
from lobgym.agents.earnhft.hierarchy import HierarchyPolicy
from lobgym.agents.earnhft.network import QWeights
from lobgym.agents.earnhft.pipeline import (
    POOL_FOLDER,
    EarnHftRecord,
    EarnHftResult,
    load_earnhft,
)
from lobgym.agents.earnhft.tournament import AgentPool
from lobgym.agents.files import CONFIG_FILE, RECORD_FILE, ROUTER_FILE, SPEC_FILE, write_json
from lobgym.envs.markets import market_for
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.market import Market
from lobgym.sim.observation import ObservationLayout

LOW = ("imbalance_1", "imbalance_5", "microprice", "return_1s", "return_5s", "trade_flow_1s", "activity")
HIGH = ("spread", "return_30s", "natr_14", "imbalance_5")
TARGETS = (-1.0, -0.5, 0.0, 0.5, 1.0)


def network(
    seed: int, columns: tuple[str, ...], actions: int = 5, hidden: int = 24, targets: tuple[float, ...] = TARGETS
) -> QWeights:
    """Random weights; the embedding is strong, so that the position matters."""
    rng = np.random.Generator(np.random.PCG64(seed))
    size, places = len(columns), len(targets)

    def draw(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) * 2.0 / np.sqrt(shape[0])).astype(np.float32)

    return QWeights(
        3 * draw(size, hidden), draw(1, hidden)[0], draw(places, places), draw(hidden + places, hidden),
        draw(1, hidden)[0], draw(hidden, actions), draw(1, actions)[0] * np.float32(0.2), targets, columns,
    )  # fmt: skip


def agent_pool(labels: int = 3, nearest: bool = True, seed: int = 107) -> AgentPool:
    """A pool of 6 agents for 5 positions; every agent holds a cell."""
    agents = tuple(network(seed + k, LOW) for k in range(6))
    members = np.arange(5 * labels).reshape(5, labels) % 6
    return AgentPool(TARGETS, agents, members, nearest)


def spec_for(market: Market, interval_ns: int = 100_000_000) -> DeskSpec:
    """A target desk whose layout has every column that the hierarchy reads, in an order of its own."""
    columns = (*HIGH, "inventory", *(name for name in LOW if name not in HIGH))
    return DeskSpec.for_market(
        market, "target", interval_ns=interval_ns, targets=TARGETS, layout=ObservationLayout(columns)
    )


def hierarchy(spec: DeskSpec, macro_steps: int = 7, nearest: bool = True, seed: int = 107) -> HierarchyPolicy:
    """A router of 3 choices over `agent_pool`."""
    return HierarchyPolicy(
        agent_pool(nearest=nearest, seed=seed), network(seed + 50, HIGH, actions=3), spec, macro_steps, "by-hand"
    )


def run_folder(folder: Path, tape: str = "synth:volatile?minutes=8", macro_steps: int = 12) -> EarnHftResult:
    """What `train_earnhft` leaves, of networks by hand: everything that `load_earnhft` reads."""
    market = market_for(tape)
    config = EarnHftConfig.profile_of(
        "tiny", tape=tape, out=str(folder), columns=LOW, router_columns=HIGH, macro_steps=macro_steps
    )
    spec, pool, router = config.spec(market), agent_pool(), network(157, HIGH, actions=3)
    folder.mkdir(parents=True)
    write_json(folder / CONFIG_FILE, config.to_json())
    write_json(folder / SPEC_FILE, spec.to_json())
    pool.save(folder / POOL_FOLDER)
    router.save(folder / ROUTER_FILE)
    digests = tuple(agent.digest for agent in pool.agents)
    counts = {"low_taught": 600, "low_own": 400, "router_transitions": 10}
    record = EarnHftRecord(
        config.digest, market.tape.digest, spec.digest, spec.params.digest, config.seed, digests, digests,
        router.digest, counts,
    )  # fmt: skip
    write_json(folder / RECORD_FILE, record)
    return load_earnhft(folder)
