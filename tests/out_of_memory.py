"""A device whose memory is scarce, on a machine without one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.modules.module import register_module_forward_pre_hook


@contextmanager
def room_for(pictures: int, *, learning: bool = True) -> Iterator[None]:
    """A device whose memory holds so many pictures while a network learns, or answers, and says so as torch does."""

    def take(module: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
        if module.training == learning and inputs and len(inputs[0]) > pictures:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    hook = register_module_forward_pre_hook(take)
    try:
        yield
    finally:
        hook.remove()
