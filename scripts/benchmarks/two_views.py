"""What a network answers in the middle of its training, as the model that a search makes of it would."""

from __future__ import annotations

import numpy as np
import torch

from trainables.data.batches import Side
from trainables.networks.model import Normalizer, autocast, views
from trainables.second_view import learned_view
from trainables.training.state import TrainState


@torch.inference_mode()
def two_view_answers(state: TrainState, side: Side) -> np.ndarray:
    """Probabilities `(N, C) float32` of the pictures of a side: the mean of the middle's and the second view's.

    The network is left in evaluation mode; `to_training` makes it fit to go on.
    """
    answers, network, normalize = [], state.scored_model.eval(), Normalizer(state.model, state.device)
    for stored, _ in side.batches(state.task.batch_size):
        shown = views(stored.float().div_(255), state.task.image_size, learned_view([state.config]))
        with autocast(state.device, state.task.precision):
            parts = [network(normalize(view)).float().softmax(1) for view in shown]
        answers.append(torch.stack(parts).mean(0).cpu())
    return torch.cat(answers).numpy()
