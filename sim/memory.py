"""Tables behind a record of addresses: how compiled kernels reach the arrays of a session without passing them around.

An array argument is seven values that are copied at every call, and a helper function costs a tenth of a second of
compilation. So a kernel takes one record that holds addresses (a *header*: `lobgym.sim.world`, `lobgym.sim.view`), and
what is defined here turns into one or two machine instructions each, wherever it is used:

- `table(header, field, dtype)`: `at(h, index)` is a record of the table at `h[field]`, read and written in place;
- `target(header, field, dtype)`: `at(h)` is the one record there;
- `grid(header, field, width, dtype)`: `at(h, i, j)` is that of row `i` of a table with `h[width]` columns;
- `prefetcher(header, field, dtype)`: `fetch(h, index)` asks the processor to load that record, and waits for nothing;
- `column(header, field, scalar)`, `member(header, field, dtype, name)`: `at(h, index)` is a number.

Nothing checks an index, as nothing checks that of an array in a kernel. Whoever writes an address into a header keeps
the array alive. Under `NUMBA_DISABLE_JIT=1` addresses are looked up in a table of arrays.

`Entry` is a kernel that others call through its address instead of having it compiled into themselves: whoever uses
the simulator in a function of their own waits for that function alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final, TypeAlias, cast

import numba
import numpy as np
from numba.core import cgutils, config, types
from numba.extending import intrinsic
from numpy.typing import NDArray

__all__ = [
    "CACHE_LINE",
    "At",
    "Entry",
    "address_of",
    "aligned_zeros",
    "caller",
    "column",
    "copier",
    "copy_into",
    "copy_of",
    "function_address",
    "function_caller",
    "grid",
    "member",
    "prefetcher",
    "table",
    "target",
]

At: TypeAlias = Callable[..., Any]
Dtype: TypeAlias = np.dtype[Any]

CACHE_LINE: Final = 64  # bytes

_CGUTILS: Any = cgutils  # untyped
_CONFIG: Any = config
_IR: Any = _CGUTILS.ir
_PLAIN = bool(_CONFIG.DISABLE_JIT)


def address_of(array: NDArray[Any]) -> int:
    """Address of an array's first element; the array must be contiguous, and outlive the address."""
    if not array.flags.c_contiguous:
        raise ValueError("only contiguous arrays have one address for all their elements")
    address = int(array.ctypes.data)
    if _PLAIN:
        _ARRAYS[address, array.dtype] = array.reshape(-1)
    return address


def aligned_zeros(shape: tuple[int, ...], dtype: Dtype) -> NDArray[Any]:
    """Zeros that begin with a cache line, so that records as long as lines share none with their neighbours."""
    size = math.prod(shape) * dtype.itemsize
    room = np.zeros(size + CACHE_LINE, np.uint8)
    start = -int(room.ctypes.data) % CACHE_LINE
    return room[start : start + size].view(dtype).reshape(shape)


def copy_of(records: NDArray[Any]) -> NDArray[Any]:
    """A copy of contiguous records, as bytes: numpy alone copies field by field, which takes fifteen times as long."""
    whole = np.dtype((np.void, records.dtype.itemsize))
    return records.view(whole).copy().view(records.dtype)


def copy_into(out: NDArray[Any], records: NDArray[Any]) -> None:
    """Overwrite contiguous records with others of the same dtype and shape, as bytes."""
    whole = np.dtype((np.void, records.dtype.itemsize))
    np.copyto(out.view(whole), records.view(whole))


# -- without the compiler ----------------------------------------------------------------------------------------------

# Arrays by address, which plain Python cannot follow. They are never let go: this mode is for short checks.
_ARRAYS: dict[tuple[int, Dtype], NDArray[Any]] = {}


def _array(h: Any, field: str, dtype: Dtype) -> NDArray[Any]:
    return _ARRAYS[int(h[field]), dtype]


# -- what the compiled views are made of -------------------------------------------------------------------------------


def _offset_of(header: Dtype, field: str) -> int:
    return int(cast("Any", header.fields)[field][1])


def _load_address(context: Any, builder: Any, pointer: Any, offset: int) -> Any:
    word = context.get_value_type(types.int64)
    byte = builder.bitcast(pointer, context.get_data_type(types.voidptr))
    place = _CGUTILS.pointer_add(builder, byte, offset, word.as_pointer())
    return builder.load(place)


def _element(builder: Any, address: Any, index: Any, size: int, offset: int = 0) -> Any:
    scaled = builder.mul(index, index.type(size))
    if offset:
        scaled = builder.add(scaled, index.type(offset))
    return builder.add(address, scaled)


# -- views -------------------------------------------------------------------------------------------------------------


