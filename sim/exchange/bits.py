"""Lowest and highest set bit of a word: one machine instruction each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

from numba.core import cgutils, config, types
from numba.extending import intrinsic

__all__ = ["highest_bit", "lowest_bit"]

_IR: Any = cgutils  # untyped
_CONFIG: Any = config
_LAST: Final = 63


def _counter(name: str, mirrored: bool) -> Callable[[Any], int]:
    @intrinsic
    def count(typing: Any, word: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            kind = _IR.ir.IntType(64)
            flag = _IR.ir.IntType(1)
            made = builder.module.declare_intrinsic(name, [kind], _IR.ir.FunctionType(kind, [kind, flag]))
            zeros = builder.call(made, [args[0], flag(1)])
            return builder.sub(kind(_LAST), zeros) if mirrored else zeros

        return types.int64(types.uint64), generate

    return cast("Callable[[Any], int]", count)


def _plain_lowest(word: Any) -> int:
    return (int(word) & -int(word)).bit_length() - 1


def _plain_highest(word: Any) -> int:
    return int(word).bit_length() - 1


# (uint64 that is not 0): place of the bit, 0 to 63
lowest_bit: Final = _plain_lowest if _CONFIG.DISABLE_JIT else _counter("llvm.cttz", False)
highest_bit: Final = _plain_highest if _CONFIG.DISABLE_JIT else _counter("llvm.ctlz", True)
