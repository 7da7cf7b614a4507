"""What the nodes of a cluster are like, asked of each by a task before any trial runs on it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainables.machine.node import say_of_itself, versions
from trainables.reason import reason_of

ANSWER_SECONDS = 40.0
"""How long all nodes together may take to answer: each starts a process for it, which takes some seconds."""
STRAGGLER_SECONDS = 8.0
"""How long a node may take after the first that has answered."""


@dataclass(frozen=True, kw_only=True)
class NodeFacts:
    """One node of the cluster, as it has answered."""

    node_id: str
    """Ray's name of it."""
    name: str
    """Its host name and address, for people."""
    num_cpus: int
    """Cores that Ray hands out on it."""
    num_gpus: int
    """GPUs that Ray hands out on it."""
    sees_storage: bool = False
    """Whether the folder of the runs is the driver's there."""
    sees_cache: bool = False
    """Whether the folder of the decoded pictures is the driver's there."""
    lacks_weights: tuple[str, ...] = ()
    """The first of the files of weights that are not there, or not the same."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Of Python, Ray, torch and timm."""
    hardware: str = ""
    """Processor and GPUs in words."""
    free_memory_bytes: int = 0
    """What its processes may still take."""
    free_disk_bytes: int = 0
    """On the disk of its cache folder."""
    fault: str = ""
    """Why it did not answer; empty if it has."""

    @property
    def sees_weights(self) -> bool:
        """Whether every file of weights that was asked for is there."""
        return not self.lacks_weights

    @property
    def other_versions(self) -> str:
        """What is installed there in another version than here, in words; empty if nothing is."""
        here = versions()
        return ", ".join(
            f"{name} {found} (here {here[name]})" for name, found in self.versions.items() if found != here.get(name)
        )


def look_at_nodes(
    storage: Path,
    cache: Path,
    weights: Collection[str | Path] = (),
    *,
    only: Collection[str] | None = None,
    seconds: float = ANSWER_SECONDS,
) -> tuple[NodeFacts, ...]:
    """Asks every node that has cores at the same time; Ray is connected to the cluster.

    Args:
        storage: Folder of the runs; made if it is not there.
        cache: Folder of the decoded pictures; made if it is not there.
        weights: Files that trials start from.
        only: Ray's names of the nodes to ask; None for all.
        seconds: How long to wait for all of them; who has not answered by then has a `fault`.

    Returns:
        One a node, in the order of Ray's list.

    Raises:
        OSError: A folder cannot be written.
    """
    import ray

    with marked(storage=storage, cache=cache) as marks:
        wanted = [node for node in alive_nodes() if only is None or node["NodeID"] in only]
        asked = {ask(node, marks, weights, cache): node for node in wanted}
        began, answers = time.monotonic(), {}
        waiting, ends = list(asked), began + seconds
        while waiting and (left := ends - time.monotonic()) > 0:
            ready, waiting = ray.wait(waiting, num_returns=1, timeout=left)
            answers.update({reference: facts_from(asked[reference], reference) for reference in ready})
            if any(not facts.fault for facts in answers.values()):
                ends = min(ends, time.monotonic() + STRAGGLER_SECONDS)
        for reference in waiting:
            with suppress(Exception):
                ray.cancel(reference, force=True)
            waited = f"it has not answered within {time.monotonic() - began:.0f} s"
            answers[reference] = without_answer(asked[reference], waited)
        return tuple(answers[reference] for reference in asked)


def alive_nodes() -> Sequence[Mapping[str, Any]]:
    """Ray's entries of the nodes that are up and hand out cores: a head without any runs no trial."""
    import ray

    return [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) >= 1]


def ask(
    node: Mapping[str, Any], marks: Mapping[str, Mapping[str, str]], weights: Collection[str | Path], cache: Path
) -> Any:
    """Starts the task that looks around on a node; it needs no core, so that a busy node answers, too.

    Returns:
        Ray's reference of the answer, for `facts_from`.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    sizes = {str(file): Path(file).stat().st_size for file in weights}
    there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    task: Any = ray.remote(say_of_itself)
    named = task.options(num_cpus=0, max_retries=0, scheduling_strategy=there, name=f"look at {node_name(node)}")
    return named.remote(marks, sizes, str(cache))


def facts_from(node: Mapping[str, Any], reference: Any) -> NodeFacts:
    """What a node has answered, once its answer is there; a node that died meanwhile has a `fault`."""
    import ray

    try:
        said = ray.get(reference, timeout=1)
    except Exception as error:  # Ray's, of a node that died or a process that could not start
        return without_answer(node, reason_of(error))
    return NodeFacts(
        **{**_known(node), "name": f"{said['host']} ({node['NodeManagerAddress']})"},
        sees_storage=said["sees"]["storage"],
        sees_cache=said["sees"]["cache"],
        lacks_weights=tuple(said["lacks"]),
        versions=said["versions"],
        hardware=said["hardware"],
        free_memory_bytes=said["free_memory_bytes"],
        free_disk_bytes=said["free_disk_bytes"],
    )


def without_answer(node: Mapping[str, Any], fault: str) -> NodeFacts:
    """What is known of a node that does not answer."""
    return NodeFacts(**_known(node), fault=fault)


def node_name(node: Mapping[str, Any]) -> str:
    """A node of Ray's list as people know it: host name and address."""
    return f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"


@contextmanager
def marked(**folders: Path) -> Iterator[Mapping[str, Mapping[str, str]]]:
    """Puts a file with words of its own into each folder, and takes it away at the end.

    Whoever reads the words there sees the same disk: a folder of that name may be on any machine.

    Raises:
        OSError: A folder cannot be written.
    """
    words = uuid.uuid4().hex
    files = {name: folder / f".seen-{words[:12]}" for name, folder in folders.items()}
    try:
        for file in files.values():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(words)
        yield {name: {str(file): words} for name, file in files.items()}
    finally:
        for file in files.values():
            with suppress(OSError):
                file.unlink(missing_ok=True)


def _known(node: Mapping[str, Any]) -> dict[str, Any]:
    resources = node["Resources"]
    return {
        "node_id": node["NodeID"],
        "name": node_name(node),
        "num_cpus": int(resources.get("CPU", 0)),
        "num_gpus": int(resources.get("GPU", 0)),
    }
