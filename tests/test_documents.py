"""The Markdown pages: their links lead somewhere, they quote only commands and name only files that exist.

That the table of spaces is fresh is seen in `tests/scripts/test_spaces.py`.
"""

from __future__ import annotations

import functools
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    path.relative_to(ROOT) for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "results" / "README.md")
)
README_LINES = 110
"""Lines of the README that a person wrote: two minutes of reading. What is generated grows with every search."""

_FENCED = re.compile(r"^ *```\w*\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
_SCRIPT = r"(?:search|scripts|results)/(?:\w+/)*\w+\.py"


def prose(text: str) -> str:
    """The page without its blocks of code."""
    return _FENCED.sub("", text)


def code(text: str) -> list[str]:
    """The lines of blocks of code, continued lines joined, and the code within sentences."""
    blocks = "".join(_FENCED.findall(text)).replace("\\\n", " ")
    return [*blocks.splitlines(), *re.findall(r"`([^`\n]+)`", prose(text))]


def commands(text: str) -> list[tuple[str, list[str]]]:
    """The scripts that a page says to run, each with the flags it gives them."""
    found = []
    for line in code(text):
        words = shlex.split(line, comments=True) if re.search(rf"python {_SCRIPT}", line) else []
        for index, word in enumerate(words):
            if re.fullmatch(_SCRIPT, word) and words[index - 1].endswith("python"):
                found.append((word, [word for word in words[index:] if word.startswith("--")]))
    return found


def anchors(text: str) -> set[str]:
    """Where a link into a page can lead: its headings as GitHub names them, and its `<a id>`."""
    slugs: list[str] = []
    for heading in re.findall(r"^#{1,6} +(.+?) *$", prose(text), re.MULTILINE):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        slugs.append(slug if slug not in slugs else f"{slug}-{slugs.count(slug)}")
    return {*slugs, *re.findall(r'<a id="([^"]+)"></a>', text)}


@functools.cache
def flags_of(script: str) -> frozenset[str]:
    """The flags that a command's help names."""
    done = subprocess.run(
        [sys.executable, script, "--help"],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return frozenset(re.findall(r"--[a-z][a-z0-9-]*", done.stdout))


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_relative_links_and_their_anchors_resolve(page: Path) -> None:
    text = (ROOT / page).read_text()
    targets = re.findall(r"!?\[[^\]]*\]\(([^)\s]+)\)", re.sub(r"`[^`\n]+`", "", prose(text)))
    for target in targets:
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = ROOT / page.parent / name if name else ROOT / page
        assert path.exists(), f"{page} links to {target}"
        if anchor:
            assert anchor in anchors(path.read_text()), f"{page} links to {target}, a heading that is not there"


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_commands_that_a_page_quotes_exist_and_know_their_flags(page: Path) -> None:
    for script, flags in commands((ROOT / page).read_text()):
        assert (ROOT / script).exists(), f"{page} quotes {script}"
        for flag in flags:
            assert flag.partition("=")[0] in flags_of(script), f"{page}: {script} has no {flag}"


def test_flags_that_a_page_names_by_themselves_are_known_to_a_command_that_a_page_quotes() -> None:
    texts = {page: (ROOT / page).read_text() for page in PAGES if page.name != "CHANGELOG.md"}
    scripts = {script for text in texts.values() for script, _ in commands(text)}
    known = {flag for script in scripts for flag in flags_of(script)}
    for page, text in texts.items():
        for span in re.findall(r"`(--[^`\n]+)`", prose(text)):
            for flag in re.findall(r"--[a-z][a-z0-9-]*", span):
                assert flag in known, f"{page} names {flag}"


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_what_a_flag_needs_beside_it_is_in_the_commands_that_a_page_quotes(page: Path) -> None:
    for line in code((ROOT / page).read_text()):
        if re.search(r"ray job submit .*-- ", line):
            assert " --working-dir " in line, f"{page}: the job of {line} runs in an empty folder"
        if re.search(r"evaluate(\.py)? .*--side ", line):
            assert " --split " in line, f"{page}: {line} is refused, as --side is one of a split"


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_modules_that_a_page_names_exist(page: Path) -> None:
    for name in re.findall(
        r"\b(?:search|spaces|trainables|results|scripts|tests)/[a-z_/]+\.py\b", (ROOT / page).read_text()
    ):
        assert (ROOT / name).exists(), f"{page} names {name}"


def test_the_readme_is_read_in_two_minutes() -> None:
    generated = re.compile(r"<!-- macrotune:(\w+):begin -->.*?<!-- macrotune:\1:end -->\n", re.DOTALL)
    lines = generated.sub("", (ROOT / "README.md").read_text()).splitlines()
    assert len(lines) <= README_LINES, "what is for the second look belongs in docs/"


def test_a_heading_is_found_where_github_puts_it() -> None:
    text = "# A run's folder\n## `--compile`, and more\n## Twice\n## Twice\n```bash\n# no heading\n```\n"
    assert anchors(text) == {"a-runs-folder", "--compile-and-more", "twice", "twice-1"}


def test_commands_are_found_in_sentences_tables_and_blocks() -> None:
    text = "Run `python scripts/a.py x --one 1`.\n| `python results/b.py` |\n"
    text += "```\npython search/run.py \\\n --two 2 # --no\n```\n"
    assert sorted(commands(text)) == [("results/b.py", []), ("scripts/a.py", ["--one"]), ("search/run.py", ["--two"])]


def test_make_help_names_every_target_that_a_page_names() -> None:
    told = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    targets = set(re.findall(r"^  make (\w+)", told, re.MULTILINE))
    assert {"search", "test"} <= targets
    for page in PAGES:
        for block in re.findall(r"`make (\w+)|^(?:    )?make (\w+)", (ROOT / page).read_text(), re.MULTILINE):
            assert "".join(block) in targets, f"{page} names make {''.join(block)}"
