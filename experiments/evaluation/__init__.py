"""How well a policy trades: episodes, exact money, and figures with intervals that repeat to the last digit."""

from __future__ import annotations

__all__: list[str] = []
