"""Which part of a tape the episodes come from, and when each of them starts.

The tape is cut once: training lies before the cut less an embargo, testing after it, so that nothing that an
observation remembers and nothing that an episode touches reaches across.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lobgym.envs.errors import HorizonError
from lobgym.sim.errors import ParamsError
from lobgym.sim.jit import njit
from lobgym.sim.rng import below

__all__ = ["SPLITS", "EpisodeStarts", "draw_integers"]

SPLITS: Final = ("all", "train", "test")
_START_STREAM: Final = 1  # of the random numbers that choose start times
_PPM: Final = 1_000_000


@dataclass(frozen=True)
class EpisodeStarts:
    """Start times from `low_ns` to `high_ns`, both included: drawn evenly, or always `low_ns` if they are equal."""

    low_ns: int
    high_ns: int
    end_ns: int  # of the split: no episode touches anything after it

    @classmethod
    def of(
        cls,
        start_ns: int,
        end_ns: int,
        length_ns: int,
        split: str = "all",
        test_fraction: float = 0.3,
        embargo_ns: int = 60_000_000_000,
        start: str | int = "random",
        lookback_ns: int = 0,
    ) -> EpisodeStarts:
        """Starts of episodes of `length_ns` that lie wholly in one split of [start_ns, end_ns].

        Args:
            split: "all", "train" (up to the cut less the embargo) or "test" (from the cut on).
            test_fraction: share of the time span behind the cut, in (0, 1).
            embargo_ns: time between training and testing that belongs to neither; at least `lookback_ns`.
            start: "random", or the one start time of all episodes, in nanoseconds.
            lookback_ns: how far back from its time an observation looks.

        Raises:
            HorizonError: an episode does not fit. ParamsError: a value outside its range.
        """
        if split not in SPLITS:
            raise ParamsError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
        if not isinstance(test_fraction, (int, float, np.number)) or not 0.0 < test_fraction < 1.0:
            raise ParamsError(f"test_fraction must lie between 0 and 1, got {test_fraction!r}")
        if not isinstance(embargo_ns, (int, np.integer)) or embargo_ns < 0:
            raise ParamsError(f"embargo_ns must be an integer and not negative, got {embargo_ns!r}")
        embargo_ns = max(int(embargo_ns), lookback_ns)
        cut = end_ns - (end_ns - start_ns) * round(test_fraction * _PPM) // _PPM
        low = cut if split == "test" else start_ns
        last = cut - embargo_ns if split == "train" else end_ns
        high = last - length_ns
        if high < low:
            room_ns = max(0, high + length_ns - low)
            raise HorizonError(
                f"an episode of {length_ns / 1e9:g} s does not fit into the {room_ns / 1e9:g} s of split {split!r}: "
                "choose a shorter horizon or interval_ns, another test_fraction or embargo_ns, or a longer tape"
            )
        if start == "random":
            return cls(low, high, last)
        if isinstance(start, bool) or not isinstance(start, (int, np.integer)):
            raise ParamsError(f"start must be 'random' or a time in nanoseconds, got {start!r}")
        start = int(start)
        if not low <= start <= high:
            raise HorizonError(f"an episode cannot start at {start}: split {split!r} has starts from {low} to {high}")
        return cls(start, start, last)

    def draw(self, seeds: NDArray[np.uint64], episodes: NDArray[np.int64]) -> NDArray[np.int64]:
        """int64[N]: the start of episode `episodes[i]` of the lane with seed `seeds[i]`; depends on nothing else."""
        return draw_integers(_START_STREAM, seeds, episodes, self.low_ns, self.high_ns)


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
