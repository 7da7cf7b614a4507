"""Shows the search spaces: their backbones with what they cost, their knobs with ranges and sources.

    python scripts/spaces.py                    # all spaces
    python scripts/spaces.py efficientnet       # its backbones and knobs; up to a second a backbone, then cached
    python scripts/spaces.py --readme README.md # writes the table of spaces into the README; --check says if stale

Nothing in the tables is typed by hand: facts come from the networks, ranges from running the space, sources from
the docstrings of the `suggest_*` functions, where an entry is `name: text` up to the next one or to an empty line.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

ROOT = Path(__file__).resolve().parents[1]
if not __package__:  # run by path: put the repository root where Python put this file's folder
    sys.path[0] = str(ROOT)

import tyro
from rich.console import Console
from rich.table import Table

from results.pages.markdown import render_markdown_table
from scripts.terminal import progress, run_command
from trainables.called import as_called
from trainables.machine.hardware import precision_on

if TYPE_CHECKING:
    import torch

Rows = list[list[str]]
"""A table: the first row is its head."""
SECTION = "spaces"


@dataclass(frozen=True, kw_only=True)
class Options:
    """Show the search spaces: backbones, knobs, ranges, sources."""

    name: Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(help_behavior_hint="(default: all spaces)")] = None
    """Space to show in full; or path/to/file.py:function, one of your own."""
    image_size: int = 224
    """Side of the square picture, in pixels."""
    batch_size: int = 64
    """Pictures in a training batch."""
    throughput: bool = False
    """Measure images/s of training each backbone here; a few seconds a backbone."""
    num_threads: int = 1
    """Threads of the CPU's arithmetic while measuring."""
    device: str = "auto"
    """auto, cpu, cuda or another torch device."""
    cache_dir: Annotated[Path | None, tyro.conf.arg(help_behavior_hint="(default: ~/.cache/macrotune)")] = None
    """Folder where the facts are kept."""
    readme: Annotated[Path | None, tyro.conf.arg(help_behavior_hint="(default: print)")] = None
    """Markdown file to write the table of spaces into, between its markers."""
    check: bool = False
    """Change nothing; exit 1 if the table in the README is stale."""


def main(args: Sequence[str] | None = None) -> int:
    """Parses the command line and shows; a user's mistake is one message and exit code 2."""
    return run_command(Options, show_what, args, prog="scripts/spaces.py")


def show_what(options: Options) -> int:
    """Shows one space or all, or writes the table of all into a README."""
    if options.readme is not None or options.check:
        return write_readme(options.readme or Path("README.md"), check=options.check)
    console = Console()
    if options.name is None:
        show(console, overview())
        return 0
    return show_space(options, console)


def overview() -> Rows:
    """One row a space."""
    from scripts.knobs import searched_knobs
    from spaces import SPACES

    rows = [["space", "backbones", "parameters", "knobs", "what it is"]]
    for name, module in SPACES.items():
        what = (module.__doc__ or "").strip().split("\n\n")[0]
        rows.append([name, _families(module.BACKBONES), _sizes(module.BACKBONES), str(len(searched_knobs(name))), what])
    return rows


def show_space(options: Options, console: Console) -> int:
    """The backbones of a space, then its knobs."""
    from spaces import get_space
    from trainables.data.cache import default_cache_dir
    from trainables.networks.model import num_parameters, usable_device
    from trainables.parts.loading import use

    space = get_space(options.name or "")
    use(space.parts)
    for backbone in space.backbones:
        num_parameters(backbone)  # refuses one that timm does not know
    device = usable_device(options.device)
    cache_dir = (options.cache_dir or default_cache_dir()).expanduser()
    rows = backbone_rows(space.backbones, options, device, cache_dir)
    say(console, f"{space.name}: {_families(space.backbones)}, at {options.image_size} px\n")
    show(console, rows)
    precision = precision_on(device.type)
    say(console, f"\nMemory: estimated peak of training with AdamW, batches of {options.batch_size}, {precision}.")
    if options.throughput:
        say(console, f"Speed: training on {where(device, options.num_threads)}, batches of {options.batch_size}.")
    say(console, f"\n{space.name}: knobs\n")
    show(console, knob_rows(options.name or ""))
    return 0


