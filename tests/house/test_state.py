"""Goal: docs/STATE.md claims nothing that cannot be looked up: each test and command that it names exists.

Method: functions are read from the syntax trees of their files; commands are followed down the command tree. That the
tests pass is what running them says.
"""

from __future__ import annotations

import ast
import re

import pytest

from tests.house.pages import table
from tests.house.test_readme import check_lobgym
from tests.project import ROOT

ROWS = table((ROOT / "docs/STATE.md").read_text(encoding="utf-8"), "requirement", "says")
COMMANDS = sorted({command for row in ROWS for command in re.findall(r"`([^`]+)`", row[3])})


def check_node(node: str) -> None:
    path, _, name = node.partition("::")
    assert (ROOT / path).is_file(), f"no test file {path}"
    tree = ast.parse((ROOT / path).read_bytes())
    names = [one.name for one in tree.body if isinstance(one, ast.FunctionDef)]
    assert name in names, f"{path} has no test {name}"


@pytest.mark.parametrize("command", COMMANDS)
def test_the_command_exists(command: str) -> None:
    program, *words = command.split()
    if program == "pytest":
        assert len(words) == 1
        check_node(words[0])
    else:
        assert program == "lobgym"
        check_lobgym(words)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_claim_has_its_proof_and_a_gap_its_name(row: list[str]) -> None:
    _, _, status, commands, remarks = row
    assert status in ("met", "partly", "open")
    assert bool(commands) == (status != "open")
    assert remarks or status != "partly"


def test_rows_are_in_order_and_unique() -> None:
    numbers = [int(row[0].removeprefix("R")) for row in ROWS]
    assert numbers == sorted(set(numbers))


def test_a_test_that_does_not_exist_is_seen() -> None:
    with pytest.raises(AssertionError, match="has no test"):
        check_node("tests/house/test_state.py::test_nothing")
