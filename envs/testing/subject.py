"""`Subject`: the environment under examination, and how it is made again, in any process."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec, load_env_creator
from gymnasium.vector import AutoresetMode, VectorEnv

from lobgym.envs.errors import EnvError
from lobgym.sim.errors import LobgymError

__all__ = ["ContractError", "NotApplicableError", "Subject"]


class ContractError(EnvError, AssertionError):
    """An environment broke a promise; the message says which one, where, and what to look at."""


class NotApplicableError(EnvError):
    """A check that has nothing to look at here; the message says what is missing."""


@dataclass(frozen=True)
class Subject:
    """An environment to examine. Instances travel to other processes, so every part must pickle.

    Attributes:
        env: a Gymnasium id, "package.module:name/Env-v0" if it must be imported first; or a callable that makes a
            scalar environment, which must be a function or class at the top of a module.
        arguments: keywords for it. Choose episodes short enough that many end within `steps`.
        steps: of a rollout; comparisons of long runs take ten times as many.
        lanes: of a vector environment.
        seed: of the first lane, and of the actions.
        seeds_matter: False for an environment in which nothing is drawn.
        refusals: classes that a misuse may raise. An AssertionError is none: `python -O` drops it.
        mistakes: (keywords, word) pairs; making the environment with these keywords must raise one of `refusals`, with
            that word in its message, the remedy.
        altered: given an environment in mid-episode, makes a new one with the same arguments, whose data after the
            present are others; see the check `causality`. None: what `lobgym.envs.testing.causality` finds by itself.
    """

    env: str | Callable[..., gymnasium.Env[Any, Any]]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    steps: int = 1000
    lanes: int = 3
    seed: int = 7
    seeds_matter: bool = True
    refusals: tuple[type[Exception], ...] = (LobgymError, gymnasium.error.Error, ValueError, TypeError)
    mistakes: tuple[tuple[Mapping[str, Any], str], ...] = ()
    altered: Callable[[gymnasium.Env[Any, Any]], gymnasium.Env[Any, Any]] | None = None

    @property
    def name(self) -> str:
        """For messages."""
        return self.env if isinstance(self.env, str) else f"{self.env.__module__}.{self.env.__qualname__}"

    @property
    def spec(self) -> EnvSpec | None:
        """The registered spec; None for a callable."""
        if not isinstance(self.env, str):
            return None
        self._import()
        return gymnasium.spec(self.env.rpartition(":")[2])

    def make(self, **changes: Any) -> gymnasium.Env[Any, Any]:
        """The scalar environment, as `gymnasium.make` gives it; `changes` go over the arguments."""
        arguments = {**self.arguments, **changes}
        if isinstance(self.env, str):
            made: gymnasium.Env[Any, Any] = gymnasium.make(self.env, disable_env_checker=True, **arguments)
            return made
        return self.env(**arguments)

    def bare(self, **changes: Any) -> gymnasium.Env[Any, Any]:
        """The scalar environment without wrappers."""
        return self.make(**changes).unwrapped

    def autoreset_modes(self) -> tuple[AutoresetMode, ...]:
        """Modes that the native vector environment can be asked for; empty if it does not take `autoreset_mode`.

        Raises:
            NotApplicableError: there is no native vector environment.
        """
        spec = self.spec
        if spec is None or spec.vector_entry_point is None:
            raise NotApplicableError(f"{self.name} has no vector_entry_point")
        point: Any = spec.vector_entry_point
        creator: Any = load_env_creator(point) if isinstance(point, str) else point
        takes = "autoreset_mode" in inspect.signature(creator).parameters
        return (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP) if takes else ()

    def make_vec(self, mode: AutoresetMode | None = None) -> VectorEnv[Any, Any, Any]:
        """The native vector environment, in an autoreset mode or in its own."""
        keywords = {**self.arguments} if mode is None else {**self.arguments, "autoreset_mode": mode}
        assert isinstance(self.env, str)
        return gymnasium.make_vec(self.env, self.lanes, vectorization_mode="vector_entry_point", **keywords)

    def replace(self, **changes: Any) -> Subject:
        """A copy with other fields."""
        return replace(self, **changes)

    def _import(self) -> None:
        if isinstance(self.env, str) and ":" in self.env:
            __import__(self.env.partition(":")[0])
