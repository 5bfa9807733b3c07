"""lobgym: limit order book markets as reinforcement-learning environments.

The rooms are `lobgym.sim`, `lobgym.envs`, `lobgym.agents`, `lobgym.runtime`, `lobgym.governance` and
`lobgym.experiments`; docs/architecture.md says who may import whom. Importing this package chooses the folder of
compiled kernels (`lobgym._numba_cache`) and does nothing else: the rooms are imported where they are needed.
"""

from __future__ import annotations

from pathlib import Path as _Path

from lobgym import _numba_cache

__all__ = ["__version__"]

__version__: str

_numba_cache.install(_Path(__file__).parent)


def __getattr__(name: str) -> str:
    if name == "__version__":  # on demand, because importlib.metadata costs more than all the rest of this import
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("lobgym")
        except PackageNotFoundError:  # a source tree on sys.path, never installed
            return "0+unknown"
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
