"""Bundles from what was trained or written by hand, and a bundle as one more policy to judge."""

from __future__ import annotations

__all__: list[str] = []
