"""Tuples of numbers and arrays, kept in the form in which compiled code holds them, behind an address in a record.

A kernel that takes a named tuple is handed it leaf by leaf: from Python each array of it costs a tenth of a
microsecond and more at every call. `pack` does that once and writes down what came of it; a kernel then takes a record
with the address (decision 0009), and what `unpacker` makes reads the tuple there, of which only those leaves are loaded
that are used.

The arrays are borrowed: whoever keeps the address keeps what `pack` returned, and that keeps the tuple.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numba
import numpy as np
from numba.core import cgutils, config, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from lobgym.sim.jit import njit
from lobgym.sim.memory import At, address_of

__all__ = ["Packed", "PackedTuples"]

Dtype: TypeAlias = np.dtype[Any]

_CGUTILS: Any = cgutils  # untyped
_CONFIG: Any = config
_NUMBA: Any = numba
_PLAIN = bool(_CONFIG.DISABLE_JIT)
_WORD: Final = 8


class Packed:
    """A tuple in native form.

    Attributes:
        address: where it lies, as long as this object lives.
    """

    def __init__(self, value: tuple[Any, ...]) -> None:
        self._value = value
        nameless = _nameless(value)
        self._words = np.zeros(1 if _PLAIN else -(-int(_size_of(nameless)) // _WORD) + 1, np.int64)
        self.address = address_of(self._words)
        if _PLAIN:
            _VALUES[self.address] = value
        else:
            _write(nameless, self._words)


def _nameless(value: Any) -> Any:
    """A named tuple as a plain one, which lies in memory alike.

    Compiled code is kept with the types of its arguments: whoever loads it would import the modules of all named tuples
    that anybody has ever packed.
    """
    return tuple(_nameless(one) for one in value) if isinstance(value, tuple) else value


class PackedTuples:
    """Tuples of one type behind the field `field` of records of dtype `header`.

    `pack(value)` is a `Packed` whose address goes there; `at(h)` gives the tuple back, in a kernel.

    Raises:
        TypeError: a tuple of another type than the first one.
    """

    def __init__(self, header: Dtype, field: str) -> None:
        self._type: Any = None
        self.at: At = self._plain(field) if _PLAIN else self._compiled(header, field)

    def pack(self, value: tuple[Any, ...]) -> Packed:
        """The native form of `value`."""
        if not _PLAIN:
            found: Any = _NUMBA.typeof(value)
            if self._type is None:
                self._type = found
            if found != self._type:
                raise TypeError(f"expected a tuple of type {self._type}, got {found}")
        return Packed(value)

    def _plain(self, field: str) -> At:
        return lambda h: _VALUES[int(h[field])]

    def _compiled(self, header: Dtype, field: str) -> At:
        offset = int(header.fields[field][1])  # type: ignore[index]

        @intrinsic
        def at(typing: Any, h: Any) -> Any:
            made = self._type

            def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
                word = context.get_value_type(types.int64)
                byte = builder.bitcast(args[0], context.get_data_type(types.voidptr))
                place = _CGUTILS.pointer_add(builder, byte, offset, word.as_pointer())
                native = context.get_value_type(made)
                return _load(builder, builder.inttoptr(builder.load(place), native.as_pointer()), native)

            return made(h), generate

        return at


# -- without the compiler ----------------------------------------------------------------------------------------------

_VALUES: dict[int, Any] = {}  # by address; never let go, as in `lobgym.sim.memory`


# -- with it -----------------------------------------------------------------------------------------------------------


def _load(builder: Any, pointer: Any, kind: Any) -> Any:
    """Leaf by leaf: a load of a whole structure would load every leaf of it."""
    elements = getattr(kind, "elements", None)
    if elements is None:
        return builder.load(pointer)
    made = kind(None)
    for index, _ in enumerate(elements):
        leaf = _load(builder, _CGUTILS.gep_inbounds(builder, pointer, 0, index), elements[index])
        made = builder.insert_value(made, leaf, index)
    return made


@intrinsic
def _native_size(typing: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.get_constant(types.int64, context.get_abi_sizeof(context.get_value_type(value)))

    return types.int64(value), generate


@intrinsic
def _store(typing: Any, value: Any, address: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        native = context.get_value_type(value)
        builder.store(args[0], builder.inttoptr(args[1], native.as_pointer()))
        return context.get_dummy_value()

    return types.none(value, types.int64), generate


_NATIVE_SIZE: Any = _native_size  # typed as what takes a typing context, too
_STORE: Any = _store


@njit
def _size_of(value: Any) -> int:
    return int(_NATIVE_SIZE(value))


@njit
def _write(value: Any, words: NDArray[np.int64]) -> None:
    _STORE(value, words.ctypes.data)
