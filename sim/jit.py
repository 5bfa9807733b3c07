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
from numba.core.registry import CPUDispatcher

__all__ = ["njit", "njit_inline", "njit_inner", "njit_leaf", "njit_lean"]

F = TypeVar("F", bound=Callable[..., Any])
_LEAN: dict[str, Any] = {"cache": True, "error_model": "numpy", "nogil": True, "_nrt": False}
_INNER: dict[str, Any] = {**_LEAN, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def njit(function: F) -> F:
    """Compile `function` to machine code on its first call with each combination of argument types.

    Under `NUMBA_DISABLE_JIT=1` it stays the plain Python function.
    """
    return cast("F", numba.njit(cache=True, error_model="numpy", nogil=True)(function))


def njit_lean(function: F) -> F:
    """`njit` for kernels that create no array: references are not counted, so nothing in them may allocate.

    Counting references, numba touches a counter atomically around every call that passes an array on; that made the
    matching kernels eleven times slower (docs/decisions/0005).
    """
    return cast("F", numba.njit(**_LEAN)(function))


def njit_inline(function: F) -> F:
    """`njit_lean` for small kernels: always inlined by the code generator."""
    return cast("F", numba.njit(forceinline=True, **_LEAN)(function))


def njit_inner(function: F) -> F:
    """`njit_lean` for what only other kernels call: no way in from Python is compiled along with it.

    Called from Python it raises TypeError.
    """
    return cast("F", _closed(numba.njit(**_INNER)(function)))


def njit_leaf(function: F) -> F:
    """`njit_inline` for what only other kernels call; see `njit_inner`."""
    return cast("F", _closed(numba.njit(forceinline=True, **_INNER)(function)))


class _Closed(CPUDispatcher):
    """A dispatcher as numba knows it, but for calls from Python: numba would jump to an address that is not there."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        name = self.py_func.__name__
        raise TypeError(
            f"`{name}` is for kernels only and has no way in from Python: call it from a function compiled with "
            f"numba.njit (in the package with lobgym.sim.jit), or run without the compiler, NUMBA_DISABLE_JIT=1"
        )


def _closed(made: Any) -> Any:
    if isinstance(made, CPUDispatcher):  # under NUMBA_DISABLE_JIT=1 it is the function itself
        made.__class__ = _Closed
    return made
