"""Goal: a tuple that was packed comes back leaf for leaf, borrowed and not copied."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from numba.core import config
from numpy.typing import NDArray

from lobgym.sim.jit import njit_lean
from lobgym.sim.packed import PackedTuples

RECORD = np.dtype([("q", np.int64), ("r", np.float64)])
HEADER = np.dtype([("other", np.int64), ("tuple", np.int64)])


class Inner(NamedTuple):
    number: int
    floats: NDArray[np.float64]
    flags: NDArray[np.bool_]


class Outer(NamedTuple):
    inner: Inner
    share: float
    table: NDArray[np.int64]  # [2, 3]
    records: NDArray[np.void]


TUPLES = PackedTuples(HEADER, "tuple")
at = TUPLES.at


@njit_lean
def total(h: np.void, k: int) -> float:
    outer = at(h)
    first = outer.inner.floats[k] * outer.share + outer.inner.number + outer.table[1, 2]
    return float(first + outer.records[k]["q"] + (100.0 if outer.inner.flags[k] else 0.0))


@njit_lean
def mark(h: np.void, k: int) -> None:
    outer = at(h)
    outer.inner.flags[k] = True
    outer.records[k]["q"] = 7


def made(number: int) -> Outer:
    records = np.zeros(4, RECORD)
    records["q"] = [1, 2, 3, 4]
    inner = Inner(number, np.arange(4.0), np.zeros(4, np.bool_))
    return Outer(inner, 0.5, np.arange(6).reshape(2, 3), records)


def test_leaves_come_back_and_are_written_in_place():
    headers = np.zeros(2, HEADER)
    values = [made(1000), made(2000)]
    kept = [TUPLES.pack(value) for value in values]
    headers["tuple"] = [one.address for one in kept]
    assert [total(headers[0], 2), total(headers[1], 3)] == [1.0 + 1000 + 5 + 3, 1.5 + 2000 + 5 + 4]
    mark(headers[1], 3)
    assert (values[1].inner.flags[3], values[1].records["q"][3]) == (True, 7)
    assert total(headers[1], 3) == 1.5 + 2000 + 5 + 7 + 100
    assert not values[0].inner.flags.any()


@pytest.mark.skipif(bool(config.DISABLE_JIT), reason="without the compiler a tuple is kept as it is")
def test_a_tuple_of_another_type_is_refused():
    TUPLES.pack(made(1))
    with pytest.raises(TypeError, match="expected a tuple of type"):
        TUPLES.pack(made(1)._replace(share=1))
