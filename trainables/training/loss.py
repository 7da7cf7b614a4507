"""The losses of training, for classes that are not equally frequent.

Letters: `B` batch, `C` classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial

import torch
from torch.nn import functional

from trainables.config import TrialConfig
from trainables.errors import UserError
from trainables.parts.registry import is_own, knobs_for, part, told_apart, where

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Maps logits `(B, C) float32` and targets, `(B,) int64` or shares `(B, C) float32`, to the mean loss `()`."""


def build_loss(config: TrialConfig, class_counts: Sequence[int], device: torch.device) -> Loss:
    """The loss that a configuration asks for.

    Args:
        config: Its `loss`, that loss's own knob, and `label_smoothing`.
        class_counts: Training pictures of each class; a class may have none.
        device: Where the logits are.
    """
    if is_own(config.loss):
        return OwnLoss(config, class_counts, device)
    counts = torch.tensor(class_counts, dtype=torch.float64)
    if config.loss == "effective_number":
        weights = effective_number_weights(counts, config.effective_beta).to(device, torch.float32)
        return partial(_weighted, weights=weights, smoothing=config.label_smoothing)
    if config.loss == "focal":
        return partial(_focal, gamma=config.focal_gamma, smoothing=config.label_smoothing)
    if config.loss == "logit_adjusted":
        shift = (config.logit_tau * log_prior(counts)).to(device, torch.float32)
        return partial(_shifted, shift=shift, smoothing=config.label_smoothing)
    return partial(functional.cross_entropy, label_smoothing=config.label_smoothing)


class OwnLoss:
    """A loss of the user's own file; what it returns is looked at every time, its value not, which would be waited for.

    Raises:
        UserError: It cannot be called with what there is; later, that it fails or returns no mean. Names file and
            function.
    """

    def __init__(self, config: TrialConfig, class_counts: Sequence[int], device: torch.device) -> None:
        """As `build_loss`."""
        self._name = config.loss
        self._function = part("loss", config.loss)
        known = asdict(config) | {"class_counts": torch.tensor(class_counts, dtype=torch.float32, device=device)}
        self._knobs = knobs_for(self._function, 2, known, "loss")

    def __call__(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The mean loss `()`."""
        with told_apart("loss", self._name):
            loss = self._function(logits, targets, **self._knobs)
        if not isinstance(loss, torch.Tensor) or loss.ndim != 0:
            what = f"a tensor {tuple(loss.shape)}" if isinstance(loss, torch.Tensor) else type(loss).__name__
            raise UserError(
                f"{where('loss', self._name)} returns {what}: it must return one number, the mean over the pictures, "
                "as .mean() gives it"
            )
        return loss


def effective_number_weights(counts: torch.Tensor, beta: float) -> torch.Tensor:
    """Weights `(C,) float64` of the classes: one over the effective number of their pictures (Cui et al. 2019).

    The effective number of n pictures is (1 - beta^n) / (1 - beta). Weights are scaled to a mean of 1 over the
    training *pictures*, so that a learning rate means the same with every beta; Cui et al. take the mean over the
    classes. A class without pictures counts as having one: it only occurs where pictures are mixed from others.

    Args:
        counts: Training pictures of each class, `(C,) float64`.
        beta: Between 0 and 1.
    """
    weights = (1 - beta) / (1 - beta ** counts.clamp(min=1))
    return weights * counts.sum() / (weights * counts).sum()


def log_prior(counts: torch.Tensor) -> torch.Tensor:
    """Logarithm of each class's share of the training pictures `(C,) float64`; no picture counts as one."""
    at_least_one = counts.clamp(min=1)
    return (at_least_one / at_least_one.sum()).log()


def _shares(targets: torch.Tensor, num_classes: int) -> torch.Tensor:
    """Targets as shares of the classes `(B, C) float32`."""
    return functional.one_hot(targets, num_classes).float() if targets.ndim == 1 else targets


def _weighted(logits: torch.Tensor, targets: torch.Tensor, *, weights: torch.Tensor, smoothing: float) -> torch.Tensor:
    """Cross-entropy in which each picture counts by the weight of its class, whatever share of it is smoothed away."""
    log_probs = functional.log_softmax(logits, dim=1)
    by_class = -(1 - smoothing) * log_probs - smoothing * log_probs.mean(dim=1, keepdim=True)
    return (_shares(targets, logits.shape[1]) * weights * by_class).sum(dim=1).mean()


def _focal(logits: torch.Tensor, targets: torch.Tensor, *, gamma: float, smoothing: float) -> torch.Tensor:
    """Sum over classes of share x (1 - p)^gamma x -log p (Lin et al. 2017, whose pictures have one class each)."""
    log_probs = functional.log_softmax(logits, dim=1)
    shares = _shares(targets, logits.shape[1]) * (1 - smoothing) + smoothing / logits.shape[1]
    # Where p is 1 in float32, a power below 1 of 1 - p = 0 would have no finite gradient.
    doubt = (1 - log_probs.exp()).clamp(min=torch.finfo(torch.float32).eps) ** gamma
    return -(shares * doubt * log_probs).sum(dim=1).mean()


def _shifted(logits: torch.Tensor, targets: torch.Tensor, *, shift: torch.Tensor, smoothing: float) -> torch.Tensor:
    """Cross-entropy of logits + tau x log prior: the network itself is then free of the prior (Menon et al. 2021).

    Labels are smoothed towards the shifted prior, not evenly: the logits of all wrong classes are then equal where the
    loss is lowest. Evenly, those of rare classes would be the largest there, above that of a frequent true class.
    """
    shifted = logits + shift
    hard = functional.cross_entropy(shifted, targets)
    to_prior = functional.cross_entropy(shifted, shift.softmax(dim=0).expand_as(shifted))
    return (1 - smoothing) * hard + smoothing * to_prior
