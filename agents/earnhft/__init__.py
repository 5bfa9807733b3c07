"""EarnHFT (Qin et al., AAAI 2024): a hierarchy of value networks, learnt in three stages.

I    low-level agents, one network a sampling preference, taught by a teacher that knows the future (`low`, `teacher`);
II   a pool: for each trend of the market and each position the agent that did best on validation data;
III  a router that says each minute which of them acts.

`config` says what is trained, and which of the published code's errors are corrected; `network` is what is trained.
"""

from __future__ import annotations

__all__: list[str] = []
