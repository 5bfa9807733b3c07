"""Stage III: a router learns on `Router-v0` which label of the pool acts in each macro step.

It is a double DQN over (router's columns, position) with the network of the low level, one action a label. Rewards are
those of the whole macro step in basis points of the position limit's value. What is kept is chosen on validation data
(`choose`): a router that has learnt to overfit loses to one that always names the same label.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from lobgym.agents.earnhft.joint import JointQ
from lobgym.agents.earnhft.logs import ScalarLog
from lobgym.agents.earnhft.network import QNet, QWeights
from lobgym.agents.earnhft.parts import Parts, Span, limit_bps_units
from lobgym.agents.errors import TrainError
from lobgym.agents.files import LOG_FOLDER
from lobgym.agents.torch_mode import deterministic_torch
from lobgym.agents.trials import sharpe_ratio
from lobgym.envs.router_core import RouterCore
from lobgym.sim.market import Market

if TYPE_CHECKING:
    from lobgym.agents.earnhft.config import EarnHftConfig, RouterSettings
    from lobgym.agents.earnhft.tournament import AgentPool

__all__ = ["Judged", "choose", "constant_router", "judge_routers", "train_router", "windows_of"]

INVENTORY: Final = "inventory"
CHOICE_FILE: Final = "router.json"
_WINDOWS_MAX: Final = 16  # validation time is cut into so many at most, for a spread of the results
_WINDOW_MACROS: Final = 4  # macro steps of a window, at least
_ERRORS: Final = 2.0  # standard errors by which a router must be better than naming one label always
_JUDGED_TOGETHER: Final = 512  # lanes
_SEED_TRAIN, _SEED_JUDGE, _SEED_NET, _SEED_DRAWS = 1, 2, 3, 4

Progress = Callable[[int, int], None]


# -- learning ----------------------------------------------------------------------------------------------------------


class _Replay:
    """The last transitions, in a ring."""

    def __init__(self, room: int, features: int) -> None:
        self.size = 0
        self._at = 0
        self._arrays: tuple[NDArray[Any], ...] = (
            np.zeros((room, features), np.float32), np.zeros(room, np.float32), np.zeros(room, np.int64),
            np.zeros(room, np.float32), np.zeros((room, features), np.float32), np.zeros(room, np.float32),
            np.zeros(room, np.float32),
        )  # fmt: skip

    def add(self, *columns: NDArray[Any]) -> None:
        """Rows of (features, position, action, reward, next features, next position, 1 where it ended for good)."""
        room = len(self._arrays[0])
        count = len(columns[0])
        where = (self._at + np.arange(count)) % room
        for array, column in zip(self._arrays, columns, strict=True):
            array[where] = column
        self._at = (self._at + count) % room
        self.size = min(room, self.size + count)

    def draw(self, count: int, rng: np.random.Generator) -> list[torch.Tensor]:
        rows = rng.integers(self.size, size=count)
        return [torch.from_numpy(array[rows]) for array in self._arrays]


class _Learner:
    """The net, its target and how they change."""

    def __init__(self, config: EarnHftConfig, pool: AgentPool, total: int) -> None:
        self._settings: RouterSettings = config.router
        self._double = config.corrections.double
        size = len(config.router_columns)
        self._columns, self._targets = config.router_columns, pool.positions
        seed = _seed(config.seed, _SEED_NET)
        self.net, self._target = (QNet(size, pool.positions, pool.labels, config.hidden, seed) for _ in range(2))
        self._adam = torch.optim.Adam(self.net.parameters(), lr=self._settings.rate_first)
        self._total = max(1, total)
        self.updates = 0

    def values(self, features: NDArray[np.float32], held: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32[N, L]."""
        with torch.no_grad():
            found: NDArray[np.float32] = self.net(torch.from_numpy(features), torch.from_numpy(held)).numpy()
        return found

    def update(self, batch: list[torch.Tensor], done: int) -> float:
        """One gradient step after `done` transitions; the loss."""
        features, held, actions, rewards, next_features, next_held, ended = batch
        s = self._settings
        with torch.no_grad():
            ahead = self._target(next_features, next_held)
            if self._double:
                best = self.net(next_features, next_held).argmax(dim=1, keepdim=True)
                following = ahead.gather(1, best).squeeze(1)
            else:
                following = ahead.max(dim=1).values
            wanted = rewards + s.gamma * (1.0 - ended) * following
        said = self.net(features, held).gather(1, actions.unsqueeze(1)).squeeze(1)
        loss = torch.nn.functional.mse_loss(said, wanted)
        for group in self._adam.param_groups:
            group["lr"] = s.rate_first + (s.rate_last - s.rate_first) * min(1.0, done / self._total)
        self._adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), s.clip)
        self._adam.step()
        with torch.no_grad():
            for slow, fast in zip(self._target.parameters(), self.net.parameters(), strict=True):
                slow.lerp_(fast, s.tau)
        self.updates += 1
        return float(loss.detach())

    def weights(self) -> QWeights:
        return self.net.weights(self._columns, self._targets)


