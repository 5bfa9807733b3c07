"""Self-contained pages, charts and pictures: functions of plain data, loading nothing from anywhere."""

from __future__ import annotations

__all__: list[str] = []
