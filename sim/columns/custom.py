"""Columns that users register: a compiled function of the world and a lane, called by its address.

Its source belongs to the layout's hash, and so does that of every function that it calls and every constant that it
names, as far as they are not lobgym's or a library's: another meaning under the same name is noticed.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import math
import textwrap
import tokenize
from collections.abc import Callable, Iterator
from typing import Any, Final

import numba
import numpy as np
from numba.core import types
from numpy.typing import NDArray

from lobgym.sim.columns.catalog import COLUMN_NUMBERS, GROUPS, Column
from lobgym.sim.errors import LayoutError
from lobgym.sim.memory import function_address
from lobgym.sim.world import WORLD_DTYPE

__all__ = ["REGISTERED", "addresses_of", "register_column"]

REGISTERED: Final[dict[str, Column]] = {}
_FUNCTIONS: Final[dict[str, Any]] = {}
_KEPT: Final[list[Any]] = []  # also what was replaced: an encoder may still hold its address


def register_column(
    name: str, unit: str, scale: float, function: Callable[[Any, int], float], version: int = 1, about: str = "",
    lookback_s: int = -1, replace: bool = False,
) -> Column:  # fmt: skip
    """Give a function of your own a name that layouts can use.

    The function is compiled with `@numba.njit` and takes (world, lane), as a strategy does (`lobgym.sim.strategy`); it
    returns a float, and changes nothing. It must be causal, which `lobgym.sim.causality.check_causal` tries out: it may
    read the local book up to the lane's local cursor, and what begins with `view_`. What it returns is squeezed into
    v / (scale + |v|), or where the scale is 0 cut off at -1 and 1; NaN, and an exception, count as 0.

    A layout that names it can be made only where it is registered, in worker processes too: register where a module is
    imported.

    Args:
        name: a new name, an identifier in lower case.
        unit: of what the function returns.
        scale: s of v / (s + |v|); 0 for a ratio that is bounded by itself.
        function: see above.
        version: raised where the meaning changes otherwise than by its source.
        about: what it is.
        lookback_s: how far back it looks, in seconds; -1 where that is not known.
        replace: whether a function of this name may be replaced.

    Raises:
        LayoutError: a name that is taken or no identifier, a scale that is negative or no number, a function that is
            not compiled, does not compile for (world, lane), or does not return a float.
    """
    if not name.isidentifier() or name != name.lower():
        raise LayoutError(f"a column's name must be an identifier in lower case, got {name!r}")
    if name in COLUMN_NUMBERS or name in GROUPS:
        raise LayoutError(f"{name!r} is a column of lobgym: choose another name")
    if not (isinstance(scale, (int, float)) and math.isfinite(scale) and scale >= 0):
        raise LayoutError(f"the scale of {name!r} must be a number of at least 0, got {scale!r}")
    _check_function(name, function)
    column = Column(name, unit, float(scale), True, version, about, ("custom",), lookback_s, _digest(function))
    if name in REGISTERED and REGISTERED[name] != column and not replace:
        raise LayoutError(f"another column {name!r} is registered: choose another name, or say replace=True")
    REGISTERED[name] = column
    _FUNCTIONS[name] = function
    _KEPT.append(function)
    return column


def addresses_of(names: tuple[str, ...]) -> NDArray[np.int64]:
    """Addresses of registered functions, int64[n]; they are kept as long as the process lives."""
    return np.array([function_address(_FUNCTIONS[name], WORLD_DTYPE) for name in names], np.int64)


def _check_function(name: str, function: Any) -> None:
    if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
        return
    if not hasattr(function, "py_func"):
        raise LayoutError(f"the function of column {name!r} must be compiled: put @numba.njit before it")
    signature = (numba.from_dtype(WORLD_DTYPE), types.int64)
    try:
        function.compile(signature)
    except Exception as error:
        raise LayoutError(f"the function of column {name!r} does not compile for (world, lane): {error}") from error
    returned = function.overloads[signature].signature.return_type
    if returned != types.float64:
        raise LayoutError(f"the function of column {name!r} must return a float, it returns {returned}: use float(...)")


def _digest(function: Any) -> str:
    sha = hashlib.sha256()
    for text in _sources(function, set()):
        sha.update(text.encode() + b"\0")
    return sha.hexdigest()


def _sources(function: Any, seen: set[int]) -> Iterator[str]:
    """The source of a function, then what it refers to outside of itself."""
    plain = getattr(function, "py_func", function)
    if id(plain) in seen:
        return
    seen.add(id(plain))
    yield _text(plain)
    outside = inspect.getclosurevars(plain)
    for key, value in sorted({**outside.globals, **outside.nonlocals}.items()):
        inner = getattr(value, "py_func", value)
        if isinstance(value, (bool, int, float, str, bytes, tuple, np.generic)):
            yield f"{key} = {value!r}"
        elif isinstance(value, np.ndarray):
            yield f"{key} = {value.dtype} {value.shape} {hashlib.sha256(value.tobytes()).hexdigest()}"
        elif inspect.isfunction(inner) and inner.__module__.split(".")[0] not in ("lobgym", "numba", "numpy", "math"):
            yield from _sources(value, seen)


def _text(function: Any) -> str:
    """Its source; where that is not in a file, as in code that was given to `exec`, what Python compiled it to."""
    try:
        source = inspect.getsource(function)
        if any(getattr(node, "name", "") == function.__name__ for node in ast.parse(textwrap.dedent(source)).body):
            return source
    except (OSError, TypeError, SyntaxError, tokenize.TokenError):
        pass
    code = function.__code__
    return f"{code.co_code.hex()} {code.co_consts!r} {code.co_names!r}"
