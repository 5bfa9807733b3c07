"""Stage II: every agent walks every validation segment from every position, and the best ones become the pool.

A cell of the pool is a label and a position. Of all agents the one is kept that earned most per step in segments of
that label when it began them at that position. Lanes are independent, so that how they are grouped changes nothing.

A label is known only when its segment is over: in a falling segment an agent that is always short beats one that can
see what comes. So the pool has one choice more, for no trend, with the agents that did best in all segments; it is what
a router that cannot tell the trends should name.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from lobgym.agents.earnhft.joint import JointQ
from lobgym.agents.earnhft.network import QWeights
from lobgym.agents.earnhft.segments import Segment
from lobgym.agents.errors import RunFolderError, TrainError
from lobgym.envs.pool import PolicyProfile, Pool, PositionProfile
from lobgym.sim.desk import Desk
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.latency import LatencyQuantiles, LatencyTable
from lobgym.sim.market import Market
from lobgym.sim.rng import stream_key

__all__ = ["AgentPool", "Scores", "choose_pool", "play_segments", "together", "warm_steps"]

INVENTORY: Final = "inventory"
_POOL_FILE: Final = "pool.json"
_PLAYED_TOGETHER: Final = 8  # segments of about the same length whose lanes go side by side
_SEED_STREAM: Final = 61


# -- playing -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scores:
    """What agents earned.

    Attributes:
        pnl: int64[agents, P, S], money units, by start position and segment.
        steps: int64[S], decisions of each segment.
        labels: int64[S].
    """

    pnl: NDArray[np.int64]
    steps: NDArray[np.int64]
    labels: NDArray[np.int64]

    def cells(self, labels: int, shrink: float = 0.0) -> NDArray[np.float64]:
        """float64[agents, P, L]: money units per step, over all steps of the label's segments.

        Args:
            labels: L.
            shrink: each label's mean is drawn towards the agent's mean over all segments (of that start position) as
                if so many segments of average length had earned that. A label without segments has that mean.
        """
        overall = self.pnl.sum(axis=2) / max(1, int(self.steps.sum()))
        weight = shrink * float(self.steps.mean())
        made = np.empty((*self.pnl.shape[:2], labels))
        for label in range(labels):
            rows = self.labels == label
            steps = float(self.steps[rows].sum())
            if steps + weight == 0.0:
                made[:, :, label] = overall
            else:
                made[:, :, label] = (self.pnl[:, :, rows].sum(axis=2) + weight * overall) / (steps + weight)
        return made

    @classmethod
    def join(cls, scores: Sequence[Scores]) -> Scores:
        """Scores of several groups of agents in the same segments, as one."""
        return cls(np.concatenate([one.pnl for one in scores]), scores[0].steps, scores[0].labels)


def warm_steps(spec: DeskSpec) -> int:
    """Steps before a segment in which a lane takes its start position: until an order has gone and come back, twice.

    At the slowest, where delays vary.
    """
    params, model = spec.params, spec.params.latency
    trip_ns = params.entry_ns + params.submit_extra_ns + params.response_ns
    if isinstance(model, LatencyQuantiles):
        trip_ns += model.entry_ns[-1] + model.response_ns[-1]
    elif isinstance(model, LatencyTable):
        sent, arrived, answered = model.arrays()
        trip_ns += int(np.abs(arrived - sent).max() + (answered - arrived).max())
    return 2 * (1 + trip_ns // spec.interval_ns)


def together(lanes: int, positions: int) -> int:
    """Agents that walk side by side where about so many lanes do, each from every position in several segments."""
    return max(1, lanes // (positions * _PLAYED_TOGETHER))


def play_segments(
    market: Market, spec: DeskSpec, agents: Sequence[QWeights], segments: Sequence[Segment], seed: int, lanes: int = 512
) -> Scores:
    """Every agent in every segment from every position of the desk's targets.

    A lane takes its start position in the steps just before the segment (`warm_steps`), which are not counted; then the
    agent decides until the segment's end, where what is held is marked at the mid. A lane's seed depends on segment
    and position alone: all agents meet the same market.

    Args:
        market: the compiled tape.
        spec: a target desk whose layout has the agents' columns and `inventory`.
        agents: of one shape.
        segments: at least `warm_steps` after the tape's begin, or they are shortened to that.
        seed: of the lanes.
        lanes: about so many go side by side.

    Raises:
        TrainError: no segments, or one shorter than a step.
    """
    joint = JointQ(agents)
    positions = len(spec.targets)
    warm = warm_steps(spec)
    starts = np.array([max(s.low_ns, market.start_ns + warm * spec.interval_ns) for s in segments], np.int64)
    steps = (np.array([s.high_ns for s in segments], np.int64) - starts) // spec.interval_ns
    if len(segments) == 0 or steps.min() < 1:
        raise TrainError(f"expected segments of at least one step of {spec.interval_ns / 1e9:g} s, got {segments}")
    pnl = np.zeros((len(agents), positions, len(segments)), np.int64)
    size = together(lanes, positions)
    order = np.argsort(-steps, kind="stable")
    for first in range(0, len(agents), size):
        who = np.arange(first, min(first + size, len(agents)))
        some = max(1, lanes // (positions * len(who)))
        for at in range(0, len(order), some):
            which = order[at : at + some]
            agent, place, segment = (
                grid.ravel() for grid in np.meshgrid(who, np.arange(positions), which, indexing="ij")
            )
            earned = _play(
                market, spec, joint, agent, place, starts[segment], steps[segment], _seeds(seed, segment, place)
            )
            pnl[agent, place, segment] = earned
    return Scores(pnl, steps, np.array([s.label for s in segments], np.int64))


def _seeds(seed: int, segment: NDArray[np.int64], place: NDArray[np.int64]) -> NDArray[np.uint64]:
    with np.errstate(over="ignore"):
        base = int(stream_key(seed, _SEED_STREAM))
    return np.array(
        [(base + 4096 * int(s) + int(p)) % (1 << 63) for s, p in zip(segment, place, strict=True)], np.uint64
    )


def _play(
    market: Market, spec: DeskSpec, joint: JointQ, agents: NDArray[np.int64], places: NDArray[np.int64],
    starts: NDArray[np.int64], steps: NDArray[np.int64], seeds: NDArray[np.uint64],
) -> NDArray[np.int64]:  # fmt: skip
    """int64[N]: what each lane earned, money units."""
    desk = Desk(spec, market, len(agents))
    warm = warm_steps(spec)
    desk.reset(starts - warm * spec.interval_ns, seeds)
    codes = places.astype(np.int32)[:, None]
    for _ in range(warm):
        observations, _ = desk.step(codes)
    features = np.array([spec.layout.columns.index(name) for name in joint.columns], np.intp)
    inventory = spec.layout.columns.index(INVENTORY)
    earned = np.zeros(len(agents), np.int64)
    for step in range(int(steps.max())):
        live = step < steps
        codes = joint.act(agents, observations[:, features], observations[:, inventory]).astype(np.int32)[:, None]
        observations, result = desk.step(codes, live)
        earned += np.where(live, result.pnl, 0)
    return earned


# -- the pool ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AgentPool:
    """Which agent acts for a label from a position on.

    Attributes:
        positions: the P start positions, fractions of the limit, ascending.
        agents: those that hold a cell.
        members: int64[P, L], indices of `agents`.
        nearest: whether a position takes the nearest row; else the last one at or below it (`PositionProfile`).
        general: the label that stands for no trend, whose agents did best in all segments; None where there is none.

    Raises:
        TrainError: members that do not fit positions and agents.
    """

    positions: tuple[float, ...]
    agents: tuple[QWeights, ...]
    members: NDArray[np.int64]
    nearest: bool = True
    general: int | None = None

    def __post_init__(self) -> None:
        members = np.ascontiguousarray(self.members, np.int64)
        object.__setattr__(self, "members", members)
        if members.ndim != 2 or members.shape[0] != len(self.positions) or members.shape[1] < 2:
            raise TrainError(
                f"members must have a row for each of {len(self.positions)} positions and at least 2 labels, got the "
                f"shape {list(members.shape)}"
            )
        if not self.agents or members.min() < 0 or members.max() >= len(self.agents):
            raise TrainError(f"members must be numbers of the {len(self.agents)} agents, got {members.tolist()}")
        if self.general is not None and not 0 <= self.general < members.shape[1]:
            raise TrainError(f"general must be one of the {members.shape[1]} labels, got {self.general}")

    @property
    def labels(self) -> int:
        """Number of labels, L."""
        return int(self.members.shape[1])

    @property
    def joint(self) -> JointQ:
        """All agents, ready to act."""
        return JointQ(self.agents)

    def place(self, held: NDArray[np.float32]) -> NDArray[np.int64]:
        """int64[n]: the row of `members` for each position held, fractions of the limit."""
        return _profile(self, "place", ()).member_at(held)

    def agent(self, held: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """int64[n]: the index of the agent that acts for each label from each position on."""
        found: NDArray[np.int64] = self.members[self.place(held), labels]
        return found

    def pool(self, spec: DeskSpec) -> Pool:
        """What `Router-v0` chooses from: a profile a label, and one actor for all of them.

        Raises:
            TrainError: the desk's targets are not the agents'.
        """
        if spec.kind != "target" or spec.targets != self.agents[0].targets:
            raise TrainError(
                f"the agents act at a target desk with the targets {self.agents[0].targets}, got {spec.kind!r} with "
                f"{spec.targets}"
            )
        actor = _Joint(self)
        columns = (*actor.columns,)
        profiles = []
        for label in range(self.labels):
            members = tuple(
                PolicyProfile(
                    f"label-{label} from {position:+g}", _Member(actor, label * len(self.positions) + row), columns
                )
                for row, position in enumerate(self.positions)
            )
            profiles.append(_profile(self, f"label-{label}", members))
        return Pool(tuple(profiles), actor)

    def save(self, folder: str | Path) -> None:
        """Write pool.json and an agent_NNN.npz each; pool.json last, renamed into place."""
        root = Path(folder)
        root.mkdir(parents=True, exist_ok=True)
        for number, agent in enumerate(self.agents):
            agent.save(root / f"agent_{number:03d}.npz")
        plain = {
            "positions": list(self.positions),
            "members": self.members.tolist(),
            "nearest": self.nearest,
            "general": self.general,
            "agents": [agent.digest for agent in self.agents],
        }
        aside = root / f"{_POOL_FILE}.part"
        aside.write_bytes(msgspec.json.format(msgspec.json.encode(plain), indent=2) + b"\n")
        os.replace(aside, root / _POOL_FILE)

    @classmethod
    def load(cls, folder: str | Path) -> AgentPool:
        """The inverse of `save`.

        Raises:
            RunFolderError: a file is missing, malformed, or not the one that was saved.
        """
        root = Path(folder)
        try:
            plain: dict[str, Any] = msgspec.json.decode((root / _POOL_FILE).read_bytes(), type=dict[str, Any])
            agents = tuple(QWeights.load(root / f"agent_{n:03d}.npz") for n in range(len(plain["agents"])))
            members = np.array(plain["members"], np.int64)
            made = cls(
                tuple(float(x) for x in plain["positions"]), agents, members, bool(plain["nearest"]), plain["general"]
            )  # fmt: skip
        except (OSError, KeyError, ValueError, TypeError, msgspec.DecodeError) as error:
            raise RunFolderError(f"{root} holds no pool of agents of this version: {error}") from error
        if [agent.digest for agent in agents] != plain["agents"]:
            raise RunFolderError(f"an agent in {root} is not the one that was saved there: make the pool again")
        return made


def _profile(pool: AgentPool, name: str, members: tuple[PolicyProfile, ...]) -> PositionProfile:
    """A label's profile; without members one that only knows where each position belongs."""
    made = members or tuple(PolicyProfile(name, _Nobody()) for _ in pool.positions)
    return PositionProfile(name, pool.positions, made, pool.nearest)


