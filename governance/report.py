"""The gate report: plain data, its JSON and its Markdown. No wall clock: equal inputs give equal bytes."""

from __future__ import annotations

from typing import Final

import msgspec

from lobgym.governance.result import GateResult
from lobgym.runtime.canonical import pretty_json

__all__ = ["GateReport"]

FORMAT: Final = 1


class GateReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was judged, on which tape and simulator, and what each gate said."""

    format: int
    passed: bool
    name: str  # the policy's
    policy_sha256: str
    manifest_sha256: str
    sim_source_sha256: str
    tape: str  # venue and symbol
    tape_digest: str
    seed: int
    steps: int  # decisions asked for in each run; 0 for all that the tape holds
    gates: tuple[GateResult, ...]

    def to_json(self) -> bytes:
        """The file `gates.json`."""
        return pretty_json(self)

    @classmethod
    def from_json(cls, data: bytes) -> GateReport:
        """The inverse of `to_json`. Raises `msgspec.ValidationError` for anything else."""
        return msgspec.json.decode(data, type=cls)

    def to_markdown(self) -> str:
        """The file `gates.md`: a verdict, and a table of checks for each gate."""
        lines = [
            f"# {self.name}: gates {_verdict(self.passed)}",
            "",
            f"- policy `{self.policy_sha256}`",
            f"- manifest `{self.manifest_sha256}`",
            f"- tape {self.tape} `{self.tape_digest}`",
            f"- simulator `{self.sim_source_sha256}`",
            f"- seed {self.seed}, {self.steps or 'all'} decisions a run",
        ]
        for gate in self.gates:
            lines += ["", f"## {gate.name} {gate.title}: {_verdict(gate.passed)}", ""]
            lines += ["| check | expected | actual | |", "|---|---|---|---|"]
            lines += [
                f"| {_cell(check.name)} | {_cell(check.expected)} | {_cell(check.actual)} | {_verdict(check.passed)} |"
                for check in gate.checks
            ]
            lines += ["", *(f"- {note}" for note in gate.notes)] if gate.notes else []
        return "\n".join(lines) + "\n"


def _verdict(passed: bool) -> str:
    return "passed" if passed else "**failed**"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