def train_router(
    config: EarnHftConfig,
    market: Market,
    parts: Parts,
    pool: AgentPool,
    folder: str | Path,
    progress: Progress | None = None,
) -> QWeights:
    """Learn on the training part, choose on the validation part.

    Episodes are numbered, each with a seed of its own, so that neither their number of lanes nor their order decides
    what they meet. Leaves `router.json` (every candidate's result, and which was taken) and logs in the folder.

    Args:
        config: see `RouterSettings`, `Corrections`.
        market: the compiled tape. parts: its parts. pool: what there is to choose from.
        folder: of the run.
        progress: called with (transitions done, transitions in total).

    Raises:
        TrainError: the net diverged.
    """
    root = Path(folder)
    with deterministic_torch(config.threads), ScalarLog(root / LOG_FOLDER, "router") as log:
        candidates, counts = _learn(config, market, parts, pool, log, progress or _nobody)
    learnt = len(candidates)
    candidates += [constant_router(config, pool, label) for label in range(pool.labels)]
    span = parts.validation if config.corrections.validation_epoch else parts.test
    judged = judge_routers(config, market, parts, pool, candidates, span)
    taken = choose(judged.bps, learnt, pool.general)
    plain = {
        "taken": taken,
        "kind": "learnt" if taken < learnt else f"always label {taken - learnt}",
        "judged_on": "validation" if config.corrections.validation_epoch else "test",
        "learnt": learnt,
        "windows": judged.bps.shape[1],
        "bps": [float(x) for x in judged.bps.mean(axis=1)],
        "sharpes": [sharpe_ratio(windows) for windows in judged.bps.tolist()],
        "digests": [one.digest for one in candidates],
        "judged_steps": judged.steps,
        **counts,
    }
    root.mkdir(parents=True, exist_ok=True)
    aside = root / f"{CHOICE_FILE}.part"
    aside.write_bytes(msgspec.json.format(msgspec.json.encode(plain), indent=2) + b"\n")
    os.replace(aside, root / CHOICE_FILE)
    return candidates[taken]


