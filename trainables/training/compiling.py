"""torch.compile for the training step, where a study asks for it, and what compiling costs.

Only the step is compiled, which has one shape of batch; evaluation, a tenth of the time, stays as it is, and so does
a trial that goes on in parts of a batch for want of memory. Kernels that were made before are found on disk by the
trials after it (torch's own cache), but for those that hold a knob, such as the probability of dropout.
"""

from __future__ import annotations

import os
import shutil
import sysconfig
import time
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import nn

from trainables.errors import UserError
from trainables.reason import reason_of


def refuse_without_compiler(device_type: str) -> None:
    """Checks that there is what torch.compile makes kernels with.

    Args:
        device_type: cpu or cuda.

    Raises:
        UserError: There is not; names it and the way out.
    """
    if device_type == "cuda":
        if find_spec("triton") is None:
            raise UserError("--compile needs triton on a GPU: pip install triton, or leave --compile out")
        if not (os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")):
            raise UserError("--compile needs a C compiler for triton: install gcc or clang, or leave --compile out")
        header = Path(sysconfig.get_paths()["include"], "Python.h")
        if not header.is_file():
            raise UserError(
                f"--compile needs Python's headers for triton, and there is no {header}: install python3-dev, or leave "
                "--compile out"
            )
        return
    from torch._inductor.cpp_builder import get_cpp_compiler

    try:
        get_cpp_compiler()
    except RuntimeError as error:
        reason = reason_of(error)
        raise UserError(f"--compile needs a C++ compiler ({reason}): install g++, or leave --compile out") from error


def compiled(model: nn.Module, num_threads: int) -> Any:
    """The network, compiled at its first step for the shape that it then sees; what earlier trials compiled is dropped.

    Parameters and buffers stay those of `model`.

    Args:
        model: On its device.
        num_threads: Compilers at the same time: as many as the trial has cores.
    """
    from torch._inductor import config

    config.compile_threads = num_threads
    torch.compiler.reset()  # else trials of one process share torch's limit of recompilations
    return torch.compile(model, dynamic=False)


class CompileWatch:
    """A context that adds up the seconds in which torch compiles.

    It does so at the first step, and again where a network is frozen or thawed.
    """

    def __init__(self, *, on: bool) -> None:
        """Watches nothing where nothing is compiled: torch's compiler then is not even imported."""
        self.seconds = 0.0
        self._on = on

    def __enter__(self) -> CompileWatch:
        if self._on:
            from torch._dynamo.callback import callback_handler

            self._handler = callback_handler
            self._handler.register_start_callback(self._start)
            self._handler.register_end_callback(self._end)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._on:
            self._handler.remove_start_callback(self._start)
            self._handler.remove_end_callback(self._end)

    def _start(self, _: Any) -> None:
        self._started = time.perf_counter()

    def _end(self, _: Any) -> None:
        self.seconds += time.perf_counter() - self._started
