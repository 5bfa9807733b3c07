"""Stage I: one network a preference, taught on sampled chunks of the training part; agents are saved along the way.

Each sampled chunk (`preference`) is walked twice through the real desk: with the teacher's actions, and with the
network's own, random ones among them. It is cut into as many pieces as there are lanes, which start flat and walk side
by side. Transitions of either pass go to a buffer of their own; a gradient step draws half of its batch from each. The
chunk's end is a cut and no end: the next state's value counts there too.

A folder of this stage:

    agent_000.npz, ...   the network after each `checkpoint_every` samples
    progress.csv         what was measured at each of them
    low.json             written last: inputs and counts
    state.npz            while it runs: everything that the next sample depends on; a killed run goes on from there
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from lobgym.agents.earnhft.config import INVENTORY, EarnHftConfig
from lobgym.agents.earnhft.learner import Learner, Losses
from lobgym.agents.earnhft.network import QNet, greedy, hat
from lobgym.agents.earnhft.parts import Parts, limit_bps_units
from lobgym.agents.earnhft.preference import preference_weights
from lobgym.agents.earnhft.prices import HindsightPrices
from lobgym.agents.earnhft.replay import Batch, Replay
from lobgym.agents.earnhft.teacher import teach
from lobgym.agents.errors import RunFolderError, TrainError
from lobgym.agents.files import write_json
from lobgym.agents.torch_mode import deterministic_torch
from lobgym.sim.desk import Desk
from lobgym.sim.market import Market
from lobgym.sim.mids import last_quoted_mid2
from lobgym.sim.view import cursor_at

__all__ = ["Chunks", "LowCounts", "schedule", "train_low"]

RECORD: Final = "low.json"
STATE: Final = "state.npz"
LOG: Final = "progress.csv"
UNCORRECTED_STEPS: Final = 512  # vector steps between two updates, as published
SAVE_SECONDS: Final = 15.0  # between two saved states; the result does not depend on it
_STAGE: Final = 1  # of the random numbers
_FORBIDDEN: Final = np.float32(-1e6)  # in place of minus infinity, which would spoil a sum between two positions
_TEACHER, _OWN = 0, 1

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Chunks:
    """Where the training part is cut.

    Attributes:
        starts: int64[N], nanoseconds.
        steps: decisions of a chunk, a multiple of `lanes`.
        lanes: pieces of a chunk.
        returns: float64[N]: the market's relative return over each.
    """

    starts: NDArray[np.int64]
    steps: int
    lanes: int
    returns: NDArray[np.float64]

    @classmethod
    def of(cls, market: Market, config: EarnHftConfig, parts: Parts) -> Chunks:
        """Chunks of `config.low.chunk_ns` one behind the other; a shorter part is one chunk.

        Raises:
            TrainError: a part without a single decision.
        """
        room = parts.train.length_ns // config.interval_ns
        steps = min(config.low.chunk_ns // config.interval_ns, room)
        if steps < 1:
            raise TrainError(
                f"the training part of {parts.train.length_ns / 1e9:g} s holds no decision: take a longer tape"
            )
        lanes = min(config.low.lanes, steps)
        steps -= steps % lanes
        starts = parts.train.low_ns + np.arange(room // steps, dtype=np.int64) * steps * config.interval_ns
        edges = [_mid2(market, int(t)) for t in (*starts, starts[-1] + steps * config.interval_ns)]
        mids = np.array(edges, np.float64)
        return cls(starts, steps, lanes, mids[1:] / mids[:-1] - 1.0)


@dataclass
class LowCounts:
    """What was done so far; the two passes' transitions, gradient steps, samples."""

    taught: int = 0
    own: int = 0
    vector_steps: int = 0
    updates: int = 0
    samples: int = 0


def schedule(first: float, last: float, share: float, done: float) -> float:
    """A value that falls linearly from `first` to `last` while `done` rises from 0 to `share`, and then stays."""
    return first + (last - first) * min(1.0, max(0.0, done / share))