def _learn(
    config: EarnHftConfig, market: Market, parts: Parts, pool: AgentPool, log: ScalarLog, progress: Progress
) -> tuple[list[QWeights], dict[str, int]]:
    """The checkpoints, and counts of what was done."""
    s = config.router
    macro_ns = config.macro_steps * config.interval_ns
    horizon = max(1, min(s.episode_ns, parts.train.length_ns) // macro_ns)
    lanes, total = min(s.lanes, s.samples), s.samples * horizon
    core = _core(config, market, pool, lanes, horizon, parts.train)
    unit = limit_bps_units(market, core.spec, parts) / s.reward_scale
    learner, replay = _Learner(config, pool, total), _Replay(s.buffer_size, len(config.router_columns))
    rng = np.random.Generator(np.random.PCG64(_seed(config.seed, _SEED_DRAWS)))
    ratio = s.updates_per_transition
    made: list[QWeights] = []
    done, owed, losses, earned = 0, 0.0, [0.0], 0.0
    for first in range(0, s.samples, lanes):
        live = np.arange(lanes) < s.samples - first
        core.seed([_seed(config.seed, _SEED_TRAIN) + first + i for i in range(lanes)], live)
        core.begin(live)
        features, held = _state(core, config)
        while live.any():
            epsilon = _falling(s.epsilon_first, s.epsilon_last, done / (s.epsilon_share * total))
            random, drawn = rng.random(lanes) < epsilon, rng.integers(pool.labels, size=lanes)
            actions = np.where(random, drawn, learner.values(features, held).argmax(axis=1)).astype(np.int64)
            step = core.step(actions, live)
            rewards = step.values["pnl_units"] / unit
            next_features, next_held = _state(core, config)
            over = step.terminated | step.truncated
            stored = live if config.corrections.store_terminal else live & ~over
            following = next_held if config.corrections.next_position else held
            replay.add(
                features[stored], held[stored], actions[stored], rewards[stored].astype(np.float32),
                next_features[stored], following[stored], step.terminated[stored].astype(np.float32),
            )  # fmt: skip
            count = int(live.sum())
            before, done, earned = done, done + count, earned + float(rewards[live].sum())
            owed += ratio * (count if config.corrections.lane_free_updates else 1)
            while owed >= 1.0 and replay.size >= s.batch_size:
                losses.append(learner.update(replay.draw(s.batch_size, rng), done))
                owed -= 1.0
            every = s.checkpoint_every * horizon
            if done // every > before // every:
                if not np.isfinite(losses[-1]):
                    raise TrainError("the router's loss is no longer finite: lower rate_first or reward_scale")
                made.append(learner.weights())
                log.write(done, epsilon=epsilon, loss=float(np.mean(losses[-100:])), reward=earned / done)
            live, features, held = live & ~over, next_features, next_held
            progress(done, total)
    if not made:
        made.append(learner.weights())
    return made, {"transitions": done, "updates": learner.updates, "steps": done * config.macro_steps}


def constant_router(config: EarnHftConfig, pool: AgentPool, label: int) -> QWeights:
    """A router that always names one label."""
    net = QNet(len(config.router_columns), pool.positions, pool.labels, 1)
    with torch.no_grad():
        net.b3[label] = 1.0
    return net.weights(config.router_columns, pool.positions)


# -- judging -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Judged:
    """What routers earned.

    Attributes:
        bps: float64[C, W], of the position limit's value, by router and window.
        steps: of the environment below, over all.
    """

    bps: NDArray[np.float64]
    steps: int


def windows_of(config: EarnHftConfig, span: Span) -> tuple[tuple[int, ...], int]:
    """Starts of equally long windows that cover a span but for less than a macro step each, and their macro steps."""
    macro_ns = config.macro_steps * config.interval_ns
    macros = max(1, span.length_ns // macro_ns)
    count = max(1, min(_WINDOWS_MAX, macros // _WINDOW_MACROS))
    length = macros // count
    gap = span.length_ns // count
    return tuple(span.low_ns + k * gap for k in range(count)), length


def judge_routers(
    config: EarnHftConfig, market: Market, parts: Parts, pool: AgentPool, routers: Sequence[QWeights], span: Span
) -> Judged:
    """Every router greedily in every window of a span, each beginning flat; lanes of one window share a seed."""
    starts, macros = windows_of(config, span)
    together = max(1, _JUDGED_TOGETHER // len(starts))
    bps = np.zeros((len(routers), len(starts)))
    steps = 0
    for number, group in _shapes(routers, together):
        size = len(group)
        core = _core(config, market, pool, size * len(starts), macros, span, starts * size)
        everyone = np.ones(core.lanes, np.bool_)
        seeds: list[int | None] = [_seed(config.seed, _SEED_JUDGE) + k for k in range(len(starts))]
        core.seed(seeds * size, everyone)
        core.begin(everyone)
        joint, who = JointQ(group), np.repeat(np.arange(size), len(starts))
        earned, live = np.zeros(core.lanes, np.int64), everyone
        while live.any():
            step = core.step(joint.act(who, *_state(core, config)), live)
            earned += np.where(live, step.values["pnl_units"], 0)
            steps += int(step.values["inner_steps"][live].sum())
            live = live & ~(step.terminated | step.truncated)
        bps[number] = earned.reshape(size, len(starts)) / limit_bps_units(market, core.spec, parts)
    return Judged(bps, steps)


def _shapes(routers: Sequence[QWeights], together: int) -> list[tuple[list[int], list[QWeights]]]:
    """Routers of one width side by side, at most `together`, with their places."""
    groups: list[tuple[list[int], list[QWeights]]] = []
    for width in sorted({one.b1.size for one in routers}):
        places = [k for k, one in enumerate(routers) if one.b1.size == width]
        for at in range(0, len(places), together):
            some = places[at : at + together]
            groups.append((some, [routers[k] for k in some]))
    return groups


def choose(bps: NDArray[np.float64], learnt: int, general: int | None = None) -> int:
    """Which candidate to keep, of results [C, W], the first `learnt` of which have learnt and the others are constant.

    The constant one of the label `general`, or without it the best constant one, unless the best of all others beats it
    by more than two standard errors of their differences over the windows. The best of many noisy results is expected
    to look better than it is; what cannot be told from the plain choice is not worth its noise.
    """
    means = bps.mean(axis=1)
    plain = learnt + (int(np.argmax(means[learnt:])) if general is None else general)
    best = int(np.argmax(means))
    ahead = bps[best] - bps[plain]
    error = float(ahead.std(ddof=1)) / len(ahead) ** 0.5 if len(ahead) > 1 else abs(float(ahead[0]))
    return best if float(ahead.mean()) > _ERRORS * error else plain


# -- the environment ---------------------------------------------------------------------------------------------------


def _core(
    config: EarnHftConfig, market: Market, pool: AgentPool, lanes: int, macros: int, span: Span,
    starts: tuple[int, ...] = (),
) -> RouterCore:  # fmt: skip
    spec = config.spec(market)
    return RouterCore(
        "target", market, lanes, pool.pool(spec), config.macro_steps, macros, config.router_columns, spec,
        split=span.bounds, start=starts or "random",
    )  # fmt: skip


def _state(core: RouterCore, config: EarnHftConfig) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Features float32[N, D] and positions float32[N] of every lane."""
    return core.observe()[:, : len(config.router_columns)], core.column(INVENTORY)


def _falling(first: float, last: float, share: float) -> float:
    return first + (last - first) * min(1.0, share)


def _seed(seed: int, stream: int) -> int:
    """A seed of its own for each purpose, with room for the lanes behind it."""
    return (seed * 64 + stream) << 20


def _nobody(done: int, total: int) -> None:
    """Nobody watches."""
