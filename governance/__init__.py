"""Gates: evidence about tapes and policies, judged in the real runtime, and the certificate that follows from it.

G0 DataTruth (`lobgym.governance.g0`), G1 ReplayParity (`g1`), G3 Robustness (`g3`); each module begins with its rules.
"""

from __future__ import annotations

from lobgym.governance.g0 import gate_g0
from lobgym.governance.g1 import gate_g1
from lobgym.governance.g3 import gate_g3
from lobgym.governance.gates import run_gates
from lobgym.governance.report import GateReport
from lobgym.governance.result import Check, GateResult

__all__ = ["Check", "GateReport", "GateResult", "gate_g0", "gate_g1", "gate_g3", "run_gates"]
