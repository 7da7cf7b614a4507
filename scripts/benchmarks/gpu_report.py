"""What `gpu_check.py` measured, as a page and a figure: pure functions of the numbers that it keeps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from results.pages.markdown import render_markdown_table
from trainables.machine.hardware import gpu_precision

FAMILY_COLUMNS = (
    "network",
    "images/s of an epoch",
    "of the arithmetic alone",
    "float32",
    "channels first",
    "GPU busy",
    "memory",
)


def render(found: Mapping[str, Any], figure: str) -> str:
    """The page.

    Args:
        found: The numbers, by part; a part that failed has its reason under `failed`.
        figure: File name of the picture beside the page.
    """
    config = found["config"]
    tests = found["tests"]
    lines = [
        "# One GPU, measured",
        "",
        f"{found['machine']}; torch {found['torch']}, CUDA {found['cuda']}; {found['when']}, "
        f"{found['minutes']:.1f} minutes in all. {found['num_pictures']:,} drawn pictures at "
        f"{config['image_size']} px in batches of {config['batch_size']}; n = 1, each measurement at "
        f"least {config['seconds']:g} s after a warm-up. "
        "The command: `make gpu-check`.",
        "",
        f"![Images a second by family, and of several trials on one GPU]({figure})",
        "",
        "## The CUDA tests",
        "They were left out." if tests is None else f"`{tests['said'].strip('= ')}`",
        "",
        "## The commands",
        _line("A search of two trials at a time on the GPU", found["commands"], _commands) + ".",
        "",
        "## An epoch of each family",
        f"Training with the default augmentation in {gpu_precision()} and channels last, as a trial does it; then the "
        "same in float32, and with channels first. The arithmetic alone is forward, backward and update on pictures "
        "that are there already.",
        "",
        render_markdown_table(FAMILY_COLUMNS, [_family_row(*pair) for pair in found["families"].items()]),
        "",
        "## Several trials on one GPU",
        *_at_once(found["at_once"]),
        "",
        "## Other ways",
        *(f"* {line}" for line in _others(found)),
        "",
    ]
    return "\n".join(lines)


def _family_row(name: str, numbers: Mapping[str, Any]) -> tuple[str, ...]:
    if "failed" in numbers:
        return (name, f"failed: {numbers['failed']}", *[""] * (len(FAMILY_COLUMNS) - 2))
    busy = numbers["utilization"]
    return (
        name,
        f"{numbers['epoch']:,.0f}",
        f"{numbers['epoch'] / numbers['floor']:.2f}",
        f"{numbers['float32'] / numbers['epoch']:.2f} x",
        f"{numbers['contiguous'] / numbers['epoch']:.2f} x",
        "not told" if busy is None else f"{busy:.0%}",
        f"{numbers['memory_bytes'] / 1e9:.1f} GB",
    )


def _at_once(at_once: Mapping[str, Any]) -> list[str]:
    alone = at_once.get("1", {}).get("images_per_second")
    rows = []
    for trials, numbers in at_once.items():
        if "failed" in numbers:
            rows.append((trials, f"failed: {numbers['failed']}", ""))
        else:
            speed = numbers["images_per_second"]
            rows.append((trials, f"{speed:,.0f}", f"{speed / alone:.2f}" if alone else ""))
    return [render_markdown_table(("trials", "images/s of all", "times one trial"), rows)]


def _others(found: Mapping[str, Any]) -> list[str]:
    return [
        _line(
            "torch.compile",
            found["compile"],
            lambda n: f"{n['epoch']:,.0f} images/s, after a first epoch of {n['first_seconds']:.0f} s",
        ),
        _line(
            "Pictures",
            found["pictures"],
            lambda n: (
                f"{n['resident']:,.0f} images/s where they lie on the GPU, {n['fetched']:,.0f} where each batch is "
                "fetched, one ahead"
            ),
        ),
        _line("Out of memory", found["memory"], _memory),
    ]


def _commands(n: Mapping[str, Any]) -> str:
    took = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in n["seconds"].items())
    return (
        f"{took}. {n['trials']} trials came to their end. {n['repeated']} epochs were trained again after the kill, "
        f"{n['others']} of them with other numbers"
    )


def _memory(n: Mapping[str, Any]) -> str:
    whole, limit, parts = (n[name] / 1e9 for name in ("whole_bytes", "limit_bytes", "parts_bytes"))
    ran_out = "ran out" if n["ran_out"] else "did not run out, against what was expected,"
    return (
        f"a batch that needs {whole:.1f} GB {ran_out} with {limit:.1f} GB allowed, and was trained in {n['in_parts']} "
        f"parts with {parts:.1f} GB"
    )


def _line(name: str, numbers: Mapping[str, Any], words: Any) -> str:
    return f"{name}: " + (f"failed: {numbers['failed']}" if "failed" in numbers else words(numbers))


def draw(found: Mapping[str, Any], path: Path) -> None:
    """Bars of epoch and floor by family, and of trials that share the GPU."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(2, 1))
    families = {name: numbers for name, numbers in found["families"].items() if "failed" not in numbers}
    places = range(len(families))
    left.barh([place + 0.2 for place in places], [n["floor"] for n in families.values()], 0.4, label="arithmetic alone")
    left.barh([place - 0.2 for place in places], [n["epoch"] for n in families.values()], 0.4, label="an epoch")
    left.set_yticks(list(places), list(families))
    left.set_xlabel("training images a second")
    left.legend()
    shared = {trials: n["images_per_second"] for trials, n in found["at_once"].items() if "failed" not in n}
    right.bar(list(shared), list(shared.values()), 0.6)
    right.set_xlabel("trials on the GPU at a time")
    right.set_ylabel("training images a second, all together")
    figure.savefig(path, dpi=110)
