"""The list of checks, and running all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from lobgym.envs.testing import causality, interface, misuse, processes, repeatability, vectors
from lobgym.envs.testing.subject import ContractError, NotApplicableError, Subject

__all__ = ["CHECKS", "Finding", "check_environment", "examine"]

CHECKS: Final[Mapping[str, Callable[[Subject], None]]] = {
    "gymnasium": interface.check_gymnasium,
    "stable_baselines3": interface.check_stable_baselines3,
    "bounds": interface.check_bounds,
    "info_keys": interface.check_info_keys,
    "sums": interface.check_sums,
    "misuse": misuse.check_misuse,
    "seeds": repeatability.check_seeds,
    "kept": repeatability.check_kept,
    "copies": repeatability.check_copies,
    "causality": causality.check_causality,
    "vector": vectors.check_vector,
    "two_processes": processes.check_two_processes,
    "subprocesses": processes.check_subprocesses,
}


class Finding(NamedTuple):
    """What one check said."""

    check: str
    outcome: str  # "passed", "failed" or "skipped"
    message: str  # of a failure, or why it was skipped
    seconds: float


def examine(subject: Subject, checks: Iterable[str] = CHECKS) -> Iterator[Finding]:
    """Run checks one after the other, each result as soon as it is known. Raises nothing because of the subject."""
    for name in checks:
        began = time.perf_counter()
        outcome, message = "passed", ""
        try:
            CHECKS[name](subject)
        except NotApplicableError as error:
            outcome, message = "skipped", str(error)
        except Exception as error:
            outcome, message = "failed", f"{type(error).__name__}: {error}"
        yield Finding(name, outcome, message, time.perf_counter() - began)


def check_environment(subject: Subject | str, checks: Iterable[str] = CHECKS, **arguments: Any) -> list[Finding]:
    """Run the battery on an environment. Returns what each check said; none of them failed.

    Args:
        subject: a `Subject`, or an id, with `arguments` for the environment.
        checks: names out of `CHECKS`; all of them by default.

    Raises:
        ContractError: what is broken, one line a check.
    """
    if not isinstance(subject, Subject):
        subject = Subject(subject, arguments)
    findings = list(examine(subject, checks))
    failed = [f"{one.check}: {one.message}" for one in findings if one.outcome == "failed"]
    if failed:
        raise ContractError("\n".join([f"{subject.name} breaks {len(failed)} of {len(findings)} checks:", *failed]))
    return findings
