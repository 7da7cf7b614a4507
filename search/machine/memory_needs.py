"""What the trials of a search need of the machine's memory, and which backbones cannot have it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from results.records.record import SearchRun
from search.machine.preflight import NodeFacts
from search.study import SettledStudy
from trainables.config import Precision
from trainables.data.cache import stored_size
from trainables.errors import UserError
from trainables.machine.hardware import CONTEXT_BYTES, precision_on
from trainables.networks.known_costs import FactsError, ModelFacts, TrialSetting, model_facts, recall_memory

CPU_PROCESS_BYTES = 750_000_000
"""What a worker holds beside its network: torch, timm and Ray (610 MB), pictures, what kernels work with. Libraries'
files (440 MB) are not in it, as all workers share them."""
CPU_FACTOR = 1.3
"""What comes to that, of the estimate of one step. With 1.2, the peaks of the first trials of nine networks at 40 to
160 px, batches of 32 and 64, whose step is 0.17 to 1.36 GB, were between 18% under the sum of both and 5% over; that
trials keep freed memory (`trainables.machine.allocator`) has added 4 and 9% since, of two networks."""
PACKING_FACTOR = 1.25
"""What a trial that shares a GPU is given, of what it needs: fragments of its allocator, kernels' workspaces; not
measured."""
GPU_PARTS = 4
"""A trial that runs out of GPU memory goes on in so many parts a batch (`trainables.classifier.MICRO_BATCHES`)."""
LEFT_OUT = ": left out of the search"
"""How the sentence ends about backbones that do not fit."""


@dataclass(frozen=True)
class BackboneFacts:
    """What is known of the backbones of a search, found out once."""

    known: Mapping[str, ModelFacts]
    """By timm name."""
    problems: Mapping[str, str]
    """Why one cannot be run at the size that is asked for."""


def facts_of(backbones: Iterable[str], study: SettledStudy) -> BackboneFacts:
    """The facts of backbones at the image size of a study."""
    known, problems = {}, {}
    for backbone in backbones:
        try:
            known[backbone] = model_facts(backbone, study.image_size, study.cache_path)
        except FactsError as error:
            problems[backbone] = str(error)
    return BackboneFacts(known, problems)


def leave_out_too_large(
    backbones: Sequence[str],
    facts: BackboneFacts,
    study: SettledStudy,
    device_memory_bytes: int | None,
    num_networks: int = 1,
) -> tuple[tuple[str, ...], str]:
    """Leaves out the backbones whose trials cannot fit.

    Args:
        backbones: timm names.
        facts: Of these.
        study: How to search.
        device_memory_bytes: Free memory that the trials of one device share; None where it is not known, then
            nothing is left out for it.
        num_networks: Networks of a trial: one, or one an attribute.

    Returns:
        The backbones that can be trained, and a sentence about the others; empty if there are none.

    Raises:
        UserError: None can be trained; names the ways out.
    """
    share = None if device_memory_bytes is None else device_memory_bytes // trials_on_a_device(study)
    gpu = bool(study.gpus_per_trial)
    batch_size = -(-study.batch_size // GPU_PARTS) if gpu else study.batch_size
    kept, reasons = [], []
    for backbone in backbones:
        if backbone in facts.problems:
            reasons.append(facts.problems[backbone])
            continue
        needed = trial_bytes(facts.known[backbone], batch_size, num_networks, gpu=gpu, precision=study.precision)
        if share is not None and needed > share:
            reasons.append(f"{backbone} needs about {needed / 1e9:.1f} GB, a trial can have {share / 1e9:.1f} GB")
        else:
            kept.append(backbone)
    said = "; ".join(reasons)
    if not kept:
        raise UserError(
            f"no backbone fits: {said}. Give a smaller --batch-size, --image-size or --concurrency, or "
            "other --backbones"
        )
    return tuple(kept), f"{said}{LEFT_OUT}" if reasons else ""


def trial_bytes(
    facts: ModelFacts, batch_size: int, num_networks: int = 1, *, gpu: bool, precision: Precision = "auto"
) -> int:
    """Estimated peak memory of a trial's process, on the GPU if it has one."""
    step = num_networks * facts.training_bytes(batch_size, precision_on("cuda" if gpu else "cpu", precision))
    return CONTEXT_BYTES + step if gpu else CPU_PROCESS_BYTES + round(CPU_FACTOR * step)


