"""What the arena's agents see: each column against a restatement in plain Python over the exchange's public face, and
that nothing is seen before its time.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from lobgym.envs.arena import ARENA_COLUMNS
from lobgym.envs.arena.columns import NUMBERS
from lobgym.envs.arena.core import INFO_KEYS, ArenaCore
from lobgym.sim.errors import CapacityError
from lobgym.sim.money import mark_value
from lobgym.sim.params import SimParams
from lobgym.sim.records import BUY, FREE, LIVE, SELL, SENT
from tests.envs.arenas import MS, core_of, held, random_actions
from tests.project import ROOT


class Watcher:
    """What one agent observes, in plain Python: it remembers the mids that it saw, and asks the exchange."""

    def __init__(self, core: ArenaCore, name: str) -> None:
        self.core, self.i = core, core.index[name]
        self.mids: list[int] = []

    def look(self) -> dict[str, float]:
        core, i = self.core, self.i
        lane = core.exchange.state.lane[i]
        bids, asks = (core.exchange.ladder(side, 10, member=i).tolist() for side in (BUY, SELL))
        mid2 = bids[0][0] + asks[0][0] if bids and asks and bids[0][0] < asks[0][0] else 0
        self.mids.append(mid2)
        mark2 = next((mid for mid in reversed(self.mids) if mid), 0)
        made = dict.fromkeys(NUMBERS, 0.0)
        if mid2:
            made |= self.book(bids, asks, mid2)
        for k in (1, 5, 20, 60):
            then = self.mids[max(0, len(self.mids) - 1 - k)]
            made[f"return_{k}"] = (mid2 - then) / then * 1e4 if mid2 and then else 0.0
        moves = [abs(b - a) / a * 1e4 if a and b else 0.0 for a, b in pairwise(self.mids)]
        made["volatility"] = sum(moves[-20:]) / len(moves[-20:]) if moves else 0.0
        made |= self.own(lane, mid2, mark2)
        scales = {column.name: column.scale for column in ARENA_COLUMNS}
        return {
            name: (1.0 if value == np.inf else value / (scales[name] + abs(value)))
            if scales[name]
            else min(max(value, -1.0), 1.0)
            for name, value in made.items()
        }

    def book(self, bids: list[list[int]], asks: list[list[int]], mid2: int) -> dict[str, float]:
        def balance(plus: float, minus: float) -> float:
            return (plus - minus) / (plus + minus)

        near_bids, near_asks = bids[:5], asks[:5]
        spread = (asks[0][0] - bids[0][0]) / (mid2 / 2) * 1e4
        lean = balance(bids[0][1], asks[0][1])
        return {
            "two_sided": 1.0,
            "spread": spread,
            "imbalance_1": lean,
            "imbalance_5": balance(sum(q for _, q in near_bids), sum(q for _, q in near_asks)),
            "pressure_5": balance(
                sum(q / k for k, (_, q) in enumerate(near_bids, 1)), sum(q / k for k, (_, q) in enumerate(near_asks, 1))
            ),
            "microprice": spread / 2 * lean,
            "width_5": (near_asks[-1][0] - near_bids[-1][0]) / (mid2 / 2) * 1e4,
        }

    def own(self, lane: Any, mid2: int, mark2: int) -> dict[str, float]:
        core, i = self.core, self.i
        econ, limit = core.exchange.econ, core.specs[i].position_lots_max
        orders = [one for one in core.exchange.orders(i) if one["state"] != FREE and one["view_state"] in (SENT, LIVE)]
        asked_back = [one for one in orders if one["cancel_sent"]]
        quoted = [one for one in orders if not one["cancel_sent"]]
        bids = [int(one["view_tick"]) for one in quoted if one["side"] == BUY]
        asks = [int(one["view_tick"]) for one in quoted if one["side"] == SELL]
        position = int(lane["view_position"])
        cash = int(lane["view_cash"]) - int(lane["view_fees"])
        equity = cash + mark_value(econ, position, mark2)
        made = {
            "inventory": position / limit,
            "open_bid_lots": sum(int(one["view_leaves"]) for one in orders if one["side"] == BUY) / limit,
            "open_ask_lots": sum(int(one["view_leaves"]) for one in orders if one["side"] == SELL) / limit,
            "pending": float(len(asked_back) + sum(one["view_state"] == SENT for one in quoted)),
            "bid_distance": (mid2 / 2 - max(bids)) / (mid2 / 2) * 1e4 if bids and mid2 else np.inf,
            "ask_distance": (min(asks) - mid2 / 2) / (mid2 / 2) * 1e4 if asks and mid2 else np.inf,
            "episode_pnl": equity / abs(mark_value(econ, limit, mark2)) * 1e4,
        }
        task = core.run.tasks[i]
        if task["side"] == 0:
            return made
        side, lots, arrival2 = int(task["side"]), int(task["lots"]), int(task["arrival2"])
        filled = side * position / lots
        passed = (core.now_ns - int(task["start_ns"])) / (int(task["end_ns"]) - int(task["start_ns"]))
        price = (mid2 or mark2) / 2
        unit = mark_value(econ, 1, 2)  # money units of a lot and a tick
        # Paid for what is filled, and the rest at the mid, beyond all of it at the arrival's mid.
        paid = -cash + side * (lots - side * position) * price * unit - side * lots * arrival2 / 2 * unit
        return made | {
            "task_side": float(side),
            "task_left": 1.0 - filled,
            "task_time_left": 1.0 - passed,
            "task_pace": filled - passed,
            "task_shortfall": paid / (lots * arrival2 / 2 * unit) * 1e4,
        }


@pytest.mark.parametrize("feed_delay_ns", [0, 40 * MS, 700 * MS])
def test_every_column_is_what_its_restatement_says(feed_delay_ns: int) -> None:
    # Neither the interval nor the way there and back fits the 50 ms at which depth is published.
    rules = SimParams(feed_delay_ns=feed_delay_ns, entry_ns=130 * MS, response_ns=110 * MS)
    core = core_of(interval_ns=203 * MS, params=rules)
    core.reset(11)
    rng = np.random.default_rng(1)
    watchers = {name: Watcher(core, name) for name in core.agents}
    seen: dict[str, set[float]] = {name: set() for name in NUMBERS}
    for _ in range(90):
        for name in core.live:
            row = core.run.observations[core.index[name]]
            wanted = watchers[name].look()
            for column, number in NUMBERS.items():
                if column != "book_age":  # the public face does not say how old a picture is
                    assert row[number] == pytest.approx(wanted[column], rel=1e-5, abs=1e-6), (name, column)
                seen[column].add(float(row[number]))
        core.step(random_actions(core, rng))
        core.leave()
    quiet = [column for column, values in seen.items() if len(values) < 2 and column != "two_sided"]
    assert not quiet, f"columns that never changed: {quiet}"


def test_the_page_has_every_column() -> None:
    page = (ROOT / "docs/environments/arena.md").read_text()
    for column in ARENA_COLUMNS:
        assert f"| `{column.name}` | {column.unit} | {column.scale:g} | {column.about} |" in page
    for key in INFO_KEYS:
        assert f"`{key}`" in page


def test_observations_are_bounded_float32_without_nan_from_the_first_moment() -> None:
    for market, warmup in (("synth:volatile", 0), ("synth:halt?minutes=4", 0), ("synth:thin-book", 1)):
        core = core_of(market=market, warmup_ns=warmup, interval_ns=50 * MS)
        core.reset(2)
        rng = np.random.default_rng(2)
        for _ in range(60):
            assert core.run.observations.dtype == np.float32
            assert np.isfinite(core.run.observations).all()
            assert np.abs(core.run.observations).max() <= 1.0
            core.step(random_actions(core, rng))
            core.leave()


def test_book_age_is_the_time_since_the_feed_last_changed() -> None:
    core = core_of(agents={"taker": 1}, interval_ns=1 * MS)
    core.reset(5)
    scale = ARENA_COLUMNS[NUMBERS["book_age"]].scale
    ages = []
    for _ in range(80):
        value = float(core.run.observations[0, NUMBERS["book_age"]])
        ages.append(value * scale / (1.0 - value))
        core.step({"taker_0": 2})
    grows = [b - a for a, b in pairwise(ages) if b > a]
    assert grows == pytest.approx([0.001] * len(grows), rel=1e-3)
    assert len(grows) > 20
    assert any(b < a for a, b in pairwise(ages))


def test_a_late_feed_shows_nothing_sooner() -> None:
    """Two runs that differ in what a taker does: whoever is 1 s behind sees no difference for a second."""

    def run(code: int) -> list[np.ndarray[Any, Any]]:
        vary = {"feed_delay_ns": {"grid_0": 1_000 * MS, "grid_1": 0}}
        core = core_of(
            agents={"grid": 2, "taker": 1}, interval_ns=100 * MS, vary=vary,
            params=SimParams(entry_ns=1, response_ns=1),
            spec={"taker": {"position_lots_max": 50_000, "sweep_ticks": 600}},
        )  # fmt: skip
        core.reset(4)
        pause = held(core, "grid_0", [0, 0, 4, 0, 2])
        rows = []
        for k in range(25):
            core.step({"grid_0": pause, "grid_1": pause, "taker_0": code if k >= 5 else 2})
            rows.append(core.run.observations[:2].copy())
        return rows

    still, moved = run(2), run(4)
    late = [not np.array_equal(a[0], b[0]) for a, b in zip(still, moved, strict=True)]
    prompt = [not np.array_equal(a[1], b[1]) for a, b in zip(still, moved, strict=True)]
    assert prompt.index(True) == 5
    assert late.index(True) == 15


def test_an_agent_learns_of_its_fill_when_the_answer_has_travelled_back() -> None:
    core = core_of(agents={"taker": 1}, interval_ns=100 * MS, params=SimParams(entry_ns=1 * MS, response_ns=250 * MS))
    core.reset(1)
    inventory, fills = [], []
    for _ in range(5):
        core.step({"taker_0": 4})
        inventory.append(float(core.run.observations[0, NUMBERS["inventory"]]))
        fills.append(core.info(0)["fills"])
    assert fills[0] > 0
    assert inventory[:2] == [0.0, 0.0]
    assert inventory[2] > 0.0


def test_a_feed_that_is_later_than_what_is_kept_says_so() -> None:
    core = core_of(agents={"taker": 1}, exchange={"ladder_room": 8}, params=SimParams(feed_delay_ns=5_000 * MS))

    def run() -> None:
        core.reset(1)
        for _ in range(20):
            core.step({"taker_0": 2})

    with pytest.raises(CapacityError, match="ladder_room"):
        run()
