"""Reading pages of the documentation: tables, fenced blocks, links."""

from __future__ import annotations

import re


def table(text: str, first: str, second: str, place: int = 0) -> list[list[str]]:
    """Rows of the `place`-th table whose head begins with these two cells (the second cell's beginning will do)."""
    found = []
    lines = text.splitlines()
    for number, line in enumerate(lines):
        head = _cells(line)
        if line.startswith("|") and len(head) > 1 and head[0] == first and head[1].startswith(second):
            rows = []
            for row in lines[number + 2 :]:
                if not row.startswith("|"):
                    break
                rows.append(_cells(row))
            found.append(rows)
    assert len(found) > place, f"no table {place} with the head {first} | {second}"
    return found[place]


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split("|")]


def blocks(text: str, language: str) -> list[str]:
    """Contents of the fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def links(text: str) -> set[str]:
    """Targets of the links of a page, without anchors."""
    return set(re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text))
