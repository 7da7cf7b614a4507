"""Which parts of a network are trained: all, all but its first stages, or its classifier alone."""

from __future__ import annotations

from timm.models import group_parameters
from torch import nn

from trainables.errors import UserError
from trainables.networks.formulation import backbones
from trainables.networks.model import classifiers


def choose_trained(model: nn.Module, frozen_stages: int, *, classifier_alone: bool = False) -> None:
    """Freezes what is not to be trained, and thaws the rest.

    A frozen parameter has no gradient, so the optimizer neither moves nor decays it, and nothing is kept for a backward
    pass through the stages before the first that is trained. The statistics of batch normalization in the frozen part
    stay those of the weights it came with.

    Args:
        model: A network in training mode, of any formulation.
        frozen_stages: How many of its first stages stay as they are; the classifier is always trained.
        classifier_alone: Whether all but the classifier stays as it is.

    Raises:
        UserError: The network does not say what its stages are.
    """
    for network in backbones(model):
        trained = {id(parameter) for head in classifiers(network) for parameter in head.parameters()}
        if not classifier_alone:
            first = _first_stages(network, frozen_stages) if frozen_stages else set()
            trained |= {id(value) for name, value in network.named_parameters() if name not in first}
        for parameter in network.parameters():
            parameter.requires_grad_(id(parameter) in trained)
        for module in network.modules():
            own = list(module.parameters(recurse=False))
            is_frozen = classifier_alone if not own else not any(parameter.requires_grad for parameter in own)
            if is_frozen and isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()


def _first_stages(network: nn.Module, count: int) -> set[str]:
    """Names of the parameters of a network's first stages, as timm counts them: the stem, then one after another."""
    matcher = getattr(network, "group_matcher", None)
    if matcher is None:
        raise UserError(
            f"{type(network).__name__} does not say what its stages are (timm's group_matcher): give it that method, "
            "or set frozen_stages to 0"
        )
    stages = group_parameters(network, matcher(coarse=True))
    return {name for stage in sorted(stages)[:count] for name in stages[stage]}
