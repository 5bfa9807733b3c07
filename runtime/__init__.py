"""Serving: policy bundles, the journal, the paper runtime and its replay. Imports neither gymnasium nor torch.

Read `lobgym.runtime.engine` first: one policy on one desk, as a stream of records.
"""

from __future__ import annotations

from lobgym.runtime.bundle import LoadedBundle, load_bundle, write_bundle
from lobgym.runtime.errors import BundleError, GateError, JournalError, ModelError, PolicyError, ResumeError
from lobgym.runtime.journal import Journal, read_journal
from lobgym.runtime.paper import PaperResult, run_paper
from lobgym.runtime.policy import OnnxPolicy
from lobgym.runtime.replay import Difference, ReplayResult, replay

__all__ = [
    "BundleError",
    "Difference",
    "GateError",
    "Journal",
    "JournalError",
    "LoadedBundle",
    "ModelError",
    "OnnxPolicy",
    "PaperResult",
    "PolicyError",
    "ReplayResult",
    "ResumeError",
    "load_bundle",
    "read_journal",
    "replay",
    "run_paper",
    "write_bundle",
]
