"""Goal: the battery of `lobgym.envs.testing` passes a sound environment and sees every fault that it is there to see.

Method: an environment that owes nothing to lobgym, and one with a fault for each promise. A check that no fault can
fail would be none.
"""

from __future__ import annotations

import sys
from dataclasses import fields

import numpy as np
import pytest

from lobgym.envs.testing import (
    CHECKS,
    ContractError,
    NotApplicableError,
    Subject,
    check_environment,
    difference,
    digest,
    examine,
)
from lobgym.envs.testing.__main__ import main
from tests.envs.broken import ID, made_by_hand, subject
from tests.house.pages import table
from tests.project import ROOT

# fault, the check that sees it, a word of what it says
FAULTS = [
    ("no bounds", "gymnasium", "infinity"),
    ("wide action", "stable_baselines3", "normalized"),
    ("too large", "bounds", "is not in"),
    ("NaN", "bounds", "nan"),
    ("endless reward", "bounds", "not finite"),
    ("text reward", "bounds", "expected a float"),
    ("numpy flag", "bounds", "expected a bool"),
    ("late key", "info_keys", "surprise"),
    ("changing type", "info_keys", "won"),
    ("wrong sum", "sums", "summary['won']"),
    ("steps before reset", "misuse", "before the first reset"),
    ("steps after the end", "misuse", "after an episode's end"),
    ("clips", "misuse", "was accepted"),
    ("an assertion", "misuse", "python -O"),
    ("another error", "misuse", "KeyError"),
    ("moves on a refusal", "misuse", "changed what came after"),
    ("vector clips", "misuse", "in the last lane"),
    ("no remedy", "misuse", "should say 'at least 1'"),
    ("seed unused", "seeds", "gave another rollout in the same environment"),
    ("global generator", "seeds", "gave another rollout"),
    ("seed built in", "seeds", "does reset"),
    ("one buffer", "kept", "overwrote"),
    ("forgets", "copies", "copy went another way"),
    ("looks ahead", "causality", "the future decides the past"),
    ("lane differs", "vector", "rewards of lane 1"),
    ("one vector buffer", "vector", "overwrote the observations"),
    ("mode unsaid", "vector", "metadata"),
    ("no mask", "vector", "without its mask"),
    ("one process", "two_processes", "in a fresh process"),
    ("object in info", "two_processes", "cannot be compared"),
    ("object in info", "subprocesses", "pickle"),
]


def test_a_sound_environment_passes_every_check():
    findings = check_environment(subject())
    assert [(one.check, one.outcome) for one in findings] == [(name, "passed") for name in CHECKS]


def test_every_check_can_fail():
    assert {check for _, check, _ in FAULTS} == set(CHECKS)


@pytest.mark.parametrize(("fault", "check", "word"), FAULTS)
def test_a_fault_is_seen(fault: str, check: str, word: str):
    (finding,) = examine(subject(fault), [check])
    assert finding.outcome == "failed"
    assert word in finding.message


def test_what_cannot_be_looked_at_is_skipped_and_said():
    bare = Subject(made_by_hand, {"length": 11}, steps=100)
    found = {one.check: one for one in examine(bare, ["vector", "causality", "seeds", "copies"])}
    assert {name: one.outcome for name, one in found.items()} == {
        "vector": "skipped", "causality": "skipped", "seeds": "passed", "copies": "passed",
    }  # fmt: skip
    assert "vector_entry_point" in found["vector"].message
    with pytest.raises(NotApplicableError):
        bare.autoreset_modes()


def test_data_that_nothing_depends_on_are_no_proof_of_causality():
    with pytest.raises(ContractError, match="changed nothing"):
        CHECKS["causality"](subject(altered=lambda env: made_by_hand()))


def test_episodes_that_never_end_are_no_proof_of_autoreset():
    long = subject(arguments={"length": 400})
    for check in ("vector", "info_keys"):
        with pytest.raises(ContractError, match="shorter episodes"):
            CHECKS[check](long.replace(steps=20))


def test_an_environment_in_which_nothing_is_drawn_says_so():
    fixed = subject("seed built in")
    with pytest.raises(ContractError):
        CHECKS["seeds"](fixed)
    CHECKS["seeds"](fixed.replace(seeds_matter=False))


def test_without_stable_baselines_its_checks_are_skipped(monkeypatch: pytest.MonkeyPatch):
    for name in [name for name in sys.modules if name.startswith("stable_baselines3")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "stable_baselines3", None)
    for one in examine(subject(), ["stable_baselines3", "subprocesses"]):
        assert one.outcome == "skipped"
        assert "lobgym[train]" in one.message


def test_hashes_see_bits_types_and_shapes_but_not_the_order_of_keys():
    assert digest({"a": 1, "b": 2.0}) == digest({"b": 2.0, "a": 1})
    values = [0.0, -0.0, 0, False, None, "0", np.float32(0), np.float64(0), np.zeros(1), np.zeros((1, 1)), [0.0], [[]]]
    assert len({digest(value) for value in values}) == len(values)
    for i, left in enumerate(values):
        for j, right in enumerate(values):
            assert (difference(left, right) is None) == (i == j)
    with pytest.raises(ContractError, match="cannot be compared"):
        digest({"a": object()})
    assert difference({"a": [1, 2]}, {"a": [1, 3]}, "info") == "info['a'][1]: 2 against 3"
    assert difference({"a": 1}, {"b": 1}, "info") == "info: keys ['a', 'b'] are on one side only"
    assert difference([1], [1, 2], "x") == "x: 1 entries against 2"


def test_the_page_lists_the_checks_and_the_fields_of_a_subject():
    page = (ROOT / "docs/testing-environments.md").read_text(encoding="utf-8")
    assert [row[0].strip("`") for row in table(page, "check", "promise")] == list(CHECKS)
    rows = {row[0].strip("`"): row[1] for row in table(page, "field", "default")}
    assert list(rows) == [field.name for field in fields(Subject)]
    for name in ("steps", "lanes", "seed", "seeds_matter", "mistakes", "altered"):
        assert rows[name] == str(getattr(Subject, name))


def test_the_command_prints_a_line_a_check_and_fails_with_it(capsys: pytest.CaptureFixture[str]):
    words = [ID, "length=11", "--steps", "60", "--check", "bounds", "--check", "sums"]
    assert main(words) == 0
    assert capsys.readouterr().out.split()[:2] == ["passed", "bounds"]
    assert main([*words, "fault=wrong sum"]) == 1
    assert "failed  sums" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main([ID, "length"])
