"""Joining the REST snapshot to the stream of changes by the exchange's rule, and finding what is missing.

Futures: changes with u < lastUpdateId are dropped, the first kept one has U <= lastUpdateId <= u, and from then on
each one's pu equals the u before it. Spot: u <= lastUpdateId is dropped, the first kept one has
U <= lastUpdateId + 1 <= u, and then U equals the u before it plus 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["Change", "DepthSync", "Step"]


class Change(NamedTuple):
    """The ids of one depth message; `message` is its place in order of receipt. Spot has no `previous_id`."""

    message: int
    first_id: int
    last_id: int
    previous_id: int


class Step(NamedTuple):
    """What to do with one change: apply it, after a CLEAR where messages are missing before it."""

    change: Change
    gap_after: int  # the id after which messages are missing, -1 where none are


@dataclass
class DepthSync:
    """State of one recording's book. Before the first snapshot it is unknown, and changes wait.

    After a gap the book is lost: changes go on being applied, so that levels come back as they change, until a later
    snapshot joins. A snapshot that arrives while the book is whole says nothing new and is left out.
    """

    spot: bool
    last_id: int = -1  # newest id that the book contains; -1: no snapshot yet
    joining: bool = False  # the next change follows a snapshot and not another change
    lost: bool = False
    before_snapshot: int = 0
    stale: int = 0
    blind: int = 0  # changes applied while the book is lost
    snapshots_unused: int = 0
    _waiting: list[Change] = field(default_factory=list)

    @property
    def waiting(self) -> int:
        """Changes that no snapshot has joined."""
        return len(self._waiting) if self.last_id < 0 else 0

    def change(self, change: Change) -> Step | None:
        """Take a change; None when it is dropped or waits for the snapshot."""
        if self.last_id < 0:
            self._waiting.append(change)
            return None
        if self.joining and self._contained(change):
            self.before_snapshot += 1
            return None
        if not self.joining and change.last_id <= self.last_id:
            self.stale += 1
            return None
        gap_after = -1 if self._follows(change) else self.last_id
        self.lost |= gap_after >= 0
        self.joining = False
        self.last_id = change.last_id
        if self.lost:
            self.blind += 1
            self._waiting.append(change)  # a snapshot that is still to come may be older than this change
        return Step(change, gap_after)

    def snapshot(self, last_id: int) -> list[Step] | None:
        """Take a snapshot; the waiting changes that come after it, or None when it is left out."""
        if self.last_id >= 0 and not self.lost:
            self.snapshots_unused += 1
            return None
        waiting, self._waiting = self._waiting, []
        applied_before = self.lost
        self.last_id, self.joining, self.lost = last_id, True, False
        steps = []
        for change in waiting:
            if applied_before and self.joining and self._contained(change):
                continue  # applied already, and rightly: it comes before the snapshot
            step = self.change(change)
            if step is not None:
                steps.append(step)
        return steps

    def _contained(self, change: Change) -> bool:
        """Whether the snapshot already holds all of a change."""
        return change.last_id <= self.last_id if self.spot else change.last_id < self.last_id

    def _follows(self, change: Change) -> bool:
        if self.spot:
            reach = change.first_id <= self.last_id + 1 <= change.last_id
            return reach if self.joining else change.first_id == self.last_id + 1
        if self.joining:
            # The second case: the snapshot ends exactly where this change begins.
            return change.first_id <= self.last_id <= change.last_id or change.previous_id == self.last_id
        return change.previous_id == self.last_id
