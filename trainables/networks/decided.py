"""A network with the user's own decision rule behind it, wherever it answers and is not trained.

Letters: `B` batch, `C` classes, `S` image size in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import nn

from trainables.errors import UserError
from trainables.parts.registry import knobs_for, part, told_apart, where

SMALLEST = 1e-30
"""A score below counts as this, so that its logarithm is finite in float32."""


class Decided(nn.Module):
    """Logits of the classes in training; else the logarithm of what the rule makes of their probabilities.

    The softmax of that are the rule's scores, divided by their sum: whoever takes the answers for probabilities, an
    ensemble say, has those of the rule.
    """

    prior: torch.Tensor

    def __init__(self, network: nn.Module, rule: str, num_classes: int) -> None:
        """Takes the network and the name of the rule; the classes count alike until `set_prior`."""
        super().__init__()
        self.network = network
        self._rule, self._function = rule, part("decision", rule)
        knobs_for(self._function, 2, {}, "decision")
        self.pretrained_cfg = getattr(network, "pretrained_cfg", None)
        self.register_buffer("prior", torch.full((num_classes,), 1 / num_classes))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Maps `(B, 3, S, S) float32` to `(B, C)`."""
        logits = self.network(pictures)
        if self.training:
            return logits
        with told_apart("decision", self._rule):
            scores = self._function(logits.float().softmax(dim=1), self.prior)
        if not isinstance(scores, torch.Tensor) or scores.shape != logits.shape:
            what = tuple(scores.shape) if isinstance(scores, torch.Tensor) else type(scores).__name__
            raise UserError(
                f"{where('decision', self._rule)} returns {what}: it must return a score of each class, of the "
                f"shape of the probabilities, {tuple(logits.shape)}"
            )
        return scores.float().clamp_min(SMALLEST).log()

    def get_classifier(self) -> Any:
        """The last layers of the network."""
        return cast(Any, self.network).get_classifier()


def undecided(model: nn.Module) -> nn.Module:
    """The network without its decision rule."""
    return cast(nn.Module, model.network) if isinstance(model, Decided) else model


def set_prior(models: Sequence[nn.Module], class_counts: Sequence[int]) -> None:
    """Tells decision rules how the training pictures are shared out; a class without one counts as having one."""
    counts = torch.tensor(class_counts, dtype=torch.float32).clamp(min=1)
    for model in models:
        if isinstance(model, Decided):
            model.prior.copy_(counts / counts.sum())
