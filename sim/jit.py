"""The one compiler decorator of the project, so that no kernel is ever compiled under other rules.

`@njit` means: no Python objects inside, machine code kept on disk (`lobgym._numba_cache` chooses the folder),
division by zero as the processor does it (no hidden branch, no exception halfway through a kernel), and the
interpreter lock released while it runs. Fast-math and parallel loops are left out on purpose: both let the last
bits of a result depend on the machine (docs/determinism.md).

For a type checker the decorator gives back the function it was given; the annotations of a kernel are for its readers,
numba infers its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

__all__ = ["njit", "njit_inline", "njit_lean"]

F = TypeVar("F", bound=Callable[..., Any])
_LEAN: dict[str, Any] = {"cache": True, "error_model": "numpy", "nogil": True, "_nrt": False}


def njit(function: F) -> F:
    """Compile `function` to machine code on its first call with each combination of argument types.

    Under `NUMBA_DISABLE_JIT=1` it stays the plain Python function.
    """
    return cast("F", numba.njit(cache=True, error_model="numpy", nogil=True)(function))


def njit_lean(function: F) -> F:
    """`njit` for kernels that create no array: references are not counted, so nothing in them may allocate.

    A `Book` is a tuple of two dozen arrays. Counting references, numba touches each array's counter, atomically,
    around every call that passes one on; that made the matching kernels eleven times slower (docs/decisions/0005).
    """
    return cast("F", numba.njit(**_LEAN)(function))


def njit_inline(function: F) -> F:
    """`njit_lean` for small kernels and those with one caller: always inlined by the code generator.

    A tuple of arrays is passed by value, so that a call costs more than many of the functions do.
    """
    return cast("F", numba.njit(forceinline=True, **_LEAN)(function))
