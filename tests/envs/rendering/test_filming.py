"""Goal: what is filmed of a step in integers, by one call for everybody, is what the step was.

Method: beside each camera an oracle asks the source the slow questions (bests, orders, accounts) after every reset and
step, converts with exact decimals, and keeps it in deques; scenes must show the same to the last bit.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lobgym.envs import LobEnv, LobVectorEnv
from lobgym.envs.arena.picture import ArenaSource
from lobgym.envs.rendering import Fill, Sample
from lobgym.envs.rendering.camera import Camera
from lobgym.envs.rendering.look import CODES
from lobgym.envs.rendering.reel import FILL_COLUMNS, FILLS, SAMPLES, Reel
from lobgym.envs.rendering.source import ReplaySource, Source
from lobgym.sim import SimParams
from lobgym.sim.records import BUY, FILL, LOG_DTYPE, SELL, SENT_SUBMIT
from tests.envs.arenas import core_of, random_actions

TAPE = "synth?seed=4&minutes=6"
SHORT: dict[str, Any] = {"tape": TAPE, "spec": {"interval_ns": 250_000_000}}
NAN = float("nan")


class Oracle:
    """A camera with somebody beside it who looks the slow way."""

    def __init__(self, source: Source) -> None:
        self.source, self.made = source, source.instrument
        self.lot = float(self.made.lot_size) * float(self.made.contract_size)
        self.samples: list[deque[Sample]] = [deque(maxlen=SAMPLES) for _ in range(source.traders)]
        self.fills: list[deque[Fill]] = [deque(maxlen=FILLS) for _ in range(source.traders)]
        self.start_ns = [0] * source.traders
        self.log: list[Any] = []
        self.looks = 0
        take_log, look = source.take_log, source.look

        def noted() -> NDArray[np.void]:
            rows = take_log()
            self.log.extend(rows)
            return rows

        def counted(mask: NDArray[np.bool_], out: NDArray[np.int64]) -> None:
            self.looks += 1
            look(mask, out)

        source.take_log, source.look = noted, counted  # type: ignore[method-assign]
        self.camera = Camera(source)

    def began(self, mask: NDArray[np.bool_] | None = None) -> None:
        self.camera.began(mask)
        self.note_fills()
        for i in self.of(mask):
            self.samples[i].clear()
            self.fills[i].clear()
            self.start_ns[i] = self.source.t_ns(i)
            self.note(i, None)

    def stepped(self, actions: Any, mask: NDArray[np.bool_] | None = None) -> None:
        self.camera.stepped(actions, mask)
        self.note_fills()
        for i in self.of(mask):
            self.note(i, actions)

    def of(self, mask: NDArray[np.bool_] | None) -> list[int]:
        return [i for i in range(self.source.traders) if mask is None or mask[i]]

    def price(self, tick: int | None) -> float:
        return NAN if tick is None else float(self.made.ticks_to_price(tick))

    def note(self, i: int, actions: Any) -> None:
        source, orders = self.source, self.source.orders(i)
        position, equity, _ = source.account(i)
        prices = (
            *source.bests(i),
            max((order.tick for order in orders if order.side == BUY), default=None),
            min((order.tick for order in orders if order.side == SELL), default=None),
        )
        seconds = (source.t_ns(i) - self.start_ns[i]) / 1e9
        worth = self.made.money_to_float(equity)
        wish = self.wish(i, actions)
        self.samples[i].append(Sample(seconds, *map(self.price, prices), position * self.lot, worth, wish))

    def wish(self, i: int, actions: Any) -> float:
        spec, task = self.source.spec(i), self.source.task(i)
        if spec.kind == "target" and actions is not None:
            return spec.target_lots[int(actions[i])] * self.lot
        if spec.kind != "execution" or task["side"] == 0:
            return NAN
        share = (self.source.t_ns(i) - int(task["start_ns"])) / (int(task["end_ns"]) - int(task["start_ns"]))
        return float(task["side"] * task["lots"] * min(1.0, share) * self.lot)

    def note_fills(self) -> None:
        for row in self.log:
            assert row["kind"] == FILL
            i = int(row["lane"])
            seconds, qty = (int(row["ns"]) - self.start_ns[i]) / 1e9, int(row["qty"]) * self.lot
            fill = Fill(seconds, self.price(int(row["tick"])), qty, bool(row["side"] == BUY), bool(row["maker"]))
            self.fills[i].append(fill)
        self.log.clear()

    def check(self) -> None:
        """Bit for bit: what NaN is compared with is its text."""
        for i in range(self.source.traders):
            scene = self.camera.scene(i)
            assert repr(scene.samples) == repr(tuple(self.samples[i]))
            assert repr(scene.fills) == repr(tuple(self.fills[i]))


@pytest.mark.parametrize("autoreset", ["NextStep", "SameStep"])
@pytest.mark.parametrize("kind", ["grid", "target", "maker", "execution"])
def test_what_was_filmed_is_what_the_slow_questions_said(kind: str, autoreset: str) -> None:
    late = SimParams(entry_ns=400_000_000)  # so that requests are on their way when a step ends
    env = LobVectorEnv(kind, num_envs=3, autoreset_mode=autoreset, horizon=33, params=late, **SHORT)
    oracle = Oracle(ReplaySource(env.core))
    env.core.watcher = oracle
    env.action_space.seed(1)
    env.reset(seed=8)
    for step in range(80):
        env.step(env.action_space.sample())
        if step == 50:
            env.reset(options={"reset_mask": np.array([False, True, False])})
        if step % 4 == 0:
            oracle.check()
    assert any(oracle.fills)


def test_all_lanes_are_filmed_by_one_look() -> None:
    env = LobVectorEnv("grid", num_envs=64, horizon=None, **SHORT)
    oracle = Oracle(ReplaySource(env.core))
    env.core.watcher = oracle.camera
    env.reset(seed=1)
    for _ in range(5):
        env.step(np.zeros((64, 5), np.float32))
    assert oracle.looks == 6


def test_an_arena_is_filmed_as_its_exchange_is() -> None:
    """Also those whose episode is over before the others'."""
    core = core_of(exchange={"log": "fills", "log_rows": 1 << 12}, max_cycles=40)
    oracle = Oracle(ArenaSource(core))
    rng = np.random.default_rng(0)
    for seed in (2, None):
        core.reset(seed)
        oracle.began()
        core.run.live[1] = seed is None  # gone at once; its own clock and feed go on
        while core.live:
            core.step(random_actions(core, rng))
            oracle.stepped([row[0] for row in core.run.codes])
            core.leave()
            oracle.check()
    assert sum(map(len, oracle.fills)) > 10


