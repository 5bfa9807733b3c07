"""The check that nothing depends on what has not happened yet, by taking the future away."""

from __future__ import annotations

from typing import Any, Final

import gymnasium
import numpy as np

from lobgym.envs.testing.rollout import Event, actions_for, difference, rollout
from lobgym.envs.testing.subject import ContractError, NotApplicableError, Subject
from lobgym.sim import records as rec
from lobgym.sim.tape import Tape

__all__ = ["check_causality", "silenced"]

_CUTS: Final = (0.2, 0.6)  # of the first episode's steps, after which the data change


def check_causality(subject: Subject) -> None:
    """Up to the moment from which the data are others, every observation, reward and info is the same; then not.

    The environment runs to a cut; another one, with other data from then on, is given the same seed and actions. That
    the two part after the cut shows that the data did change.
    """
    env = subject.make()
    actions = actions_for(env, subject.steps, subject.seed)
    whole = _first_episode(rollout(env, actions, subject.seed))
    for share in _CUTS:
        cut = max(1, int(share * len(whole)))
        env = subject.make()
        rollout(env, actions[: cut - 1], subject.seed)  # with the reset, `cut` events
        other = subject.altered(env) if subject.altered else _without_future(subject, env)
        seen = _first_episode(rollout(other, actions, subject.seed))
        found = difference(whole[:cut], seen[:cut], "event ")
        if found:
            raise ContractError(f"the future decides the past: changing the data after event {cut - 1} changed {found}")
        if difference(whole, seen) is None:
            raise ContractError(f"changing the data after event {cut - 1} changed nothing: were they used at all?")


def silenced(tape: Tape, now_ns: int) -> Tape:
    """`tape` without what the exchange said after `now_ns`, save the message received last: it ends when it did."""
    events = tape.events
    begins = np.concatenate([[True], events["flags"][:-1] & rec.LAST != 0])
    message = np.cumsum(begins)
    keep = (events["exch_ns"] <= now_ns) | (message == message[int(events["local_ns"].argmax())])
    return Tape(events[keep], tape.instrument, tape.provenance)


def _first_episode(events: list[Event]) -> list[Event]:
    ends = [number for number, event in enumerate(events) if event.call == "step" and event.ended]
    return events[: ends[0] + 1] if ends else events


def _without_future(subject: Subject, env: gymnasium.Env[Any, Any]) -> gymnasium.Env[Any, Any]:
    """The environment on a tape that falls silent now, for those of lobgym that run on a tape."""
    core = getattr(env.unwrapped, "core", None)
    if core is None or not hasattr(core, "market") or "tape" not in subject.arguments:
        raise NotApplicableError(f"{subject.name} runs on no tape that is known here; give Subject(altered=...)")
    return subject.make(tape=silenced(core.market.tape, int(core.desk.session.t_ns(0))))
