"""Records of addresses that keep alive what they point to.

A record that is taken from an array keeps that array; so the array carries the others along.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["KeptArray", "keep"]


class KeptArray(np.ndarray[Any, np.dtype[np.void]]):
    """One header record; `kept` is whatever its addresses lead to."""

    kept: tuple[Any, ...]


def keep(header: NDArray[np.void], *kept: Any) -> KeptArray:
    """`header` as an array whose records keep `kept` alive."""
    made = header.view(KeptArray)
    made.kept = kept
    return made
