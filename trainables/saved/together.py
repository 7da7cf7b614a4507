"""Networks that answer together, as one network: from pixels between 0 and 1 to logits of the classes.

Letters: `B` batch, `C` classes, `S` image size.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from trainables.saved.model_description import Member, Rule

SMALLEST = 1e-30
"""A probability below counts as this, so that its logarithm is finite in float32."""


class Together(nn.Module):
    """The mean of the members' probabilities by their shares, and the decision rule.

    Each member normalizes the pixels as it was trained to, so they may be of different families.
    """

    def __init__(self, networks: Sequence[nn.Module], members: Sequence[Member], rule: Rule | None) -> None:
        super().__init__()
        self.members = nn.ModuleList(networks)
        self._shares = tuple(member.share for member in members)
        for name in ("mean", "std"):
            values = [getattr(member, name) for member in members]
            self.register_buffer(f"_{name}", torch.tensor(values).view(-1, 3, 1, 1), persistent=False)
        shift = 0.0 if rule is None else -rule.tau * torch.tensor(rule.prior).log()
        self.register_buffer("_shift", torch.as_tensor(shift), persistent=False)
        self.pretrained_cfg = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Maps `(B, 3, S, S) float32` to logits `(B, C) float32`, whose softmax is what the members say together."""
        mean, std = self.get_buffer("_mean"), self.get_buffer("_std")
        parts = []
        for place, (member, share) in enumerate(zip(self.members, self._shares, strict=True)):
            logits = member((pixels - mean[place]) / std[place])
            parts.append(share * logits.float().softmax(dim=1))
        return torch.stack(parts).sum(dim=0).clamp_min(SMALLEST).log() + self.get_buffer("_shift")
