"""Sub-spaces that the families share; the suggested name is the field of `TrialConfig`.

Augmentations have a step so that 0, which is off, is a value of its own and not a set of measure zero. A parameter
that matters only under another is suggested only there. Families give numeric ranges of their own; one name has the
same choices everywhere, as an Optuna study keeps one set of choices for a name (the space `all` puts families into
one study).

Every family searches loss, sampling and augmentation: which of them pay depends on the pictures, and macro-F1 over
classes of unequal size is what they are for. What depends on the network (optimizer, rates, drop path, layer decay,
frozen epochs, averaging) a family searches where the sources of its networks used it, and leaves at its default
elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optuna

from trainables.config import LOSSES, OPTIMIZERS, POLICIES, SAMPLINGS

DEFAULT_SAMPLING = "sqrt"
"""Of each family's default configuration: pictures of small classes come more often, by which macro-F1 rises faster and
ends no lower; measured with tf_efficientnet_lite0 from ImageNet weights, and from random ones with it and a
ResNet-18 (docs/recipe.md)."""

Range = tuple[float, float]

WEIGHT_DECAYS: dict[str, Range] = {
    "adamw": (1e-4, 0.3),
    "nadamw": (1e-4, 0.3),
    "lamb": (1e-3, 0.1),
    "sgd": (1e-6, 1e-3),
}
"""By optimizer; `suggest_any_optimizer` says why."""


def suggest_optimizer(trial: optuna.Trial, lr: Range = (1e-4, 3e-3)) -> dict[str, Any]:
    """AdamW's knobs for fine-tuning.

    lr: 1e-4 to 3e-3 holds the fine-tuning rates of timm's and torchvision's AdamW recipes at batches of 32 to
    128 (Wightman et al. 2021 train from scratch at 5e-3 with LAMB; fine-tuning wants less). weight_decay: around
    the .01 to .05 of AdamW (Loshchilov & Hutter 2019; Liu et al. 2022). warmup_share: none to the first two epochs
    (500 steps at most), the lower end of the 0 to 5 epochs that those recipes use.
    """
    return {
        "lr": trial.suggest_float("lr", *lr, log=True),
        "weight_decay": trial.suggest_float("weight_decay", *WEIGHT_DECAYS["adamw"], log=True),
        "warmup_share": trial.suggest_float("warmup_share", 0.0, 0.2, step=0.05),
    }


def suggest_any_optimizer(trial: optuna.Trial, lr: Mapping[str, Range]) -> dict[str, Any]:
    """Which optimizer, and its knobs: rate and decay mean something else to each, so each has ranges of its own.

    optimizer: for the networks that were trained with several of them. SGD: ResNet, DenseNet, and ViT's own
    fine-tuning (He et al. 2016, Huang et al. 2017, Dosovitskiy et al. 2021). LAMB: ResNet strikes back and DeiT III
    (Wightman et al. 2021, Touvron et al. 2022). NAdamW: among those that set the targets of AlgoPerf, whose workloads
    hold a ResNet and a ViT (Dahl et al. 2023). AdamW: DeiT (Touvron et al. 2021) and everyday fine-tuning.
    weight_decay: by optimizer. AdamW: around its .01 to .05 (Loshchilov & Hutter 2019; Liu et al. 2022), as is NAdamW.
    LAMB: around the .01 to .03 of Wightman et al. (2021). SGD: up to ten times the 1e-4 that fine-tuning of ResNets
    commonly takes, and down to next to none, which suits target data like ImageNet (Li et al. 2020). warmup_share:
    none to the first two epochs, the lower end of the 0 to 5 epochs that common recipes use.

    Args:
        trial: Proposes the values.
        lr: Range of the learning rate by optimizer, for all of them.
    """
    optimizer = trial.suggest_categorical("optimizer", OPTIMIZERS)
    return {
        "optimizer": optimizer,
        "lr": trial.suggest_float("lr", *lr[optimizer], log=True),
        "weight_decay": trial.suggest_float("weight_decay", *WEIGHT_DECAYS[optimizer], log=True),
        "warmup_share": trial.suggest_float("warmup_share", 0.0, 0.2, step=0.05),
    }


def suggest_dropout(trial: optuna.Trial) -> dict[str, Any]:
    """Dropout before the classifier.

    dropout: 0 to 0.7; EfficientNet uses .2 (b0) to .5 (b7) (Tan & Le 2019), and .7 did well on small face data.
    """
    return {"dropout": trial.suggest_float("dropout", 0.0, 0.7, step=0.1)}


def suggest_drop_path(trial: optuna.Trial, most: float = 0.3) -> dict[str, Any]:
    """Stochastic depth, of networks whose blocks can be skipped.

    drop_path: Huang et al. (2016) lose half of the deepest blocks of a ResNet from scratch; EfficientNet takes .2
    (Tan & Le 2019), the smallest DeiT and ConvNeXt .1 (Touvron et al. 2021; Liu et al. 2022), ResNet strikes back 0
    to .05 (Wightman et al. 2021). Fine-tuning is shorter than any of these, so `most` is two or three times the
    family's own.
    """
    return {"drop_path": trial.suggest_float("drop_path", 0.0, most, step=0.05)}


def suggest_layer_decay(trial: optuna.Trial, least: float) -> dict[str, Any]:
    """A lower learning rate for each block nearer to the pixels.

    layer_decay: .65 to .75 in BEiT and MAE (Bao et al. 2022; He et al. 2022), .7 to .9 in ConvNeXt's fine-tuning
    (Liu et al. 2022; Woo et al. 2023); 1, which is off, is in every range.
    """
    return {"layer_decay": trial.suggest_float("layer_decay", least, 1.0, step=0.05)}


def suggest_frozen(trial: optuna.Trial) -> dict[str, Any]:
    """Epochs in which only the classifier learns, so that its random start does not distort the features.

    frozen_share: Kumar et al. (2022) train the classifier to its end first and then fine-tune, on ResNet-50 and ViT;
    a short schedule has no more than .3 to spare.
    """
    return {"frozen_share": trial.suggest_float("frozen_share", 0.0, 0.3, step=0.1)}


def suggest_frozen_stages(trial: optuna.Trial) -> dict[str, Any]:
    """First stages of a pretrained network that stay as they are.

    frozen_stages: the first stages find edges and textures, which serve other pictures as well (Yosinski et al. 2014).
    All of EfficientNet's down to an eighth of the side, 4, are a third of a step and gained nothing by being
    trained (docs/recipe.md); 0 to 5 leaves the last two or three groups of blocks to be trained.
    """
    return {"frozen_stages": trial.suggest_int("frozen_stages", 0, 5)}


def suggest_ema(trial: optuna.Trial) -> dict[str, Any]:
    """Averaged weights.

    ema: over about the last third of the steps so far (Shamir & Zhang 2013), but over no more than 100, 500 or 2,000.
    EfficientNet and ConvNeXt average at .9999 over hundreds of thousands of steps (Tan & Le 2019; Liu et al. 2022);
    fine-tuning has hundreds to thousands, of which this is the same share. Longer averages were better from twelve
    epochs on (docs/recipe.md); never off, as the learning rate is constant.
    """
    return {"ema": trial.suggest_categorical("ema", (0.99, 0.998, 0.9995))}


def suggest_loss(trial: optuna.Trial) -> dict[str, Any]:
    """Loss and sampling, both answers to classes of unequal size.

    loss: cross-entropy, weighted by the effective number of pictures, focal, or logit-adjusted (papers below).
    effective_beta: the four of Cui et al. (2019). focal_gamma: .5 to 5, the values Lin et al. (2017) tried, who found 2
    best. logit_tau: 1 is consistent for the balanced error, other strengths are for tuning (Menon et al. 2021).
    sampling: by picture, class, or root (Kang et al. 2020; Mahajan et al. 2018); left natural where the loss already
    corrects for the sizes of classes, as both would correct twice. label_smoothing: 0 to 0.2 around the usual .1
    (Szegedy et al. 2016), towards the shifted prior with the logit-adjusted loss; none with focal loss, which is
    defined on the true class alone.
    """
    loss = trial.suggest_categorical("loss", LOSSES)
    knobs: dict[str, Any] = {"loss": loss}
    if loss == "effective_number":
        knobs["effective_beta"] = trial.suggest_categorical("effective_beta", (0.9, 0.99, 0.999, 0.9999))
    elif loss == "focal":
        knobs["focal_gamma"] = trial.suggest_float("focal_gamma", 0.5, 5.0, step=0.5)
    elif loss == "logit_adjusted":
        knobs["logit_tau"] = trial.suggest_float("logit_tau", 0.25, 2.0, step=0.25)
    if loss in ("cross_entropy", "focal"):
        knobs["sampling"] = trial.suggest_categorical("sampling", SAMPLINGS)
    if loss != "focal":
        knobs["label_smoothing"] = trial.suggest_float("label_smoothing", 0.0, 0.2, step=0.05)
    return knobs


def suggest_augmentation(trial: optuna.Trial) -> dict[str, Any]:
    """What is done to training pictures one by one.

    flip: off or even odds. crop: up to .5 of the area, half of what training from scratch removes (Szegedy et al.
    2015), as pretrained networks want less. blur: sigma to 2 px at 224 (SimCLR's range, Chen et al. 2020). noise:
    deviation to .1 (Rusak et al. 2020 find .1 to .5 strong). affine: to the 30 degrees of AutoAugment (Cubuk et al.
    2019). erasing: off, the .25 of DeiT (Touvron et al. 2021) or the .5 of its authors (Zhong et al. 2020). policy:
    none, TrivialAugment, which has no knob (Müller & Hutter 2021), or RandAugment (Cubuk et al. 2020).
    policy_magnitude: 5 to 15; 9 for a ResNet-50, more for larger networks (Cubuk et al. 2020), timm's recipes 6 to 15.
    sharpness, contrast and brightness: to the middle of AutoAugment's range (Cubuk et al. 2019); a policy has all
    three.

    What came last has the coarsest steps: a third of the draws leaves each off, so that a random proposal does not
    carry everything at once.
    """
    knobs = {
        "flip": trial.suggest_categorical("flip", (0.0, 0.5)),
        "crop": trial.suggest_float("crop", 0.0, 0.5, step=0.1),
        "blur": trial.suggest_float("blur", 0.0, 2.0, step=0.5),
        "noise": trial.suggest_float("noise", 0.0, 0.1, step=0.02),
        "affine": trial.suggest_float("affine", 0.0, 1.0, step=0.5),
        "erasing": trial.suggest_float("erasing", 0.0, 0.5, step=0.25),
        "policy": trial.suggest_categorical("policy", POLICIES),
    }
    if knobs["policy"] == "none":
        knobs["sharpness"] = trial.suggest_float("sharpness", 0.0, 1.0, step=0.25)
        knobs["contrast"] = trial.suggest_float("contrast", 0.0, 0.4, step=0.1)
        knobs["brightness"] = trial.suggest_float("brightness", 0.0, 0.4, step=0.2)
    elif knobs["policy"] == "rand":
        knobs["policy_magnitude"] = trial.suggest_float("policy_magnitude", 5.0, 15.0, step=1.0)
    return knobs


def suggest_mixing(trial: optuna.Trial) -> dict[str, Any]:
    """What is done to pairs of training pictures.

    cutmix: probability to 1, the authors' choice (Yun et al. 2019). mixup: likewise (Zhang et al. 2018).
    """
    return {
        "cutmix": trial.suggest_float("cutmix", 0.0, 1.0, step=0.25),
        "mixup": trial.suggest_float("mixup", 0.0, 1.0, step=0.5),
    }
