"""Tests of settings, scores and reasons in words."""

from __future__ import annotations

import pytest

from results.pages.cells import hyper_parameters, interval, missed_weights, three
from tests.records import a_task
from trainables.config import TrialConfig


@pytest.mark.parametrize(
    ("note", "said"),
    [
        ("", ""),
        (
            "no pretrained weights here (huggingface.co is out of reach: [Errno -2] Name or service not known) for "
            "net1, net2: left out of the search",
            "No pretrained weights for net1, net2: this machine reached no model hub. The search left them out.",
        ),
        (
            "no pretrained weights here (HF_HUB_OFFLINE is set) for net1: ALL TRIALS START AT RANDOM",
            "No pretrained weights for net1: this machine was told to stay offline. All trials started from random "
            "weights.",
        ),
        (
            "no pretrained weights in weights for net1: left out of the search; net2 needs about 9.1 GB, a trial can "
            "have 4.0 GB: left out of the search",
            "No pretrained weights for net1: weights holds none. The search left them out; net2 needs about 9.1 GB, a "
            "trial can have 4.0 GB: left out of the search.",
        ),
        (
            "no pretrained weights here for net1: left out of the search",
            "No pretrained weights for net1: none were found. The search left them out.",
        ),
        ("[Errno 28] No space left", "No space left."),
    ],
)
def test_weights_that_were_missing_are_said_in_plain_words(note: str, said: str) -> None:
    assert missed_weights(note) == said


def test_scores_have_three_digits_and_no_zero_before_the_point() -> None:
    assert [three(value) for value in (0.3965, -0.138, 1.3398, None)] == [".397", "-.138", "1.340", "–"]
    assert interval({"value": 0.5, "low": None, "high": 0.75}) == ".500 [?, .750]"


def test_what_is_on_is_said_in_the_words_of_the_field() -> None:
    knobs = {"ema": 0.998, "drop_path": 0.1, "layer_decay": 0.75, "loss": "effective_number", "effective_beta": 0.9999}
    config = TrialConfig(backbone="resnet18", sampling="sqrt", formulation="heads", **knobs)
    assert (
        "drop path .1, layer decay .75, EMA .998, effective number .9999, sqrt sampling, heads, batch 64"
        in hyper_parameters(config, a_task())
    )