def table(header: Dtype, field: str, dtype: Dtype) -> At:
    """`at(h, index)`: a record of `dtype`."""
    if _PLAIN:
        return lambda h, index: _array(h, field, dtype)[index]
    record = numba.from_dtype(dtype)
    offset = _offset_of(header, field)

    @intrinsic
    def at(typing: Any, h: Any, index: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            base = _load_address(context, builder, args[0], offset)
            return builder.inttoptr(_element(builder, base, args[1], dtype.itemsize), context.get_value_type(record))

        return record(h, types.int64), generate

    return at


def target(header: Dtype, field: str, dtype: Dtype) -> At:
    """`at(h)`: the one record of `dtype` at address `h[field]`."""
    if _PLAIN:
        return lambda h: _array(h, field, dtype)[0]
    record = numba.from_dtype(dtype)
    offset = _offset_of(header, field)

    @intrinsic
    def at(typing: Any, h: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            base = _load_address(context, builder, args[0], offset)
            return builder.inttoptr(base, context.get_value_type(record))

        return record(h), generate

    return at


def grid(header: Dtype, field: str, width: str, dtype: Dtype) -> At:
    """`at(h, i, j)`: the j-th record of `dtype` in row i of a table `h[width]` wide."""
    if _PLAIN:
        return lambda h, i, j: _array(h, field, dtype)[int(i) * int(h[width]) + int(j)]
    record = numba.from_dtype(dtype)
    offset, width_offset = _offset_of(header, field), _offset_of(header, width)

    @intrinsic
    def at(typing: Any, h: Any, i: Any, j: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            base = _load_address(context, builder, args[0], offset)
            columns = _load_address(context, builder, args[0], width_offset)
            index = builder.add(builder.mul(args[1], columns), args[2])
            return builder.inttoptr(_element(builder, base, index, dtype.itemsize), context.get_value_type(record))

        return record(h, types.int64, types.int64), generate

    return at


def _number(header: Dtype, field: str, kind: Dtype, size: int, inside: int) -> At:
    value = numba.from_dtype(kind)
    wide: Any = types.int64 if np.issubdtype(kind, np.signedinteger) else value
    offset = _offset_of(header, field)

    @intrinsic
    def at(typing: Any, h: Any, index: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            base = _load_address(context, builder, args[0], offset)
            element = _element(builder, base, args[1], size, inside)
            pointer = builder.inttoptr(element, context.get_data_type(value).as_pointer())
            loaded = builder.load(pointer, align=1)
            return context.cast(builder, loaded, value, wide)

        return wide(h, types.int64), generate

    return at


def column(header: Dtype, field: str, scalar: Any) -> At:
    """`at(h, index)`: a number of an array; signed integers come as int64."""
    kind: Dtype = np.dtype(scalar)
    if _PLAIN:
        return lambda h, index: np.int64(_array(h, field, kind)[index])
    return _number(header, field, kind, kind.itemsize, 0)


def member(header: Dtype, field: str, dtype: Dtype, name: str) -> At:
    """`at(h, index)`: the number in one field of a table's record; signed integers come as int64."""
    kind, inside = cast("Any", dtype.fields)[name][:2]
    if _PLAIN:
        return lambda h, index: np.int64(_array(h, field, dtype)[index][name])
    return _number(header, field, kind, dtype.itemsize, inside)


def prefetcher(header: Dtype, field: str, dtype: Any, to_write: bool = False, once: bool = False) -> At:
    """`fetch(h, index)`: have a record of a table brought into the cache; an index beyond the table does no harm.

    What will be read `once` goes past the larger caches, where it would drive out what is read again.
    """
    size = np.dtype(dtype).itemsize
    if _PLAIN:
        return lambda h, index: None
    offset = _offset_of(header, field)

    @intrinsic
    def fetch(typing: Any, h: Any, index: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            byte = context.get_data_type(types.voidptr)
            base = _load_address(context, builder, args[0], offset)
            pointer = builder.inttoptr(_element(builder, base, args[1], size), byte)
            number = context.get_value_type(types.int32)
            kind = _IR.FunctionType(_IR.VoidType(), [byte, number, number, number])
            hint = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
            builder.call(hint, [pointer, number(int(to_write)), number(0 if once else 3), number(1)])  # 1: it is data
            return context.get_dummy_value()

        return types.none(h, types.int64), generate

    return fetch


def copier(header: Dtype, to: str, source: str, dtype: Dtype) -> At:
    """`copy(h, index)`: overwrite a record of one table with that of another."""
    size = dtype.itemsize
    if _PLAIN:

        def plain(h: Any, index: int) -> None:
            _array(h, to, dtype)[index] = _array(h, source, dtype)[index]

        return plain
    offsets = (_offset_of(header, to), _offset_of(header, source))

    @intrinsic
    def copy(typing: Any, h: Any, index: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            byte = context.get_data_type(types.voidptr)
            bases = [_load_address(context, builder, args[0], offset) for offset in offsets]
            pointers = [builder.inttoptr(_element(builder, base, args[1], size), byte) for base in bases]
            _CGUTILS.raw_memcpy(builder, *pointers, args[1].type(size), 1)
            return context.get_dummy_value()

        return types.none(h, types.int64), generate

    return copy


# -- kernels behind an address -----------------------------------------------------------------------------------------


class Entry:
    """A compiled kernel `function(h, int, ...) -> int` and its address.

    Args:
        function: compiled without reference counts (`lobgym.sim.jit`); it must return an int64 and raise nothing.
        header: dtype of its first argument; all others are int64.
        arity: how many those are.
    """

    def __init__(self, function: Callable[..., int], header: Dtype, arity: int) -> None:
        self.function = function
        self._header = header
        self._arity = arity
        self._address = 0

    @property
    def address(self) -> int:
        """Where its machine code is; compiles it, or loads it from the cache, when first asked. 0 without compiler."""
        if self._address == 0 and not _PLAIN:
            dispatcher: Any = self.function
            signature = (numba.from_dtype(self._header), *([types.int64] * self._arity))
            dispatcher.compile(types.int64(*signature))
            made = dispatcher.overloads[signature]
            self._address = made.library.get_pointer_to_function(made.fndesc.llvm_func_name)
        return self._address


def caller(header: Dtype, field: str, arity: int, entry: Callable[[Any], Entry]) -> At:
    """`call(h, ...)`: call the kernel whose address is in `h[field]`, with `h` and `arity` integers.

    Args:
        entry: gives the same kernel, by header, where there is no compiler, and so no address.
    """
    if _PLAIN:
        return lambda h, *args: entry(h).function(h, *args)
    offset = _offset_of(header, field)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        address = _load_address(context, builder, args[0], offset)
        convention = context.call_conv
        function_type = convention.get_function_type(types.int64, signature.args)
        pointer = builder.inttoptr(address, function_type.as_pointer())
        return convention.call_function(builder, pointer, types.int64, signature.args, args)[1]

    def typed(h: Any) -> Any:
        return types.int64(h, *([types.int64] * arity)), generate

    return intrinsic(_BY_ARITY[arity](typed))


# -- functions of the user behind an address ---------------------------------------------------------------------------

_FUNCTIONS: list[Callable[..., Any]] = []  # by address, where there is no compiler


def function_address(function: Any, argument: Dtype) -> int:
    """Address of a function (record of `argument`, int64) -> float64 that is compiled by `numba.njit`.

    It holds for this process, and numba keeps the machine code as long as `function` lives.
    """
    if _PLAIN:
        _FUNCTIONS.append(function)
        return len(_FUNCTIONS) - 1
    signature = (numba.from_dtype(argument), types.int64)
    function.compile(signature)
    made = function.overloads[signature]
    return int(made.library.get_pointer_to_function(made.fndesc.llvm_func_name))


def function_caller(header: Dtype, field: str, argument: Dtype) -> At:
    """`call(h, k, record, index)`: what the k-th function of the addresses at `h[field]` returns; NaN if it raises."""
    if _PLAIN:

        def plain(h: Any, k: int, record: Any, index: int) -> float:
            try:
                return float(_FUNCTIONS[int(_array(h, field, np.dtype(np.int64))[k])](record, index))
            except Exception:  # whatever a function of the user may raise
                return math.nan

        return plain
    offset = _offset_of(header, field)
    record_type = numba.from_dtype(argument)

    @intrinsic
    def call(typing: Any, h: Any, k: Any, record: Any, index: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            word = context.get_value_type(types.int64)
            base = _load_address(context, builder, args[0], offset)
            place = builder.inttoptr(_element(builder, base, args[1], 8), word.as_pointer())
            convention = context.call_conv
            taken = (record_type, types.int64)
            function_type = convention.get_function_type(types.float64, taken)
            pointer = builder.inttoptr(builder.load(place), function_type.as_pointer())
            status, value = convention.call_function(builder, pointer, types.float64, taken, args[2:])
            return builder.select(status.is_error, value.type(math.nan), value)

        return types.float64(h, types.int64, record_type, types.int64), generate

    return call


# An intrinsic needs a parameter for each argument of the call that it becomes.
_BY_ARITY: dict[int, Callable[[Any], Any]] = {
    0: lambda typed: lambda typing, h: typed(h),
    2: lambda typed: lambda typing, h, a, b: typed(h),
    3: lambda typed: lambda typing, h, a, b, c: typed(h),
    4: lambda typed: lambda typing, h, a, b, c, d: typed(h),
    5: lambda typed: lambda typing, h, a, b, c, d, e: typed(h),
    6: lambda typed: lambda typing, h, a, b, c, d, e, f: typed(h),
    7: lambda typed: lambda typing, h, a, b, c, d, e, f, g: typed(h),
    10: lambda typed: lambda typing, h, a, b, c, d, e, f, g, j, k, m: typed(h),
}
