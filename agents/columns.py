"""What a policy written by hand asks of its desk: a kind, and columns by name."""

from __future__ import annotations

from lobgym.agents.errors import PolicyError
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.observation import ObservationLayout

__all__ = ["column_of", "require_kind"]


def column_of(desk: DeskSpec | ObservationLayout, *names: str) -> tuple[int, float]:
    """Index and scale of a column that a policy cannot do without: the first of `names` that the layout has."""
    layout = desk.layout if isinstance(desk, DeskSpec) else desk
    for name in names:
        if name in layout.names:
            index = layout.names.index(name)
            return index, layout.specs[index].scale
    raise PolicyError(
        f"the policy reads the column {' or '.join(map(repr, names))}, the layout has only {', '.join(layout.names)}"
    )


def require_kind(spec: DeskSpec, kind: str, name: str) -> None:
    """Raise PolicyError unless the desk is of the policy's kind."""
    if spec.kind != kind:
        raise PolicyError(f"{name} acts in environments of kind {kind!r}, not {spec.kind!r}: choose another baseline")