class _Nobody:
    """Holds a member's place where only the place is asked for."""

    def act(self, observations: NDArray[np.float32]) -> NDArray[Any]:
        raise TrainError("this member only holds a place and does not act")


class _Joint:
    """`lobgym.envs.pool.JointActor` of a pool: actors are numbered label by label, and in a label by position."""

    def __init__(self, pool: AgentPool) -> None:
        self._joint = pool.joint
        self.columns = (*self._joint.columns, INVENTORY)
        self._agents = np.ascontiguousarray(pool.members.T).ravel()

    def act_as(self, actors: NDArray[np.int64], observations: NDArray[np.float32]) -> NDArray[Any]:
        return self._joint.act(self._agents[actors], observations[:, :-1], observations[:, -1])


class _Member:
    """One actor of a `_Joint`, alone."""

    def __init__(self, joint: _Joint, actor: int) -> None:
        self._joint = joint
        self._actor = actor

    def act(self, observations: NDArray[np.float32]) -> NDArray[Any]:
        return self._joint.act_as(np.full(len(observations), self._actor), observations)


def choose_pool(
    agents: Sequence[QWeights],
    scores: Scores,
    labels: int,
    shrink: float = 0.0,
    nearest: bool = True,
    general: bool = False,
) -> AgentPool:
    """The agent with the best mean of each cell, of equals the first; agents without a cell are left out.

    Args:
        agents: all of them. scores: theirs.
        labels: trends. shrink: see `Scores.cells`. nearest: see `AgentPool`.
        general: adds a label for no trend: for each position the best over all segments.
    """
    best = scores.cells(labels, shrink).argmax(axis=0)
    if general:
        best = np.concatenate([best, scores.pnl.sum(axis=2).argmax(axis=0)[:, None]], axis=1)
    used, members = np.unique(best, return_inverse=True)
    return AgentPool(
        agents[0].targets, tuple(agents[int(k)] for k in used), members.reshape(best.shape).astype(np.int64), nearest,
        labels if general else None,
    )  # fmt: skip
