"""Which part of a tape the episodes come from, and when each of them starts.

The tape is cut once: training lies before the cut less an embargo, testing after it, so that nothing that an
observation remembers and nothing that an episode touches reaches across. Who cuts it otherwise gives the span itself,
(low_ns, high_ns), in place of a split's name; the embargo between spans is then their own concern.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lobgym.envs.errors import HorizonError
from lobgym.sim.errors import ParamsError
from lobgym.sim.jit import njit
from lobgym.sim.rng import below

__all__ = ["SPLITS", "EpisodeStarts", "SplitLike", "StartLike", "draw_integers"]

SPLITS: Final = ("all", "train", "test")
SplitLike: TypeAlias = str | tuple[int, int]  # a split, or the span (low_ns, high_ns)
StartLike: TypeAlias = str | int | Sequence[int]  # "random", one start for all lanes, or one for each
_START_STREAM: Final = 1  # of the random numbers that choose start times
_PPM: Final = 1_000_000


@dataclass(frozen=True)
class EpisodeStarts:
    """Start times from `low_ns` to `high_ns`, both included: drawn evenly, or always `low_ns` if they are equal.

    With `lanes_ns`, lane i always starts at its i-th entry.
    """

    low_ns: int
    high_ns: int
    end_ns: int  # of the split: no episode touches anything after it
    lanes_ns: tuple[int, ...] = ()

    @classmethod
    def of(
        cls,
        start_ns: int,
        end_ns: int,
        length_ns: int,
        split: SplitLike = "all",
        test_fraction: float = 0.3,
        embargo_ns: int = 60_000_000_000,
        start: StartLike = "random",
        lookback_ns: int = 0,
    ) -> EpisodeStarts:
        """Starts of episodes of `length_ns` that lie wholly in one split of [start_ns, end_ns].

        Args:
            split: "all", "train" (up to the cut less the embargo), "test" (from the cut on), or a span
                (low_ns, high_ns) of the tape, to which neither fraction nor embargo apply.
            test_fraction: share of the time span behind the cut, in (0, 1).
            embargo_ns: time between training and testing that belongs to neither; at least `lookback_ns`.
            start: "random", the one start time of all episodes, or a sequence of one for each lane, in nanoseconds.
            lookback_ns: how far back from its time an observation looks.

        Raises:
            HorizonError: an episode does not fit. ParamsError: a value outside its range.
        """
        if not isinstance(test_fraction, (int, float, np.number)) or not 0.0 < test_fraction < 1.0:
            raise ParamsError(f"test_fraction must lie between 0 and 1, got {test_fraction!r}")
        if not isinstance(embargo_ns, (int, np.integer)) or embargo_ns < 0:
            raise ParamsError(f"embargo_ns must be an integer and not negative, got {embargo_ns!r}")
        embargo_ns = max(int(embargo_ns), lookback_ns)
        cut = end_ns - (end_ns - start_ns) * round(test_fraction * _PPM) // _PPM
        if not isinstance(split, str):
            low, last = _span(split, start_ns, end_ns)
        elif split in SPLITS:
            low = cut if split == "test" else start_ns
            last = cut - embargo_ns if split == "train" else end_ns
        else:
            raise ParamsError(f"split must be one of {', '.join(SPLITS)}, or a span (low_ns, high_ns), got {split!r}")
        high = last - length_ns
        if high < low:
            room_ns = max(0, high + length_ns - low)
            raise HorizonError(
                f"an episode of {length_ns / 1e9:g} s does not fit into the {room_ns / 1e9:g} s of split {split!r}: "
                "choose a shorter horizon or interval_ns, another test_fraction or embargo_ns, or a longer tape"
            )
        if isinstance(start, str) and start == "random":
            return cls(low, high, last)
        each = _starts(start)
        for one in each:
            if not low <= one <= high:
                raise HorizonError(f"an episode cannot start at {one}: split {split!r} has starts from {low} to {high}")
        if isinstance(start, (int, np.integer)):
            return cls(each[0], each[0], last)
        return cls(min(each), max(each), last, each)

    def draw(self, seeds: NDArray[np.uint64], episodes: NDArray[np.int64]) -> NDArray[np.int64]:
        """int64[N]: the start of episode `episodes[i]` of the lane with seed `seeds[i]`; depends on nothing else.

        Raises:
            ParamsError: a start for each lane was given, and there are more or fewer lanes.
        """
        if self.lanes_ns:
            if len(self.lanes_ns) != len(seeds):
                raise ParamsError(f"start names {len(self.lanes_ns)} lanes, there are {len(seeds)}: give one for each")
            return np.array(self.lanes_ns, np.int64)
        return draw_integers(_START_STREAM, seeds, episodes, self.low_ns, self.high_ns)


def _span(span: Any, start_ns: int, end_ns: int) -> tuple[int, int]:
    """The two ends of a span, checked to lie on the tape."""
    if (
        not isinstance(span, tuple)
        or len(span) != 2
        or not all(isinstance(x, (int, np.integer)) and not isinstance(x, bool) for x in span)
    ):
        raise ParamsError(f"split must be one of {', '.join(SPLITS)}, or a span (low_ns, high_ns), got {span!r}")
    low, high = int(span[0]), int(span[1])
    if not start_ns <= low < high <= end_ns:
        raise ParamsError(f"the span {low} to {high} must lie on the tape, {start_ns} to {end_ns}")
    return low, high


def _starts(start: Any) -> tuple[int, ...]:
    """Start times as plain integers; a single one as a tuple of one."""
    entries = list(start) if isinstance(start, (tuple, list, np.ndarray)) else [start]
    if not entries or any(isinstance(x, bool) or not isinstance(x, (int, np.integer)) for x in entries):
        raise ParamsError(f"start must be 'random', a time in nanoseconds, or one for each lane, got {start!r}")
    return tuple(int(x) for x in entries)


def draw_integers(
    stream: int, seeds: NDArray[np.uint64], episodes: NDArray[np.int64], low: int, high: int
) -> NDArray[np.int64]:
    """int64[N]: numbers from `low` to `high`, both included, each a function of its seed, episode and the stream."""
    out = np.empty(len(seeds), np.int64)
    _draw(stream, seeds, episodes, low, high - low + 1, out)
    return out


@njit
def _draw(
    stream: int, seeds: NDArray[np.uint64], episodes: NDArray[np.int64], low: int, count: int, out: NDArray[np.int64]
) -> None:
    for i in range(seeds.shape[0]):
        out[i] = low + below(seeds[i], stream, episodes[i], count)
