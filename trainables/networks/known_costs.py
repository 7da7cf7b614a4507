"""What is known of backbones: computed from the networks themselves, never typed, and kept in a file.

What a network costs comes from `network_costs`; what real trials took is remembered beside it. Where the file has
the answers, torch and timm are not imported: a search starts sooner by that.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from filelock import FileLock

from trainables.atomic import replacing
from trainables.config import Precision, TaskConfig
from trainables.errors import UserError
from trainables.machine.hardware import hardware_in_words, precision_on, unusual_precision, visible_gpus
from trainables.parts.registry import backbone_identity

FACTS_VERSION = 2
"""Part of the cache's keys: raise it when what is computed here changes."""
LOCK_SECONDS = 10.0
"""How long another process may hold the facts, for what is written in milliseconds."""
FACTS_FILE = "facts.json"
_SHARED = ", trials on the GPU: "
"""Stands in a key before how many trials share a GPU, where they do."""
EVALUATION_SPEED = 3.5
"""Pictures evaluated in the time of one that is trained on, with its augmentation: 3.0 at 96 px, 3.3 to 5.3 at 64 px,
and 5.7 at 32 px, in five searches on two cores whose networks kept their first stages as they came."""
COPIES_OF_WEIGHTS = 4
"""The weights, their gradients and AdamW's two moments, all in float32."""


class FactsError(UserError):
    """A backbone cannot be run at an image size; names both."""


@dataclass(frozen=True)
class ModelFacts:
    """What a backbone with a classifier of two classes costs at an image size."""

    parameters: int
    multiply_adds: int
    """Of one picture, forward: convolutions, linear layers and attention."""
    activations: int
    """Elements that convolutions and linear layers put out for one picture (Radosavovic et al. 2020)."""
    kept_bytes: int
    """What a picture of a batch keeps for the backward pass in float32."""
    kept_bytes_bfloat16: int
    """The same where autocast computes in bfloat16 or float16."""

    def training_bytes(self, batch_size: int, precision: Precision = "float32") -> int:
        """Estimated peak of a training step with AdamW, without what a process needs before it has a network.

        Weights, gradients, moments and what is kept for the backward pass; autocast holds the weights in two bytes
        besides. What a kernel works with for a moment is not in it.
        """
        half = precision != "float32"
        kept = self.kept_bytes_bfloat16 if half else self.kept_bytes
        return self.parameters * (4 * COPIES_OF_WEIGHTS + 2 * half) + batch_size * kept


def model_facts(backbone: str, image_size: int, cache_dir: Path | None = None) -> ModelFacts:
    """The facts of a backbone at an image size, from `<cache_dir>/facts.json` if they are known.

    Raises:
        FactsError: The network cannot be built for, or run at, this size.
    """

    def compute() -> Mapping[str, int]:
        from trainables.networks.network_costs import compute_facts

        try:
            return compute_facts(backbone, image_size)
        except ValueError as error:
            raise FactsError(f"{backbone} cannot be run at {image_size} px: {error}") from error

    def fits(known: object) -> bool:
        return (
            isinstance(known, dict)
            and set(known) == set(ModelFacts.__annotations__)
            and all(type(number) is int for number in known.values())
        )

    return ModelFacts(
        **known_fact(
            cache_dir, f"{FACTS_VERSION} {backbone_identity(backbone)} {image_size} {library_versions()}", compute, fits
        )
    )


def backbone_parameters(backbone: str, *, drop_path: bool, cache_dir: Path) -> int:
    """Parameters of a backbone with a classifier of two classes, of one that timm knows and that may drop paths.

    Raises:
        UserError: timm does not know it; names the nearest. Or it is asked for drop path and has none.
    """

    def compute() -> int:
        from trainables.networks.model import num_parameters

        return num_parameters(backbone, drop_path=drop_path)

    key = f"parameters {backbone_identity(backbone)}{' drop path' if drop_path else ''} {library_versions()}"
    return known_fact(cache_dir, key, compute, lambda known: type(known) is int)


@dataclass(frozen=True)
class _Setting:
    """What decides how fast a network is trained, by itself or in a trial."""

    backbone: str
    image_size: int
    batch_size: int
    device: str
    """cpu, cuda or cuda:1."""
    num_threads: int
    """On a CPU; of no matter on a GPU."""
    precision: Precision = "auto"


@dataclass(frozen=True)
class StepSetting(_Setting):
    """What decides how fast bare training steps are on this machine."""

    frozen_stages: int = 0


def measure_throughput(setting: StepSetting, cache_dir: Path | None = None) -> float:
    """Images a second of forward, backward and update on random pictures that are on the device already."""

    def measure() -> Mapping[str, float]:
        from trainables.networks.network_costs import time_training

        return {"images_per_second": time_training(setting)}

    key = _step_key(setting)
    return known_fact(cache_dir, key, measure, lambda known: _speed(known) is not None)["images_per_second"]


def known_throughput(setting: StepSetting, cache_dir: Path) -> float | None:
    """What `measure_throughput` found before; None if it was not asked."""
    return _speed(_load(cache_dir / FACTS_FILE).get(_step_key(setting)))


def _speed(known: object) -> float | None:
    speed = known.get("images_per_second") if isinstance(known, dict) else None
    return float(speed) if isinstance(speed, int | float) and not isinstance(speed, bool) else None