def test_dials_show_what_the_desk_heard() -> None:
    """A float64 just below a bin's edge is on the edge as a float32, which is what the desk hears."""
    env = LobEnv("grid", render_mode="rgb_array", horizon=None, **SHORT)
    env.reset(seed=0)
    bins = np.array(env.core.spec.action.bins)
    edges = 2.0 * ((bins + 1) // 2) / bins - 1.0
    below = np.nextafter(edges, -1.0) - 1e-12
    env.step(below)
    heard = np.minimum(((below.astype(np.float32).astype(np.float64) + 1.0) / 2.0 * bins).astype(int), bins - 1)
    assert env._renderer is not None
    assert [dial.at for dial in env._renderer._camera.scene().dials] == heard.tolist()
    assert heard.tolist() != ((below + 1.0) / 2.0 * bins).astype(int).tolist()


def test_a_reel_holds_the_last_of_everything() -> None:
    rng = np.random.default_rng(0)
    reel = Reel(3, 2)
    looks: list[deque[list[int]]] = [deque(maxlen=SAMPLES) for _ in range(3)]
    fills: list[deque[list[int]]] = [deque(maxlen=FILLS) for _ in range(3)]
    counts = [0, 0, 0]
    for turn in range(1500):
        log = np.zeros(int(rng.integers(5)), LOG_DTYPE)
        for name in ("ns", "tick", "qty", "maker"):
            log[name] = rng.integers(100, size=len(log))
        log["lane"], log["side"] = rng.integers(3, size=len(log)), BUY
        log["kind"] = rng.choice([FILL, SENT_SUBMIT], size=len(log), p=[0.9, 0.1])
        reel.keep_fills(log)
        for row in log[log["kind"] == FILL]:
            fills[row["lane"]].append([int(row[name]) for name in FILL_COLUMNS])
            counts[row["lane"]] += 1
        mask = np.array([True, turn % 2 == 0, turn < 600 or turn > 650])
        rows = rng.integers(100, size=(3, CODES + 2))
        if turn in (0, 300):
            chosen = mask if turn == 0 else np.array([False, True, False])
            reel.begin(chosen, rows)
            for i in np.flatnonzero(chosen):
                looks[i].clear()
                fills[i].clear()
                counts[i] = 0
                looks[i].append([*rows[i, :CODES].tolist(), -1, -1])
                assert reel.start_ns[i] == rows[i, 0]
        else:
            reel.keep(mask, rows)
            for i in np.flatnonzero(mask):
                looks[i].append(rows[i].tolist())
        if turn % 7 == 0:
            for i in range(3):
                assert reel.looks(i) == list(looks[i])
                assert reel.fills(i) == list(fills[i])
                assert reel.filled[i] == counts[i]
                assert reel.codes(i) == looks[i][-1][CODES:]
    assert len(looks[0]) == SAMPLES
    assert max(counts) > FILLS
