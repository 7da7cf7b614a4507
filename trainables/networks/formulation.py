"""What is learnt of classes that are products of attributes: the classes, or each attribute.

joint: one network with an output a class. heads: one network with an output a value of each attribute. separate: a
network an attribute. All three answer with logits of the classes, so whatever comes after them is the same.

Letters: `B` batch, `C` classes, `V` values of one attribute, `S` image size in pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional

from trainables.config import TaskConfig, TrialConfig
from trainables.errors import UserError
from trainables.networks.attributes import attribute_values, marginal_log_probs, membership, value_of_class
from trainables.networks.decided import Decided, undecided
from trainables.networks.model import create_backbone, memory_format, zero_heads
from trainables.parts.registry import decision_of, in_use
from trainables.training.loss import Loss, build_loss

LAMB_SPREAD = 0.02
"""Of a classifier's weights that LAMB trains: its steps are as large as the weights are, so it hardly leaves zero."""


class Attributes(nn.Module):
    """Networks that answer for attributes; the logit of a class is the sum of the log-probabilities of its values.

    The networks come either as one with an output for each value of all attributes, one attribute after the other
    (heads), or as one for each attribute (separate). All were made from the same timm name.
    """

    def __init__(self, networks: Sequence[nn.Module], attributes: Mapping[str, Sequence[str]]) -> None:
        """Takes one network or one for each attribute, and each attribute's value for each class, in class order."""
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.pretrained_cfg = getattr(networks[0], "pretrained_cfg", None)
        self._names = tuple(attributes)
        self._sizes = [len(attribute_values(by_class)) for by_class in attributes.values()]
        for place, by_class in enumerate(attributes.values()):
            self.register_buffer(f"_value_of_class_{place}", value_of_class(by_class), persistent=False)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Maps `(B, 3, S, S) float32` to logits of the classes `(B, C) float32`."""
        answers = [network(pictures).float() for network in self.networks]
        logits = torch.cat(answers, dim=1).split(self._sizes, dim=1)
        total = sum(
            functional.log_softmax(of_values, dim=1)[:, self.get_buffer(f"_value_of_class_{place}")]
            for place, of_values in enumerate(logits)
        )
        return cast(torch.Tensor, total)  # there is an attribute at least

    def get_classifier(self) -> tuple[nn.Module, ...]:
        """The last layers of all networks."""
        heads = [cast(Any, network).get_classifier() for network in self.networks]  # timm's own method
        return tuple(part for head in heads for part in (head if isinstance(head, (tuple, list)) else (head,)))

    def saved_names(self) -> dict[str, str]:
        """From a tensor's name in a file to its own: plain timm's, behind `attribute.` where networks are many."""
        if len(self.networks) == 1:
            return {name.removeprefix("networks.0."): name for name in self.state_dict()}
        prefixes = {f"networks.{place}.": f"{attribute}." for place, attribute in enumerate(self._names)}
        return {prefixes[own[: own.index(".", 9) + 1]] + own[own.index(".", 9) + 1 :]: own for own in self.state_dict()}


def backbones(model: nn.Module) -> list[nn.Module]:
    """The timm networks that a network of any formulation consists of."""
    model = undecided(model)
    return list(model.networks) if isinstance(model, Attributes) else [model]


def with_decision(model: nn.Module, num_classes: int) -> nn.Module:
    """The network with the decision rule of the user's file behind it, should that have one."""
    rule = decision_of(in_use())
    return model if rule is None else Decided(model, rule, num_classes)


def assemble(
    formulation: str,
    num_classes: int,
    attributes: Mapping[str, Sequence[str]],
    create: Callable[[int], nn.Module],
) -> nn.Module:
    """The network of a formulation, from a function that creates a timm network with so many outputs.

    Raises:
        UserError: The formulation needs attributes and there are none.
    """
    if formulation == "joint":
        return create(num_classes)
    if not attributes:
        raise UserError(
            f"formulation is {formulation}, but the classes have no attributes: name them by --attributes or take joint"
        )
    sizes = [len(attribute_values(by_class)) for by_class in attributes.values()]
    return Attributes([create(size) for size in ([sum(sizes)] if formulation == "heads" else sizes)], attributes)


def build_network(config: TrialConfig, task: TaskConfig, device: torch.device) -> nn.Module:
    """Builds the network with pretrained weights from `task.weights`, or at random where it names no file.

    The caller seeds torch's generators: they draw the new classifier, and all of it without weights.

    Raises:
        RuntimeError: timm does not know the backbone, or the weights do not fit it.
        UserError: The backbone has no drop path or cannot take pictures of the task's size, or there are no
            attributes for the formulation.
    """
    create = partial(
        _create,
        backbone=config.backbone,
        image_size=task.image_size,
        file=task.weights.get(config.backbone),
        dropout=config.dropout,
        drop_path=config.drop_path,
        zero_head=task.head == "zeros",
        head_spread=LAMB_SPREAD if config.optimizer == "lamb" else 0.0,
    )
    model = assemble(config.formulation, len(task.classes), task.attributes, create)
    model = with_decision(model, len(task.classes))
    return model.to(device).to(memory_format=memory_format(config.backbone, device, task.precision))


def _create(
    num_classes: int, *, backbone: str, image_size: int, zero_head: bool, head_spread: float, **options: Any
) -> nn.Module:
    network = create_backbone(backbone, num_classes, image_size, **options)
    if zero_head:
        zero_heads(network, head_spread)
    return network


def build_criterion(config: TrialConfig, task: TaskConfig, class_counts: Sequence[int], device: torch.device) -> Loss:
    """The loss on logits of the classes: over the classes (joint), or the weighted sum of each attribute's.

    Where all combinations of values are classes, the marginals of the joint logits are what the heads answered. Weights
    of 1 and plain cross-entropy then make that of the classes.

    Args:
        config: Its formulation and loss.
        task: Its attributes and their weights; an attribute that has none counts 1.
        class_counts: Training pictures of each class.
        device: Where the logits are.
    """
    if config.formulation == "joint":
        return build_loss(config, class_counts, device)
    parts = []
    for name, by_class in task.attributes.items():
        classes = membership(by_class, device)
        counts = (torch.tensor(class_counts, dtype=torch.float32) @ classes.cpu()).tolist()
        weight = task.attribute_weights.get(name, 1.0)
        parts.append((weight, build_loss(config, counts, device), classes, classes.T.bool()))

    def criterion(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        shares = functional.one_hot(targets, logits.shape[1]).float() if targets.ndim == 1 else targets
        total = sum(
            weight * loss(marginal_log_probs(logits, classes_of_value), shares @ classes)
            for weight, loss, classes, classes_of_value in parts
        )
        return cast(torch.Tensor, total)  # there is an attribute at least

    return criterion
