"""Running the gates on a bundle, and certifying it.

A policy may act (`lobgym.runtime.load_bundle`) only with a certificate that covers its very files, its gate report and
the simulator's source. The certificate is written last: until then the bundle is ungated, whatever fails before.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from lobgym.governance.g0 import gate_g0
from lobgym.governance.g1 import gate_g1
from lobgym.governance.g3 import gate_g3
from lobgym.governance.report import FORMAT, GateReport
from lobgym.governance.result import GateResult
from lobgym.runtime.bundle import LoadedBundle, load_bundle
from lobgym.runtime.canonical import pretty_json, replace_file, sha256_hex, sim_source_sha256
from lobgym.runtime.manifest import (
    CERTIFICATE_FILE,
    GATES_FILE,
    GATES_TEXT_FILE,
    Certificate,
)
from lobgym.runtime.manifest import FORMAT as BUNDLE_FORMAT
from lobgym.sim.tape import Tape, open_tape

__all__ = ["make_report", "run_gates", "write_report"]

STEPS: Final = 2000  # decisions of each run of G1 and G3


def run_gates(
    bundle: str | os.PathLike[str],
    tape: Tape | str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    steps: int | None = STEPS,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> GateReport:
    """Run G0, G1 and G3 and write `gates.json`, `gates.md` and `certificate.json`.

    Args:
        bundle: the bundle's folder.
        tape: a tape or its name. G0 judges it; G1 and G3 run on it even if it fails, so that one report says all.
        out: where to write; default the bundle's folder, elsewhere the bundle stays ungated.
        steps: decisions of each run, None for all; never more than the tape holds.
        seed: of the runs.
        progress: called with each gate's name before it begins.

    Returns:
        the report; `passed` says whether the certificate lets the policy act.

    Raises:
        BundleError: the bundle cannot be loaded. TapeError: there is no such tape.
    """
    folder = Path(bundle)
    loaded = load_bundle(folder, allow_ungated=True)
    opened = open_tape(tape)
    gates: tuple[tuple[str, Callable[[], GateResult]], ...] = (
        ("G0", lambda: gate_g0(tape)),
        ("G1", lambda: gate_g1(folder, tape, steps, seed)),
        ("G3", lambda: gate_g3(loaded, opened, steps, seed)),
    )
    results = []
    for name, gate in gates:
        if progress is not None:
            progress(name)
        results.append(gate())
    report = make_report(loaded, opened, results, seed, steps)
    write_report(report, folder if out is None else Path(out))
    return report


def make_report(
    bundle: LoadedBundle, tape: Tape, results: Sequence[GateResult], seed: int, steps: int | None
) -> GateReport:
    """The report on these results."""
    return GateReport(
        format=FORMAT,
        passed=bool(results) and all(result.passed for result in results),
        name=bundle.manifest.name,
        policy_sha256=bundle.policy_sha256,
        manifest_sha256=bundle.manifest_sha256,
        sim_source_sha256=sim_source_sha256(),
        tape=f"{tape.instrument.venue} {tape.instrument.symbol}",
        tape_digest=tape.digest,
        seed=seed,
        steps=steps or 0,
        gates=tuple(results),
    )


def write_report(report: GateReport, folder: Path) -> Certificate:
    """Write the report and, last, the certificate that binds it to the bundle's files."""
    folder.mkdir(parents=True, exist_ok=True)
    data = report.to_json()
    replace_file(folder / GATES_FILE, data)
    replace_file(folder / GATES_TEXT_FILE, report.to_markdown().encode())
    certificate = Certificate(
        format=BUNDLE_FORMAT,
        passed=report.passed,
        gates={gate.name: gate.passed for gate in report.gates},
        policy_sha256=report.policy_sha256,
        manifest_sha256=report.manifest_sha256,
        gates_sha256=sha256_hex(data),
        sim_source_sha256=report.sim_source_sha256,
        tape_digest=report.tape_digest,
    )
    replace_file(folder / CERTIFICATE_FILE, pretty_json(certificate))
    return certificate
