"""How torch computes while something learns: deterministic kernels, a fixed number of threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["deterministic_torch"]


@contextmanager
def deterministic_torch(threads: int) -> Iterator[None]:
    """Torch with deterministic kernels and a fixed number of threads; the former settings return at the end."""
    before_threads, before_mode = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_num_threads(before_threads)
        torch.use_deterministic_algorithms(before_mode)
