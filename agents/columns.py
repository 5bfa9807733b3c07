"""What a policy written by hand asks of its desk: a kind, and columns by name."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lobgym.agents.errors import PolicyError
from lobgym.sim.desk_spec import DeskSpec

__all__ = ["column_of", "require_kind", "unsqueezed"]


def column_of(spec: DeskSpec, *names: str) -> tuple[int, float]:
    """Index and scale of a column that a policy cannot do without: the first of `names` that the layout has."""
    for name in names:
        if name in spec.layout.names:
            index = spec.layout.names.index(name)
            return index, spec.layout.specs[index].scale
    raise PolicyError(
        f"the policy reads the column {' or '.join(map(repr, names))}, the layout has only "
        f"{', '.join(spec.layout.names)}"
    )


def require_kind(spec: DeskSpec, kind: str, name: str) -> None:
    """Raise PolicyError unless the desk is of the policy's kind."""
    if spec.kind != kind:
        raise PolicyError(f"{name} acts in environments of kind {kind!r}, not {spec.kind!r}: choose another baseline")


def unsqueezed(values: NDArray[np.float32], scale: float) -> NDArray[np.float64]:
    """The quantities v >= 0 behind observations v / (scale + v); those close to 1 are cut off at 999 scales."""
    scaled = np.clip(values.astype(np.float64), 0.0, 0.999)
    return scale * scaled / (1.0 - scaled)
