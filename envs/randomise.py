"""Domain randomisation: what differs from lane to lane and from episode to episode, as a function of (seed, episode).

    randomise={"entry_ns": (1_000_000, 20_000_000), "queue_model": ["power3", "risk_averse"]}

A pair is the least and the greatest of integers that are equally likely, a list has values of which each is as likely
as the others. The names are those of `Session.vary`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lobgym.envs.spans import draw_integers
from lobgym.sim.errors import ParamsError
from lobgym.sim.queue import QUEUE_MODELS
from lobgym.sim.session import Session

__all__ = ["STREAMS", "Randomiser"]

# A stream of random numbers for each name, so that varying one more leaves the others as they were.
STREAMS: Final = {
    "entry_ns": 101,
    "response_ns": 102,
    "feed_delay_ns": 103,
    "feed_jitter_ns": 104,
    "maker_fee_ppb": 105,
    "taker_fee_ppb": 106,
    "queue_model": 107,
    "queue_power": 108,
    "capital": 109,
}


class _Range(NamedTuple):
    low: int
    high: int


class Randomiser:
    """Draws lanes' parameters and hands them to a session; each is in force from the lane's next reset.

    Raises:
        ParamsError: an unknown name, no pair and no list, an empty range, or values that a lane cannot have.
    """

    def __init__(self, given: Mapping[str, Any], session: Session) -> None:
        if not isinstance(given, Mapping):
            raise ParamsError(f"randomise must map names to (low, high) or [values], got {given!r}")
        self._session = session
        self._choices: dict[str, _Range | NDArray[np.int64]] = {}
        for name, choice in given.items():
            if name not in STREAMS:
                raise ParamsError(f"randomise cannot vary {name!r}; it can vary {', '.join(STREAMS)}")
            self._choices[name] = made = _choice_of(name, choice)
            for value in made if isinstance(made, _Range) else made.tolist():
                session.varied(**{name: value})  # raises for what a lane cannot have

    def apply(self, seeds: NDArray[np.uint64], episodes: NDArray[np.int64]) -> None:
        """Have each lane's next reset use the parameters of its (seed, episode)."""
        for name, choice in self._choices.items():
            low, high = choice if isinstance(choice, _Range) else (0, len(choice) - 1)
            drawn = draw_integers(STREAMS[name], seeds, episodes, low, high)
            values = drawn if isinstance(choice, _Range) else choice[drawn]
            self._session.set_varied({name: values})


def _choice_of(name: str, choice: Any) -> _Range | NDArray[np.int64]:
    if isinstance(choice, tuple) and len(choice) == 2 and all(_is_integer(x) for x in choice):
        if choice[0] > choice[1]:
            raise ParamsError(f"randomise {name!r}: the range {choice} is empty, give (low, high)")
        return _Range(int(choice[0]), int(choice[1]))
    if isinstance(choice, list) and choice:
        values = [QUEUE_MODELS.get(x, x) if name == "queue_model" else x for x in choice]
        if all(_is_integer(x) for x in values):
            return np.array(values, np.int64)
        if name == "queue_model":
            raise ParamsError(f"randomise 'queue_model': expected names among {', '.join(QUEUE_MODELS)}, got {choice}")
    raise ParamsError(f"randomise {name!r} must be a pair (low, high) or a list of integers, got {choice!r}")


def _is_integer(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)
