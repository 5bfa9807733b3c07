"""Goal: what the README shows works as shown.

Method: of the lines of its ```bash blocks, make targets are looked up in the Makefile, lobgym commands and options in
the command line's own tree (that they work is what the tests of each command say). Its ```python blocks are run,
each in a namespace of its own, warnings being errors.
"""

from __future__ import annotations

import re
import shlex

import pytest
import typer

from tests.house.pages import blocks
from tests.project import ROOT

OTHERS = {".", "git", "cd", "pip", "python", "python3"}
FLAG_LIKE = re.compile(r"-[-\w]+")


def commands(page: str) -> list[str]:
    """The commands in the bash blocks of a page, comments and prompts left out, continued lines joined."""
    lines = "\n".join(blocks(page, "bash")).replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


PAGE = (ROOT / "README.md").read_text(encoding="utf-8")


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def check_lobgym(words: list[str]) -> None:
    """Follows `words` down the command tree; asserts that every subcommand and option exists."""
    from lobgym.experiments import cli

    command = typer.main.get_command(cli.app)
    names = ["lobgym"]
    waiting = list(words)
    while waiting and hasattr(command, "commands"):
        if waiting[0].startswith("-"):
            break
        name = waiting.pop(0)
        assert name in command.commands, f"`{' '.join(names)}` has no command {name!r}: {sorted(command.commands)}"
        command = command.commands[name]
        names.append(name)
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    for word in waiting:
        if FLAG_LIKE.fullmatch(word.partition("=")[0]):
            assert word.partition("=")[0] in known | {"--help"}, f"`{' '.join(names)}` has no {word}: {sorted(known)}"


@pytest.mark.parametrize("command", commands(PAGE))
def test_command_exists(command: str) -> None:
    words = [word for word in shlex.split(command, comments=True) if "=" not in word or word.startswith("-")]
    program = words[0].rpartition("/")[2]
    if program == "make":
        assert set(words[1:]) <= make_targets()
    elif program == "lobgym":
        check_lobgym(words[1:])
    else:
        assert program in OTHERS


def test_it_begins_with_two_commands() -> None:
    first_words = [shlex.split(command, comments=True) for command in commands(PAGE)]
    assert first_words[:2] == [["make", "demo"], ["make", "test"]]


def test_an_unknown_command_is_seen() -> None:
    with pytest.raises(AssertionError, match="has no command"):
        check_lobgym(["no-such-command"])


@pytest.mark.parametrize("number", range(len(blocks(PAGE, "python"))))
def test_python_runs(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    block = blocks(PAGE, "python")[number]
    exec(compile(block, f"README.md, python block {number}", "exec"), {"__name__": "readme"})
    assert capsys.readouterr().out.strip()  # each shows something


def test_there_is_python_to_run() -> None:
    """Else the test above would pass by having nothing to do."""
    assert len(blocks(PAGE, "python")) >= 3
