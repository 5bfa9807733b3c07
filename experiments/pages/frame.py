"""The frame that every page of ours has, and its small parts.

A page is self-contained: no scripts, no fonts, no images from anywhere; its content security policy forbids it to load
anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib.resources import files

__all__ = ["html_text", "legend_of", "page_of", "tile"]

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def page_of(title: str, sections: Sequence[str]) -> str:
    """A whole page of sections that are HTML already."""
    style = files("lobgym.experiments.pages").joinpath("page.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>{html_text(title)}</title>\n<style>\n{style}</style></head>\n<body><main>\n"
        + "\n".join(sections)
        + "\n</main></body></html>\n"
    )


def tile(what: str, figure: str, unit: str, who: str) -> str:
    """One figure, large; `figure` is HTML already."""
    small = f" <small>{html_text(unit)}</small>" if unit else ""
    return (
        f'<div class="tile"><div class="what">{html_text(what)}</div><div class="figure">{figure}{small}</div>'
        f'<div class="who">{html_text(who)}</div></div>'
    )


def legend_of(entries: Sequence[tuple[str, str]]) -> str:
    """CSS class and name of each line."""
    items = "".join(
        f'<span class="{css}"><i></i><span class="key">{html_text(name)}</span></span>' for css, name in entries
    )
    return f'<div class="legend">{items}</div>'


def html_text(value: object) -> str:
    """Text that cannot be taken for HTML."""
    return escape(str(value), quote=True)
