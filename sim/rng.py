"""Counter-based random numbers: every draw is a pure function of (seed, stream, counter).

There is no state to save, copy or advance, so a lane's numbers do not depend on the other lanes. The mixer is the
finaliser of SplitMix64 (Steele, Lea and Flood, 2014). Every constant and every shift is `np.uint64`: numba would
make `uint64 + literal` signed. Without compilation (`NUMBA_DISABLE_JIT=1`) the same numbers come out, but numpy
warns of the intended wrap-around: call from within `np.errstate(over="ignore")`.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from lobgym.sim.jit import njit

__all__ = ["below", "draw", "mix64", "stream_key", "uniform"]

GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_M1: Final = np.uint64(0xBF58476D1CE4E5B9)
_M2: Final = np.uint64(0x94D049BB133111EB)
_S30: Final = np.uint64(30)
_S27: Final = np.uint64(27)
_S31: Final = np.uint64(31)
_S11: Final = np.uint64(11)
_STREAM: Final = np.uint64(0xD1342543DE82EF95)
_TO_UNIT: Final = 1.0 / 9007199254740992.0  # 2**-53, a power of two: the product below is exact


@njit
def mix64(key: np.uint64) -> np.uint64:
    """Bijective scrambling of 64 bits."""
    z = np.uint64(key)
    z = (z ^ (z >> _S30)) * _M1
    z = (z ^ (z >> _S27)) * _M2
    return z ^ (z >> _S31)


@njit
def stream_key(seed: int, stream: int) -> np.uint64:
    """Key of one stream of one seed (both from 0 to 2**64 - 1); `mix64(key + counter * GOLDEN)` is then a draw."""
    return mix64(mix64(np.uint64(seed) + GOLDEN) ^ (np.uint64(stream) * _STREAM))


@njit
def draw(seed: int, stream: int, counter: int) -> np.uint64:
    """64 random bits."""
    return mix64(stream_key(seed, stream) + np.uint64(counter) * GOLDEN)


@njit
def uniform(seed: int, stream: int, counter: int) -> np.float64:
    """float64 in [0, 1) with 53 random bits."""
    return np.float64(draw(seed, stream, counter) >> _S11) * _TO_UNIT


@njit
def below(seed: int, stream: int, counter: int, n: int) -> np.int64:
    """int64 in [0, n) for n >= 1; the bias is below n / 2**64."""
    return np.int64(draw(seed, stream, counter) % np.uint64(n))