def trials_that_fit(
    study: SettledStudy,
    facts: BackboneFacts,
    num_pictures: int,
    num_networks: int,
    device_memory_bytes: int | None,
) -> int | None:
    """How many trials have room at the same time in one GPU, or in this machine where they have none.

    What earlier trials took decides, where there were none an estimate; the largest backbone that fits at all is what
    it is sized for. None where the memory cannot be told.

    Args:
        study: Settled but for this.
        facts: Of the backbones.
        num_pictures: Pictures of the data, which a GPU may hold for each trial.
        num_networks: Networks that a trial trains at once (`most_networks`).
        device_memory_bytes: Free memory of one device (`search.machine.free_memory.device_memory`).
    """
    if device_memory_bytes is None:
        return None
    gpu = bool(study.gpus_per_trial)
    needed = []
    for backbone, costs in facts.known.items():
        if not gpu:
            needed.append(trial_bytes(costs, study.batch_size, num_networks, gpu=False, precision=study.precision))
            continue
        setting = TrialSetting(
            backbone,
            study.image_size,
            study.batch_size,
            "cuda",
            study.cpus_per_trial,
            precision=study.precision,
            compiled=study.compile,
        )
        pictures = num_pictures * 3 * stored_size(study.image_size) ** 2
        network = recall_memory(setting, study.cache_path) or costs.training_bytes(
            study.batch_size, precision_on("cuda", study.precision)
        )
        needed.append(sharing_bytes(num_networks * network, pictures))
    return room_for(needed, device_memory_bytes)


@dataclass(frozen=True)
class Sizing:
    """What decides how many trials have room in some memory; `trials_that_fit` says the fields."""

    study: SettledStudy
    facts: BackboneFacts
    num_pictures: int
    num_networks: int

    def trials_in(self, device_memory_bytes: int | None) -> int | None:
        """How many have room in so much memory of this machine, or of one GPU."""
        return trials_that_fit(self.study, self.facts, self.num_pictures, self.num_networks, device_memory_bytes)

    def trials_on(self, node: NodeFacts) -> int | None:
        """How many have room in the memory of a node, at least one; None where they need that of its GPUs."""
        if self.study.gpus_per_trial or not self.facts.known:
            return None
        return max(1, self.trials_in(node.free_memory_bytes) or 1)


def sharing_bytes(network_bytes: int, picture_bytes: int) -> int:
    """GPU memory that a trial which shares it is given, from what its network takes and its pictures."""
    return CONTEXT_BYTES + round(PACKING_FACTOR * network_bytes) + picture_bytes


def room_for(needed_bytes: Sequence[int], free_bytes: int) -> int:
    """How many trials have room, whichever they are; what cannot be there even alone is not asked."""
    possible = [needed for needed in needed_bytes if needed <= free_bytes]
    return free_bytes // max(possible) if possible else 1


def long_first(points: Sequence[dict[str, Any]], facts: Mapping[str, ModelFacts]) -> list[dict[str, Any]]:
    """The default, then the other points by how much their backbones compute: none is left alone at the end."""
    return [*points[:1], *sorted(points[1:], key=lambda point: facts[point["backbone"]].multiply_adds, reverse=True)]


def most_networks(formulations: Collection[str], attributes: Collection[str]) -> int:
    """Networks that the largest trial trains at once: one an attribute where formulations may be separate."""
    return len(attributes) if "separate" in formulations else 1


def largest_trial(run: SearchRun, facts: Mapping[str, ModelFacts]) -> str:
    """The backbone of a run whose trials need the most memory, in words; empty where no facts can be had."""
    if not facts:
        return ""
    gpu = run.task.device.startswith("cuda")
    proposed = {run.options.get("formulation"), *(point.get("formulation") for point in run.points)}
    count = len(run.task.attributes) if proposed & {"separate", "search"} else 1
    task = run.task
    needed = {
        backbone: trial_bytes(found, task.batch_size, count, gpu=gpu, precision=task.precision)
        for backbone, found in facts.items()
    }
    largest = max(needed, key=needed.__getitem__)
    times = f"{count} x " if count > 1 else ""
    return (
        f"Largest trial: {times}{largest}, {times}{facts[largest].parameters / 1e6:.1f} M parameters, "
        f"about {needed[largest] / 1e9:.1f} GB of {'GPU ' if gpu else ''}memory"
    )


def trials_on_a_device(study: SettledStudy) -> int:
    """Trials at a time that share the memory of a GPU, or of this machine where they have none."""
    concurrency = study.concurrency
    if not study.gpus_per_trial:
        return concurrency
    return max(1, min(concurrency, int(1 / study.gpus_per_trial)))


def sharers_of_a_gpu(study: SettledStudy) -> int:
    """Trials at a time on one GPU; 1 on a CPU, where each has threads of its own."""
    return trials_on_a_device(study) if study.gpus_per_trial else 1
