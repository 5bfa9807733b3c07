"""Training with Stable-Baselines3 and sb3-contrib: from a config to a run folder, and the search for settings."""

from __future__ import annotations

__all__: list[str] = []
