"""The whole battery of contract tests, for any Gymnasium environment.

    from lobgym.envs.testing import Subject, check_environment

    check_environment("my_package:my/Env-v0", horizon=50)

runs every check of `CHECKS` and raises one `ContractError` that lists what is broken. In a test-suite, a test
a check:

    @pytest.mark.parametrize("check", CHECKS)
    def test_contract(check):
        check_environment(Subject("my_package:my/Env-v0", {"horizon": 50}), [check])

`python -m lobgym.envs.testing my_package:my/Env-v0 horizon=50` does the same on the command line. What each check
looks at is said by its function's docstring, and in docs/testing-environments.md.
"""

from __future__ import annotations

from lobgym.envs.testing.battery import CHECKS, Finding, check_environment, examine
from lobgym.envs.testing.causality import silenced
from lobgym.envs.testing.processes import digest_of, digests_elsewhere
from lobgym.envs.testing.rollout import Event, difference, digest, rollout
from lobgym.envs.testing.subject import ContractError, NotApplicableError, Subject

__all__ = [
    "CHECKS",
    "ContractError",
    "Event",
    "Finding",
    "NotApplicableError",
    "Subject",
    "check_environment",
    "difference",
    "digest",
    "digest_of",
    "digests_elsewhere",
    "examine",
    "rollout",
    "silenced",
]
