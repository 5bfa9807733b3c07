"""Markets whose answer is known beforehand, asked: by rules written by hand, and by agents that learn."""

from __future__ import annotations

__all__: list[str] = []