def train_low(
    config: EarnHftConfig, market: Market, parts: Parts, beta: float, folder: str | Path,
    progress: Progress | None = None,
) -> list[Path]:  # fmt: skip
    """Train one preference's agents and return the files of those that were saved, in their order.

    A folder that holds the finished result of equal inputs is left as it is; an unfinished one is gone on with.

    Args:
        config: settings.
        market: the whole tape; only `parts.train` is looked at.
        beta: the preference, one of `config.low.betas`.
        folder: made if it is not there.
        progress: called with (transitions done, transitions in total) after each sample.

    Raises:
        RunFolderError: a folder of other inputs. TrainError: an unknown preference, a loss that is not finite.
    """
    if beta not in config.low.betas:
        raise TrainError(f"unknown preference {beta}; the config has {config.low.betas}")
    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    inputs = hashlib.sha256(f"{config.digest}|{market.digest}|{beta!r}|{parts}".encode()).hexdigest()
    paths = [root / f"agent_{k:03d}.npz" for k in range(config.low.samples // config.low.checkpoint_every)]
    if (root / RECORD).is_file():
        found = msgspec.json.decode((root / RECORD).read_bytes())
        if found.get("inputs") != inputs:
            raise RunFolderError(f"{root} holds agents of another configuration or tape: choose another folder")
        return paths
    with deterministic_torch(config.threads):
        run = _Run(config, market, parts, beta)
        run.resume(root / STATE, inputs)
        _learn(run, root, inputs, paths, progress)
    write_json(root / RECORD, {"inputs": inputs, "beta": beta, "agents": len(paths)} | asdict(run.counts))
    (root / STATE).unlink(missing_ok=True)
    return paths


def _learn(run: _Run, root: Path, inputs: str, paths: list[Path], progress: Progress | None) -> None:
    every = run.low.checkpoint_every
    saved = time.perf_counter()
    while run.counts.samples < run.low.samples:
        run.sample()
        done = run.counts.samples
        if done % every == 0 and done // every <= len(paths):
            run.net.weights(run.config.columns, run.spec.targets).save(paths[done // every - 1])
            run.log()
            _write_log(root / LOG, run.rows)
            if time.perf_counter() - saved > SAVE_SECONDS:
                run.save(root / STATE, inputs)
                saved = time.perf_counter()
        if progress is not None:
            progress(run.counts.taught + run.counts.own, run.total)


class _Run:
    """The state of one preference's training."""

    def __init__(self, config: EarnHftConfig, market: Market, parts: Parts, beta: float) -> None:
        low = config.low
        self.config, self.market, self.parts, self.low = config, market, parts, low
        self.spec = config.low_spec(market)
        self.chunks = Chunks.of(market, config, parts)
        self.weights = preference_weights(self.chunks.returns, beta)
        self.total = low.samples * 2 * self.chunks.steps
        self.scale = low.reward_scale / limit_bps_units(market, self.spec, parts)
        words = np.random.SeedSequence([config.seed, _STAGE, low.betas.index(beta)]).generate_state(2, np.uint64)
        self.rng = np.random.Generator(np.random.PCG64(int(words[0])))
        actions = len(self.spec.targets)
        self.net = QNet(len(config.columns), self.spec.targets, actions, config.hidden, int(words[1] >> np.uint64(1)))
        self.learner = Learner(self.net, config.gamma, low.tau, low.clip, config.corrections.double)
        self.buffers = [Replay(low.buffer_size, len(config.columns), actions) for _ in range(2)]
        self.desk = Desk(self.spec, market, self.chunks.lanes, end_ns=parts.train.high_ns)
        self.counts = LowCounts()
        self.rows: list[dict[str, float | None]] = []
        self.earned = [0.0, 0.0]  # by the last sample's two passes, bps of the limit an hour
        self.losses: Losses | None = None
        self._features = np.array([self.spec.layout.names.index(name) for name in config.columns])
        self._place = self.spec.layout.names.index(INVENTORY)

    # -- walking -------------------------------------------------------------------------------------------------------

    def sample(self) -> None:
        """Draw a chunk and walk it twice."""
        start = int(self.chunks.starts[self.rng.choice(len(self.weights), p=self.weights)])
        ahead_ns = self.low.lookahead_ns + self.chunks.steps * self.config.interval_ns
        steps = (min(start + ahead_ns, self.parts.train.high_ns) - start) // self.config.interval_ns
        prices = HindsightPrices.of(self.market, self.spec, start, int(steps))
        lesson = np.maximum(teach(prices, self.config.gamma, self.scale, self.chunks.steps), _FORBIDDEN)
        for which in (_TEACHER, _OWN):
            self._walk(start, lesson, which)
        self.counts.samples += 1

    def _walk(self, start: int, lesson: NDArray[np.float32], which: int) -> None:
        """One pass over a chunk, all of its pieces at once."""
        lanes, desk = self.chunks.lanes, self.desk
        piece = self.chunks.steps // lanes
        rows = np.arange(lanes) * piece
        desk.reset(start + rows * self.config.interval_ns, self.rng.integers(0, 1 << 62, lanes))
        observed = desk.observe()
        earned = 0.0
        for step in range(piece):
            features, position = observed[:, self._features], observed[:, self._place]
            shares = hat(self.spec.targets, position)
            taught = np.einsum("np,npa->na", shares, lesson[rows + step])
            chosen = greedy(taught) if which == _TEACHER else self._explore(features, position)
            observed, result = desk.step(chosen[:, None].astype(np.int32))
            reward = (result.pnl * self.scale).astype(np.float32)
            earned += float(reward.sum())
            self.buffers[which].add(
                Batch(features, position, chosen, reward, observed[:, self._features], observed[:, self._place], taught)
            )  # fmt: skip
            self._count(which, lanes)
            self._update()
        hours = self.chunks.steps * self.config.interval_ns / 3.6e12
        self.earned[which] = earned / self.low.reward_scale / hours

    def _explore(self, features: NDArray[np.float32], position: NDArray[np.float32]) -> NDArray[np.int64]:
        lanes = len(position)
        chosen = self.rng.integers(0, len(self.spec.targets), lanes)
        own = self.rng.random(lanes) >= self.epsilon
        chosen[own] = greedy(self._values(features[own], position[own]))
        return chosen

    def _values(self, features: NDArray[np.float32], position: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.no_grad():
            made: NDArray[np.float32] = self.net(torch.from_numpy(features), torch.from_numpy(position)).numpy()
        return made

    def _count(self, which: int, lanes: int) -> None:
        self.counts.vector_steps += 1
        if which == _TEACHER:
            self.counts.taught += lanes
        else:
            self.counts.own += lanes

    # -- learning ------------------------------------------------------------------------------------------------------

    @property
    def done(self) -> float:
        """Share of the run's transitions."""
        return (self.counts.taught + self.counts.own) / self.total

    @property
    def epsilon(self) -> float:
        """Chance of a random action now."""
        low, counts = self.low, self.counts
        seen = counts.own if self.config.corrections.own_epsilon else counts.own + counts.taught
        return schedule(low.epsilon_first, low.epsilon_last, low.epsilon_share, 2.0 * seen / self.total)

    @property
    def due(self) -> int:
        """Gradient steps that should have been made by now."""
        if not self.config.corrections.lane_free_updates:
            return self.counts.vector_steps // UNCORRECTED_STEPS
        return int((self.counts.taught + self.counts.own) * self.low.updates_per_transition + 1e-9)

    def _update(self) -> None:
        low = self.low
        if sum(map(len, self.buffers)) < min(low.batch_size, low.buffer_size):
            return
        while self.counts.updates < self.due:
            filled = [buffer for buffer in self.buffers if len(buffer) > 0]
            share = low.batch_size // len(filled)
            rows = np.concatenate([buffer.draw(share, self.rng) for buffer in filled])
            self.counts.updates += 1
            losses = self.learner.step(
                self.buffers[0].unpack(rows),
                schedule(low.rate_first, low.rate_last, 1.0, self.done),
                schedule(low.kl_first, low.kl_last, low.kl_share, self.done),
                self.counts.updates % 32 == 1,
            )
            self.losses = losses or self.losses

    def log(self) -> None:
        """Add a row to what is measured at each saved agent."""
        self.rows.append(
            asdict(self.counts)
            | {
                "teacher_bps_an_hour": self.earned[_TEACHER],
                "own_bps_an_hour": self.earned[_OWN],
                "td": self.losses.td if self.losses else None,
                "kl": self.losses.kl if self.losses else None,
                "epsilon": self.epsilon,
            }
        )

    # -- to go on from -------------------------------------------------------------------------------------------------

    def save(self, path: Path, inputs: str) -> None:
        """Write everything that the next sample depends on, aside and renamed."""
        plain = {
            "inputs": inputs, "counts": asdict(self.counts), "rows": self.rows, "earned": self.earned,
            "losses": asdict(self.losses) if self.losses else None,
            "rng": {key: str(value) for key, value in _flat(self.rng.bit_generator.state).items()},
            "added": [buffer.added for buffer in self.buffers],
        }  # fmt: skip
        arrays: dict[str, Any] = dict(self.learner.state())
        arrays |= {f"rows_{k}": buffer.rows[: len(buffer)] for k, buffer in enumerate(self.buffers)}
        aside = path.with_name(path.name + ".part")
        with aside.open("wb") as file:
            np.savez(file, plain=np.frombuffer(msgspec.json.encode(plain), np.uint8), **arrays)
        os.replace(aside, path)

    def resume(self, path: Path, inputs: str) -> None:
        """Go on from a saved state, if there is one.

        Raises:
            RunFolderError: it belongs to other inputs.
        """
        if not path.is_file():
            return
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        plain = msgspec.json.decode(arrays.pop("plain").tobytes())
        if plain["inputs"] != inputs:
            raise RunFolderError(f"{path} belongs to another configuration or tape: choose another folder")
        self.learner.restore(arrays)
        for k, buffer in enumerate(self.buffers):
            kept = arrays[f"rows_{k}"]
            buffer.rows[: len(kept)] = kept
            buffer.added = plain["added"][k]
        words = {key: int(value) for key, value in plain["rng"].items()}
        self.rng.bit_generator.state = {
            "bit_generator": "PCG64", "state": {key: words.pop(key) for key in ("state", "inc")}, **words
        }  # fmt: skip
        self.counts, self.rows, self.earned = LowCounts(**plain["counts"]), plain["rows"], plain["earned"]
        self.losses = Losses(**plain["losses"]) if plain["losses"] else None


def _flat(state: Any) -> dict[str, int]:
    """The integers of a PCG64's state, among them the half of a word that was not used yet."""
    return {**state["state"], "has_uint32": state["has_uint32"], "uinteger": state["uinteger"]}


def _mid2(market: Market, t_ns: int) -> int:
    book = market.local_view[0]
    return int(last_quoted_mid2(book, cursor_at(book, t_ns), 0))


def _write_log(path: Path, rows: list[dict[str, float | None]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    aside = path.with_name(path.name + ".part")
    aside.write_text(text.getvalue(), "utf-8")
    os.replace(aside, path)
