"""`as_text`: a `Scene` for a terminal, with ANSI colours: the ladder with own quotes, figures, the last fills."""

from __future__ import annotations

from typing import Final

from lobgym.envs.rendering.scene import Dial, Fill, Level, Scene, compact

__all__ = ["as_text"]

_BAR: Final = 16  # characters of the longest bar
_FILLS: Final = 3
_RESET: Final = "\x1b[0m"
_DIM: Final = "\x1b[2m"
_BID: Final = "\x1b[32m"
_ASK: Final = "\x1b[31m"
_OWN: Final = "\x1b[33m"


def as_text(scene: Scene) -> str:
    """Lines without a last line break. Bars: `#` ahead of the own order, `O` the order, `.` behind it."""
    levels = [*scene.bids, *scene.asks]
    most = max((level.qty for level in levels), default=0.0) or 1.0
    wide = max((len(level.price) for level in levels), default=0)
    lines = [scene.title.replace("\N{MIDDLE DOT}", "-"), scene.subtitle]
    lines.append("  ".join(f"{tile.label} {tile.value}" for tile in scene.tiles))
    lines += [_level(level, wide, most, _ASK) for level in reversed(scene.asks)]
    lines.append(f"{_DIM}{scene.spread:^{wide + _BAR + 10}}{_RESET}")
    lines += [_level(level, wide, most, _BID) for level in scene.bids]
    if scene.dials:
        lines.append("action: " + ", ".join(_dial(dial) for dial in scene.dials))
    lines += scene.notes
    lines += [_fill(scene, fill) for fill in scene.fills[-_FILLS:]]
    return "\n".join(lines)


def _level(level: Level, wide: int, most: float, colour: str) -> str:
    length = max(1, round(_BAR * (level.qty / most) ** 0.5)) if level.qty > 0 else 0
    bar = "#" * length
    placed = [quote.ahead for quote in level.own if quote.ahead is not None]
    for ahead in sorted(placed, reverse=True):
        at = round(length * min(1.0, ahead / level.qty)) if level.qty > 0 else 0
        bar = bar[:at] + "O" + "." * (length - at)
    text = f"{colour}{level.price:>{wide}} {bar:<{_BAR + 1}}{_RESET} {compact(level.qty):>7}"
    if not level.own:
        return text
    own = compact(sum(quote.qty for quote in level.own))
    return f"{text} {_OWN}own {own}{f', {compact(min(placed))} ahead' if placed else ', sent'}{_RESET}"


def _dial(dial: Dial) -> str:
    return f"{dial.name} {dial.meaning}" if dial.at >= 0 else f"{dial.name} -"


def _fill(scene: Scene, fill: Fill) -> str:
    colour, what = (_BID, "bought") if fill.buy else (_ASK, "sold")
    role = "maker" if fill.maker else "taker"
    price = f"{fill.price:,.{scene.price_digits}f}"
    return f"{colour}{what} {compact(fill.qty)} at {price}{_RESET} as {role}, {fill.seconds:.1f} s after the start"