def backbone_rows(backbones: Sequence[str], options: Options, device: torch.device, cache_dir: Path) -> Rows:
    """One row a backbone; one that cannot be run at the size says so."""
    import timm

    from trainables.networks.known_costs import FactsError, StepSetting, measure_throughput, model_facts

    speed = ["images/s"] if options.throughput else []
    rows = [["backbone", "parameters", "multiply-adds", "activations", "memory", *speed, "weights", "licence"]]
    with progress() as tell:
        for number, backbone in enumerate(backbones, start=1):
            settings = timm.get_pretrained_cfg(backbone)
            tag, licence = (settings.tag, settings.license) if settings is not None else (None, None)
            try:
                facts = model_facts(backbone, options.image_size, cache_dir)
                memory = facts.training_bytes(options.batch_size, precision_on(device.type))
                costs = [
                    _short(facts.parameters),
                    _short(facts.multiply_adds),
                    _short(facts.activations),
                    f"{_short(memory)}B",
                ]
                if options.throughput:
                    setting = StepSetting(
                        backbone, options.image_size, options.batch_size, str(device), options.num_threads
                    )
                    costs.append(f"{measure_throughput(setting, cache_dir):.0f}")
            except FactsError:
                costs = [f"not at {options.image_size} px", *["–"] * (3 + len(speed))]
            rows.append([backbone, *costs, tag or "–", licence or "–"])
            tell("looking at backbones", number, len(backbones))
    return rows


def knob_rows(name: str) -> Rows:
    """One row a knob of a space, in the order in which it is suggested."""
    from scripts.knobs import knobs_of

    rows = [["knob", "range", "when", "source"]]
    for knob in knobs_of(name):
        when = "always" if knob.share == 1 else f"{knob.condition or 'sometimes'} ({knob.share:.0%} of samples)"
        rows.append([knob.name, knob.range, when, knob.source or "–"])
    return rows


def write_readme(readme: Path, *, check: bool) -> int:
    """Puts the table of spaces into a README, or says whether it is stale."""
    from results.pages.cells import TableError
    from results.pages.table import splice
    from trainables.atomic import write_whole

    old = readme.read_bytes().decode(errors="surrogateescape") if readme.exists() else ""
    try:
        new = splice(old, render_markdown(overview()), section=SECTION)
    except TableError as error:
        raise TableError(f"{readme}: {error}") from error
    if check and new != old:
        command = as_called(f"python scripts/spaces.py --readme {shlex.quote(str(readme))}")
        print(f"{readme} is stale; run: {command}", file=sys.stderr)
        return 1
    if new != old:
        write_whole(readme, new.encode(errors="surrogateescape"))
    print(f"{readme} {'was up to date' if new == old else 'is written'}")
    return 0


def render_markdown(rows: Rows) -> str:
    """The table in Markdown."""
    header, *body = rows
    return render_markdown_table(header, body)


def show(console: Console, rows: Rows) -> None:
    """Prints a table: drawn in a terminal, else in Markdown."""
    if not console.is_terminal:
        say(console, render_markdown(rows))
        return
    table = Table(*rows[0], expand=False)
    for row in rows[1:]:
        table.add_row(*row)
    console.print(table, markup=False)


def say(console: Console, text: str) -> None:
    """Prints a text as it is."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def where(device: torch.device, num_threads: int) -> str:
    """The device in words."""
    from trainables.machine.hardware import hardware_in_words

    threads = "" if device.type == "cuda" else f", {num_threads} thread{'s' * (num_threads > 1)}"
    return f"{device} of {hardware_in_words()}{threads}"


def _short(number: float) -> str:
    """Three digits with k, M or G."""
    for unit, letter in ((1e9, "G"), (1e6, "M")):
        if number >= unit:
            return f"{number / unit:.3g} {letter}"
    return f"{number / 1e3:.3g} k"


def _families(backbones: Sequence[str]) -> str:
    """How many backbones there are of which of timm's families."""
    import timm

    families: dict[str, int] = {}
    for backbone in backbones:
        family = timm.model_entrypoint(backbone).__module__.rpartition(".")[2]
        families[family] = families.get(family, 0) + 1
    words = ", ".join(f"{count} {family}" for family, count in families.items())
    return words if len(families) == 1 else f"{len(backbones)}: {words}"


def _sizes(backbones: Sequence[str]) -> str:
    from trainables.networks.model import num_parameters

    sizes = [f"{parameters / 1e6:.1f}" for parameters in sorted(map(num_parameters, backbones))]
    return f"{sizes[0]} M" if sizes[0] == sizes[-1] else f"{sizes[0]} to {sizes[-1]} M"


if __name__ == "__main__":
    sys.exit(main())
