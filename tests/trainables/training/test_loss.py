"""Each loss is its paper's formula, with shares as targets too."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from trainables.config import TrialConfig
from trainables.training.loss import build_loss, effective_number_weights, log_prior

COUNTS = (100, 10, 1, 0)
CPU = torch.device("cpu")


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(12, 4), torch.arange(12) % 4


def loss(batch: tuple[torch.Tensor, torch.Tensor], counts: tuple[int, ...] = COUNTS, **knobs: float | str) -> float:
    return float(build_loss(TrialConfig(backbone="resnet18", **knobs), counts, CPU)(*batch))


KNOBS = [
    {},
    {"loss": "effective_number", "effective_beta": 0.99},
    {"loss": "focal", "focal_gamma": 0.5},
    {"loss": "logit_adjusted", "logit_tau": 1.5},
]


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("knobs", KNOBS)
def test_shares_of_one_class_are_its_label(
    knobs: dict, smoothing: float, batch: tuple[torch.Tensor, torch.Tensor]
) -> None:
    logits, labels = batch
    shares = functional.one_hot(labels, 4).float()
    hard = loss(batch, **knobs, label_smoothing=smoothing)
    assert loss((logits, shares), **knobs, label_smoothing=smoothing) == pytest.approx(hard, rel=1e-5)


@pytest.mark.parametrize("knobs", [knobs for knobs in KNOBS if knobs.get("loss") != "focal"])
def test_the_loss_of_a_mixed_picture_is_the_mix_of_losses(
    knobs: dict, batch: tuple[torch.Tensor, torch.Tensor]
) -> None:
    logits, labels = batch
    other = (labels + 1) % 4
    shares = 0.3 * functional.one_hot(labels, 4).float() + 0.7 * functional.one_hot(other, 4).float()
    expected = 0.3 * loss(batch, **knobs) + 0.7 * loss((logits, other), **knobs)
    assert loss((logits, shares), **knobs) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("knobs", KNOBS)
def test_every_loss_has_a_finite_gradient_even_where_the_network_is_certain(knobs: dict) -> None:
    logits = torch.tensor([[100.0, 0, 0, 0], [-100.0, 0, 0, 100]], requires_grad=True)
    build_loss(TrialConfig(backbone="resnet18", **knobs), COUNTS, CPU)(logits, torch.tensor([0, 0])).backward()
    assert logits.grad.isfinite().all()


def test_effective_numbers_are_those_of_the_paper_with_mean_one_over_the_pictures(
    batch: tuple[torch.Tensor, torch.Tensor],
) -> None:
    counts = torch.tensor(COUNTS, dtype=torch.float64)
    weights = effective_number_weights(counts, 0.99)
    effective = [(1 - 0.99**n) / (1 - 0.99) for n in (100, 10, 1)]
    assert float(weights[1] / weights[0]) == pytest.approx(effective[0] / effective[1])
    assert float(weights[2] / weights[1]) == pytest.approx(effective[1] / effective[2])
    assert float((weights * counts).sum() / counts.sum()) == pytest.approx(1)
    assert weights.isfinite().all()
    logits, labels = batch
    by_picture = functional.cross_entropy(logits, labels, reduction="none", label_smoothing=0.1)
    got = loss(batch, loss="effective_number", effective_beta=0.99, label_smoothing=0.1)
    assert got == pytest.approx(float((by_picture * weights[labels].float()).mean()), rel=1e-5)


def test_equally_many_pictures_of_each_class_need_no_correction(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    plain = loss(batch)
    assert loss(batch, (7,) * 4, loss="effective_number") == pytest.approx(plain, rel=1e-5)
    assert loss(batch, (7,) * 4, loss="logit_adjusted") == pytest.approx(plain, rel=1e-5)


def test_equally_many_pictures_are_smoothed_evenly_by_the_logit_adjusted_loss_too(
    batch: tuple[torch.Tensor, torch.Tensor],
) -> None:
    plain = loss(batch, label_smoothing=0.2)
    assert loss(batch, (7,) * 4, loss="logit_adjusted", label_smoothing=0.2) == pytest.approx(plain, rel=1e-5)


def test_focal_loss_is_that_of_the_paper(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    logits, labels = batch
    right = logits.softmax(1).gather(1, labels[:, None])
    expected = (-((1 - right) ** 2) * right.log()).mean()
    assert loss(batch, loss="focal", focal_gamma=2.0) == pytest.approx(float(expected), rel=1e-5)


def test_logit_adjustment_adds_the_log_of_the_prior(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    prior = log_prior(torch.tensor(COUNTS, dtype=torch.float64))
    assert prior.exp().tolist() == pytest.approx([100 / 112, 10 / 112, 1 / 112, 1 / 112])
    logits, labels = batch
    expected = functional.cross_entropy(logits + 0.5 * prior.float(), labels)
    assert loss(batch, loss="logit_adjusted", logit_tau=0.5) == pytest.approx(float(expected), rel=1e-5)


def test_logit_adjustment_without_smoothing_is_the_formula_of_the_paper_to_the_bit(
    batch: tuple[torch.Tensor, torch.Tensor],
) -> None:
    shift = log_prior(torch.tensor(COUNTS, dtype=torch.float64)).float()
    config = TrialConfig(backbone="resnet18", loss="logit_adjusted", label_smoothing=0.0)
    logits, labels = batch[0].clone().requires_grad_(), batch[1]
    got = build_loss(config, COUNTS, CPU)(logits, labels)
    expected = functional.cross_entropy(logits + shift, labels)
    assert torch.equal(got, expected)
    assert torch.equal(*(torch.autograd.grad(each, logits)[0] for each in (got, expected)))


@pytest.mark.parametrize("true", [0, 3, 16], ids=["a frequent class", "one between", "the rarest"])
def test_the_smoothed_adjusted_loss_is_lowest_where_all_classes_but_the_true_one_are_answered_alike(true: int) -> None:
    counts, smoothing = (1000, 1000, 1000, *(100,) * 13, 1), 0.1
    prior = log_prior(torch.tensor(counts, dtype=torch.float64)).exp()[true]
    logits = torch.zeros(1, 17)
    logits[0, true] = ((1 - smoothing) / (smoothing * prior)).log1p()
    assert logits.argmax() == true
    logits.requires_grad_()
    config = TrialConfig(backbone="resnet18", loss="logit_adjusted", logit_tau=1.0, label_smoothing=smoothing)
    build_loss(config, counts, CPU)(logits, torch.tensor([true])).backward()
    torch.testing.assert_close(logits.grad, torch.zeros(1, 17), atol=1e-6, rtol=0)
