"""Policies as ONNX graphs, trained ones and those written by hand, and the proof that each decides the same."""

from __future__ import annotations

__all__: list[str] = []
