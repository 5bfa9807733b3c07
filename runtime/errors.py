"""Every exception that the runtime raises.

    LobgymError
    +-- BundleError              a policy bundle that is missing, malformed, tampered with or not allowed to act
    |   +-- ModelError           the ONNX file inside it is not a plain, bounded, deterministic network
    |   +-- GateError            the bundle is sound, but no passed gates allow it to act
    +-- PolicyError              a misuse of a policy: an observation or an output of another shape
    +-- JournalError             a journal that cannot be opened, written or understood
    |   +-- JournalCorruptError  WAL_CORRUPT: damage before the tail; nothing is dropped, nothing is started
    |   +-- JournalLockedError   another runtime holds this journal
    |   +-- JournalWriteError    a record that did not reach the file or the disk; the journal takes no more
    +-- ResumeError              a journal that this run cannot continue

An observation or an output that the guard turns away is not an error: the safe action is taken, with a reason.
"""

from __future__ import annotations

from lobgym.sim.errors import LobgymError

__all__ = [
    "BundleError",
    "GateError",
    "JournalCorruptError",
    "JournalError",
    "JournalLockedError",
    "JournalWriteError",
    "ModelError",
    "PolicyError",
    "ResumeError",
]


class BundleError(LobgymError):
    """A policy bundle that is missing, malformed, tampered with or not allowed to act."""


class ModelError(BundleError):
    """The ONNX file is not a plain, bounded, deterministic network."""


class GateError(BundleError):
    """The bundle is sound, but no passed gates allow it to act."""


class PolicyError(LobgymError):
    """An observation or an output of another shape than the policy's."""


class JournalError(LobgymError):
    """A journal that cannot be opened, written or understood."""


class JournalCorruptError(JournalError):
    """Damage before the tail of a journal (WAL_CORRUPT)."""


class JournalLockedError(JournalError):
    """Another runtime holds this journal."""


class JournalWriteError(JournalError):
    """A record did not reach the file or the disk; this journal takes no more."""


class ResumeError(LobgymError):
    """A journal that this run cannot continue."""
