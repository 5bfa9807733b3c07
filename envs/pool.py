"""`Pool`: what a router chooses from. Each entry, a profile, acts for a lane during a whole macro step.

Three kinds of profile:

- `CodeProfile`: a rule, the same codes of the desk's action at every step;
- `PolicyProfile`: a policy that looks at the lane's observation at every step;
- `PositionProfile`: one of several of these, chosen by the lane's position when the macro step begins. That is how a
  pool of specialists, each trained to start from one position, hangs below one choice of the router.

`BoundPool` is a pool on a desk: it turns choices and observations into the raw actions of the lower environment.
A pool of many policies of one shape may bring a `JointActor`, which is asked once a step for all lanes, in place of
every policy for its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.errors import ActionError, ParamsError
from lobgym.sim.observation import ObservationLayout

__all__ = [
    "POOL_MAX",
    "Actor",
    "BoundPool",
    "CodeProfile",
    "JointActor",
    "PolicyProfile",
    "Pool",
    "PoolLike",
    "PositionProfile",
    "Profile",
    "default_pool",
]

POOL_MAX: Final = 256  # profiles of a pool
_JOINT: Final = -1  # in place of an actor's number
_POSITION_COLUMN: Final = "inventory"  # position / position limit, as the lane knows it


@runtime_checkable
class Actor(Protocol):
    """What acts for a profile; every `lobgym.agents.Policy` does.

    It is asked for those rows only whose lanes it acts for just now, so its answer to a row must depend on that row
    alone: not on the other rows, nor on how often it was asked.
    """

    def act(self, observations: NDArray[np.float32]) -> NDArray[Any]:
        """Observations float32[n, D] -> actions float32[n, A] in [-1, 1], or int64[n] choices."""


@runtime_checkable
class JointActor(Protocol):
    """What acts for all policies of a pool at once, as each of them would.

    Attributes:
        columns: what it reads, in its order, names of columns.
    """

    columns: tuple[str, ...]

    def act_as(self, actors: NDArray[np.int64], observations: NDArray[np.float32]) -> NDArray[Any]:
        """What actor `actors[i]` (its number in `Pool.actors`, a policy's) says to row i of float32[n, D].

        An answer must be the one that the actor's own policy gives, and depend on its row alone.
        """


@dataclass(frozen=True)
class CodeProfile:
    """A rule: the same codes at every step.

    Attributes:
        name: in the pool, unique.
        codes: one code for each dimension of the desk's action (`ActionSpec.names`, `ActionSpec.bins`).
    """

    name: str
    codes: tuple[int, ...]


@dataclass(frozen=True)
class PolicyProfile:
    """A policy that acts at every step of the macro step.

    Attributes:
        name: in the pool, unique.
        policy: see `Actor`.
        columns: what it reads, in its order, columns or groups of them; None takes the desk's own layout.
    """

    name: str
    policy: Actor
    columns: tuple[str, ...] | None = None


@dataclass(frozen=True)
class PositionProfile:
    """The member whose position is nearest to the lane's when the macro step begins, for the whole macro step.

    The position is the one that the lane knows, as a fraction of the position limit; of two equally near members the
    first acts.

    Attributes:
        name: in the pool, unique.
        positions: fractions of the position limit in [-1, 1], one a member.
        members: rules and policies.
        nearest: False takes the last member at or below the position instead, the first one where there is none; the
            positions must ascend then. (What EarnHFT's published code does, kept to measure what it costs.)

    Raises:
        ParamsError: no members, as many positions as members are not there, one is out of range, or they do not ascend
            where they have to.
    """

    name: str
    positions: tuple[float, ...]
    members: tuple[CodeProfile | PolicyProfile, ...]
    nearest: bool = True

    def __post_init__(self) -> None:
        if not self.members or len(self.positions) != len(self.members):
            raise ParamsError(
                f"profile {self.name!r} needs one position for each of its members, got {len(self.positions)} "
                f"positions and {len(self.members)} members"
            )
        for member in self.members:
            if not isinstance(member, (CodeProfile, PolicyProfile)):
                raise ParamsError(f"a member of {self.name!r} must be a CodeProfile or a PolicyProfile, got {member!r}")
        if not all(-1.0 <= position <= 1.0 for position in self.positions):
            raise ParamsError(f"positions of profile {self.name!r} must lie between -1 and 1, got {self.positions}")
        if not self.nearest and any(low >= high for low, high in pairwise(self.positions)):
            raise ParamsError(f"positions of profile {self.name!r} must ascend to be cut off at, got {self.positions}")

    def member_at(self, held: NDArray[np.float32]) -> NDArray[np.int64]:
        """int64[n]: the member that acts from each of these positions (fractions of the limit) on."""
        positions = np.asarray(self.positions, np.float64)
        if self.nearest:
            away = np.abs(held.astype(np.float64)[:, None] - positions[None, :])
            nearest: NDArray[np.int64] = np.argmin(away, axis=1).astype(np.int64)
            return nearest
        below = np.searchsorted(positions.astype(np.float32), held, side="right") - 1
        return np.maximum(below, 0).astype(np.int64)


Profile: TypeAlias = CodeProfile | PolicyProfile | PositionProfile
PoolLike: TypeAlias = "Pool | Sequence[Profile | Actor]"


@dataclass(frozen=True)
class Pool:
    """The profiles of a router, in the order of its choices.

    Attributes:
        profiles: see above.
        joint: acts for all policies among them at once; None asks each policy for its own lanes.

    Raises:
        ParamsError: fewer than two profiles or more than POOL_MAX, something else than a profile, a name used twice.
    """

    profiles: tuple[Profile, ...]
    joint: JointActor | None = None

    def __post_init__(self) -> None:
        if not 2 <= len(self.profiles) <= POOL_MAX:
            raise ParamsError(f"a pool needs 2 to {POOL_MAX} profiles, got {len(self.profiles)}")
        for profile in self.profiles:
            if not isinstance(profile, (CodeProfile, PolicyProfile, PositionProfile)):
                raise ParamsError(f"a profile must be a CodeProfile, PolicyProfile or PositionProfile, got {profile!r}")
        if len(set(self.names)) != len(self.names):
            raise ParamsError(f"every profile of a pool needs a name of its own, got {', '.join(self.names)}")

    @classmethod
    def of(cls, pool: PoolLike) -> Pool:
        """A pool from profiles and policies; a bare policy is called by its `name`, or by its class and place.

        Raises:
            ParamsError: see the class; or an entry that is neither a profile nor has a method `act`.
        """
        if isinstance(pool, Pool):
            return pool
        entries: Any = pool
        if isinstance(entries, str) or not isinstance(entries, Iterable):
            raise ParamsError(f"pool must be a Pool or a sequence of profiles and policies, got {pool!r}")
        return cls(tuple(_profile_of(entry, place) for place, entry in enumerate(entries)))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the profiles, in the order of the choices."""
        return tuple(profile.name for profile in self.profiles)

    @property
    def size(self) -> int:
        """Number of profiles, P."""
        return len(self.profiles)

    @property
    def actors(self) -> tuple[CodeProfile | PolicyProfile, ...]:
        """Every rule and policy, the members of position profiles in the place of their profile."""
        found: list[CodeProfile | PolicyProfile] = []
        for profile in self.profiles:
            found += profile.members if isinstance(profile, PositionProfile) else (profile,)
        return tuple(found)

    def columns(self, own: tuple[str, ...]) -> tuple[str, ...]:
        """The columns that the pool reads, each once; `own` is what a policy without columns of its own reads."""
        wanted: dict[str, None] = {}
        for actor in self.actors:
            if isinstance(actor, PolicyProfile):
                wanted.update(dict.fromkeys(_columns_of(actor, own)))
        if self.joint is not None:
            wanted.update(dict.fromkeys(self.joint.columns))
        if any(isinstance(profile, PositionProfile) for profile in self.profiles):
            wanted[_POSITION_COLUMN] = None
        return tuple(wanted)


def _columns_of(profile: PolicyProfile, own: tuple[str, ...]) -> tuple[str, ...]:
    """What a policy reads, names of groups of columns written out."""
    return ObservationLayout(own if profile.columns is None else profile.columns).columns


def _profile_of(entry: Any, place: int) -> Profile:
    if isinstance(entry, (CodeProfile, PolicyProfile, PositionProfile)):
        return entry
    if callable(getattr(entry, "act", None)):
        name = getattr(entry, "name", None)
        return PolicyProfile(name if isinstance(name, str) else f"{type(entry).__name__}-{place}", entry)
    raise ParamsError(f"entry {place} of the pool is neither a profile nor a policy with a method act: {entry!r}")


# -- the pools that come with the kinds --------------------------------------------------------------------------------

_RULES: Final[dict[str, tuple[CodeProfile, ...]]] = {
    # spacing, levels, skew, size, pause
    "grid": (
        CodeProfile("pause", (0, 0, 4, 0, 2)),
        CodeProfile("near", (10, 1, 4, 0, 0)),
        CodeProfile("far", (12, 2, 4, 0, 0)),
        CodeProfile("lean-up", (10, 1, 6, 0, 0)),
        CodeProfile("lean-down", (10, 1, 2, 0, 0)),
    ),
    # bid offset, ask offset, size, skew; offset 14: no quote on that side
    "maker": (
        CodeProfile("pause", (14, 14, 0, 0)),
        CodeProfile("near", (8, 8, 0, 4)),
        CodeProfile("far", (11, 11, 0, 4)),
        CodeProfile("bid-only", (8, 14, 0, 4)),
        CodeProfile("ask-only", (14, 8, 0, 4)),
    ),
    # slice, aggressiveness
    "execution": (
        CodeProfile("wait", (0, 0)),
        CodeProfile("patient", (5, 1)),
        CodeProfile("even", (5, 3)),
        CodeProfile("hurry", (8, 4)),
        CodeProfile("cross", (10, 6)),
    ),
}


def default_pool(spec: DeskSpec) -> Pool:
    """Rules for a desk of this kind: five of them, or one for each target position.

    Raises:
        ParamsError: there are none for the kind.
    """
    if spec.kind == "target":
        return Pool(tuple(CodeProfile(f"target{target:+g}", (code,)) for code, target in enumerate(spec.targets)))
    if spec.kind not in _RULES:
        raise ParamsError(f"there is no default pool for desks of kind {spec.kind!r}: give pool=")
    return Pool(_RULES[spec.kind])


# -- a pool on a desk --------------------------------------------------------------------------------------------------


class BoundPool:
    """A pool that acts on one desk.

    Args:
        pool: the profiles.
        spec: the desk; `spec.layout` holds all columns that the pool reads.
        own: columns for policies that name none.

    Raises:
        ParamsError: codes that the desk's action does not have.

    Attributes:
        rules_only: no policy in it, so that nothing has to be observed within a macro step.
    """

    def __init__(self, pool: Pool, spec: DeskSpec, own: tuple[str, ...]) -> None:
        self.pool = pool
        self._continuous = spec.action.continuous
        self._size = spec.action.size
        self._names = [actor.name for actor in pool.actors]
        self._codes = self._check_codes(pool, spec)
        self._raw = spec.action.encode(self._codes)
        self._policies: list[tuple[int, Actor, NDArray[np.intp]]] = []
        for number, actor in enumerate(pool.actors):
            if isinstance(actor, PolicyProfile):
                where = np.array([spec.layout.columns.index(name) for name in _columns_of(actor, own)], np.intp)
                self._policies.append((number, actor.policy, where))
        counts = [len(p.members) if isinstance(p, PositionProfile) else 1 for p in pool.profiles]
        self._first = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64)
        self._by_position = [
            (choice, profile) for choice, profile in enumerate(pool.profiles) if isinstance(profile, PositionProfile)
        ]
        self._joint = pool.joint
        self._is_policy = np.array([isinstance(actor, PolicyProfile) for actor in pool.actors])
        if pool.joint is not None:
            self._joint_where = np.array([spec.layout.columns.index(name) for name in pool.joint.columns], np.intp)
        self._inventory = spec.layout.columns.index(_POSITION_COLUMN) if self._by_position else -1
        self.rules_only = not self._policies

    def actors(self, choices: NDArray[np.int64], observations: NDArray[np.float32]) -> NDArray[np.int64]:
        """int64[N]: the number of the actor (`Pool.actors`) that stands behind each lane's choice just now."""
        chosen: NDArray[np.int64] = self._first[choices]
        for choice, profile in self._by_position:
            rows = np.flatnonzero(choices == choice)
            chosen[rows] += profile.member_at(observations[rows, self._inventory])
        return chosen

    def codes(self, actors: NDArray[np.int64]) -> NDArray[np.int32]:
        """int32[N, A]: what the lanes' rules say."""
        codes: NDArray[np.int32] = self._codes[actors]
        return codes

    def actions(
        self, actors: NDArray[np.int64], observations: NDArray[np.float32], live: NDArray[np.bool_]
    ) -> NDArray[Any]:
        """Raw actions of the lower environment: float32[N, A], or int64[N] for target positions.

        Policies are asked for lanes of `live` only; other lanes hold some valid action.

        Raises:
            ActionError: a policy's answer has a wrong shape, or is not an integer where choices are wanted.
        """
        raw: NDArray[Any] = self._raw[actors]
        if self._joint is not None:
            rows = np.flatnonzero(self._is_policy[actors] & live)
            if rows.size:
                answer = self._joint.act_as(actors[rows], observations[np.ix_(rows, self._joint_where)])
                raw[rows] = self._checked(_JOINT, answer, rows.size)
            return raw
        for number, policy, where in self._policies:
            rows = np.flatnonzero((actors == number) & live)
            if rows.size:
                raw[rows] = self._checked(number, policy.act(observations[np.ix_(rows, where)]), rows.size)
        return raw

    def _checked(self, number: int, answer: Any, rows: int) -> NDArray[Any]:
        array = np.asarray(answer)
        wanted = (rows, self._size) if self._continuous else (rows,)
        if not self._continuous and array.shape == (rows, 1):
            array = array[:, 0]
        if array.shape != wanted or array.dtype.kind not in ("fiu" if self._continuous else "iu"):
            who = "the joint actor" if number == _JOINT else f"policy {self._names[number]!r}"
            raise ActionError(
                f"{who} must answer {rows} observations with {'float32' if self._continuous else 'integers'} of shape "
                f"{list(wanted)}, got {array.dtype} of shape {list(array.shape)}"
            )
        return array

    def _check_codes(self, pool: Pool, spec: DeskSpec) -> NDArray[np.int32]:
        """int32 [actors, A]; policies have zeros."""
        codes = np.zeros((len(pool.actors), self._size), np.int32)
        for number, actor in enumerate(pool.actors):
            if isinstance(actor, PolicyProfile):
                continue
            try:
                codes[number] = spec.action.check_codes(np.asarray(actor.codes)[None, :])[0]
            except (ActionError, IndexError) as error:
                raise ParamsError(
                    f"profile {actor.name!r} does not fit a desk of kind {spec.kind!r}, whose action has the "
                    f"dimensions {spec.action.names} with bins {spec.action.bins}: {error}"
                ) from error
        return codes