@dataclass(frozen=True)
class TrialSetting(_Setting):
    """What decides how much memory a trial takes and how fast it is."""

    compiled: bool = False
    hardware: str = ""
    """The machine in the words of `hardware_in_words`; empty for this one."""
    sharers: int = 1
    """Trials at a time on its GPU, itself among them; of no matter on a CPU, where each has threads of its own."""

    @classmethod
    def of(cls, backbone: str, task: TaskConfig, hardware: str = "", sharers: int = 1) -> TrialSetting:
        """That of a trial of this task, on this machine or on that of a kind."""
        return cls(
            backbone=backbone,
            image_size=task.image_size,
            batch_size=task.batch_size,
            device=task.device,
            num_threads=task.num_threads,
            precision=task.precision,
            compiled=task.compile,
            hardware=hardware,
            sharers=sharers,
        )


@dataclass(frozen=True)
class TrialFacts:
    """What real trials took."""

    images_per_second: float
    """Training pictures a second of training time, of the latest."""
    memory_bytes: int | None = None
    """Largest peak of the GPU's memory beside the pictures that lie there; None on a CPU."""


def recall_trial(setting: TrialSetting, cache_dir: Path) -> TrialFacts | None:
    """What earlier trials like this took on this machine; None if there were none."""
    return _trial_facts(_load(cache_dir / FACTS_FILE).get(_trial_key(setting)))


def recall_memory(setting: TrialSetting, cache_dir: Path) -> int | None:
    """The largest peak of a GPU's memory that earlier trials like this took, however many shared it; else None."""
    key = _trial_key(replace(setting, sharers=1))
    known = _load(cache_dir / FACTS_FILE)
    found = [_trial_facts(fact) for name, fact in known.items() if name == key or name.startswith(f"{key}{_SHARED}")]
    return max((facts.memory_bytes for facts in found if facts is not None and facts.memory_bytes), default=None)


def remember_trial(setting: TrialSetting, cache_dir: Path, took: TrialFacts) -> None:
    """Notes what a trial took: its speed takes the place of what was known, its memory only if it is more."""

    def joined(known: object) -> Mapping[str, Any]:
        before = _trial_facts(known)
        peaks = [facts.memory_bytes for facts in (before, took) if facts is not None and facts.memory_bytes is not None]
        return asdict(TrialFacts(took.images_per_second, max(peaks, default=None)))

    _keep(cache_dir, _trial_key(setting), joined)


def _trial_facts(known: object) -> TrialFacts | None:
    if not isinstance(known, dict) or set(known) != set(TrialFacts.__annotations__):
        return None
    speed, memory = known["images_per_second"], known["memory_bytes"]
    fits = type(speed) in (int, float) and speed > 0 and (memory is None or type(memory) is int)
    return TrialFacts(float(speed), memory) if fits else None


def _step_key(setting: StepSetting) -> str:
    frozen = f"frozen {setting.frozen_stages} " if setting.frozen_stages else ""
    return f"{unusual_precision(setting.device, setting.precision)}{frozen}{_speed_key(setting)}"


def _speed_key(setting: _Setting, hardware: str = "") -> str:
    device, num_threads = setting.device, setting.num_threads
    where = f"{hardware_in_words()}, {num_threads}"
    if hardware:
        where = _kind(hardware, device, num_threads)
    elif device != "cpu":
        gpus, index = visible_gpus(), int(device.partition(":")[2] or 0)  # cuda, or cuda:1
        where = gpus[index] if index < len(gpus) else device
    named = backbone_identity(setting.backbone)
    return f"{FACTS_VERSION} {named} {setting.image_size} {setting.batch_size} {where} {library_versions()}"


def _trial_key(setting: TrialSetting) -> str:
    precision = precision_on(setting.device, setting.precision)
    compiled = " compiled" if setting.compiled else ""
    shared = f"{_SHARED}{setting.sharers}" if setting.sharers > 1 and setting.device != "cpu" else ""
    return f"trial{compiled} {precision} {_speed_key(setting, setting.hardware)}{shared}"


def _kind(hardware: str, device: str, num_threads: int) -> str:
    """What of another machine decides about speed, as this machine would say it of itself."""
    processor, _, gpus = hardware.rpartition(", ")
    if device == "cpu":
        return f"{processor}, no GPU, {num_threads}"
    return gpus.partition(" x ")[2] or device


@cache
def library_versions() -> str:
    """Those that facts of networks depend on, for their keys."""
    return f"timm {version('timm')} torch {version('torch')}"


def known_fact(cache_dir: Path | None, key: str, compute: Callable[[], Any], fits: Callable[[object], bool]) -> Any:
    """What the cache has under the key if that `fits`, else what is computed, and kept: a value of JSON."""
    if cache_dir is None:
        return compute()
    known = _load(cache_dir / FACTS_FILE).get(key)
    if fits(known):
        return known
    found = compute()
    _keep(cache_dir, key, lambda _: found)
    return found


def recall_fact(cache_dir: Path, key: str) -> object:
    """What the cache has under the key; None if nothing."""
    return _load(cache_dir / FACTS_FILE).get(key)


def keep_fact(cache_dir: Path, key: str, fact: Any) -> None:
    """Puts a value of JSON under a key."""
    _keep(cache_dir, key, lambda _: fact)


def _keep(cache_dir: Path, key: str, joined: Callable[[object], Any]) -> None:
    """Puts something under a key, made from what is there; two searches may do so at once.

    What cannot be written now, or not before `LOCK_SECONDS`, is found out anew by the next that asks for it.
    """
    path = cache_dir / FACTS_FILE
    with suppress(OSError):
        cache_dir.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock", timeout=LOCK_SECONDS):
            known = _load(path)
            with replacing(path) as temporary:
                temporary.write_text(json.dumps({**known, key: joined(known.get(key))}, indent=1, sort_keys=True))


def _load(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):  # none yet, or broken: built anew
        return {}
    return content if isinstance(content, dict) else {}
