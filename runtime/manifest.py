"""What stands in a bundle's files: names, sizes and the strict JSON of manifest and certificate."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

__all__ = [
    "CERTIFICATE_FILE",
    "FORMAT",
    "GATES_FILE",
    "GATES_TEXT_FILE",
    "GOLDEN_ROWS_MAX",
    "JSON_BYTES_MAX",
    "MANIFEST_FILE",
    "NAME",
    "POLICY_BYTES_MAX",
    "POLICY_FILE",
    "Certificate",
    "Golden",
    "Hierarchy",
    "Manifest",
]

FORMAT: Final = 1
POLICY_FILE: Final = "policy.onnx"
MANIFEST_FILE: Final = "manifest.json"
GATES_FILE: Final = "gates.json"
GATES_TEXT_FILE: Final = "gates.md"
CERTIFICATE_FILE: Final = "certificate.json"

POLICY_BYTES_MAX: Final = 4 << 20
JSON_BYTES_MAX: Final = 4 << 20
GOLDEN_ROWS_MAX: Final = 256
NAME: Final = re.compile(r"[a-z0-9_-]{1,64}")


class Golden(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Observations, raw outputs (little-endian float32, base64) and codes that the policy must reproduce.

    They are what one decision after another is made of. `starts` names the rows at which a run begins, and nothing is
    remembered; left out, every row is one. The codes of a hierarchy are action, choice, agent.
    """

    rows: int
    observations: str
    raw: str
    codes: list[list[int]]
    starts: list[int] | None = None


class Hierarchy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the row of a network that holds several agents and a router becomes a decision (`runtime.hierarchy`)."""

    macro_steps: int  # decisions from one choice of the router to the next
    positions: list[float]  # fractions of the position limit, rising: the rows of `members`
    rounding: str  # which of them belongs to a position: "nearest" or "down"
    members: list[list[int]]  # [position][choice] -> which agent acts
    agents: list[str]  # sha256 of each agent's weights, in the order of the network's row
    router: str  # sha256 of the router's


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Everything that fixes a policy's decisions, and where it comes from. No wall clock: equal inputs, equal bytes.

    `hierarchy` and `state` are written only where there is one, so that the manifests of other policies are what they
    always were.
    """

    format: int
    name: str
    policy_sha256: str
    spec: dict[str, Any]  # DeskSpec.to_json()
    spec_digest: str
    layout_hash: str
    action_kind: str
    action_low: float  # bounds of every component of an action; of a target action, the first and last choice
    action_high: float
    sim_source_sha256: str
    instrument: dict[str, Any]  # Instrument.to_json()
    tape_digests: list[str]  # of every tape trained on
    seed: int
    algo: str
    training_steps: int
    commit: str  # of the source that trained it; "" if unknown
    created_by: str
    golden: Golden
    hierarchy: Hierarchy | None = None
    state: int = 0  # width of what a recurrent network gives itself from one decision to the next


class Certificate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The verdict of the gates on these very files."""

    format: int
    passed: bool
    gates: dict[str, bool]
    policy_sha256: str
    manifest_sha256: str
    gates_sha256: str
    sim_source_sha256: str
    tape_digest: str  # the tape that the gates ran on
