"""The Markdown pages: their links lead somewhere, and they name only commands that exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(path.relative_to(ROOT) for path in ROOT.glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_relative_links_resolve(page: Path) -> None:
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(), flags=re.DOTALL)
    targets = re.findall(r"!?\[[^\]]*\]\(([^)\s]+)\)", text)
    for target in targets:
        if not re.match(r"[a-z]+:|#", target):
            assert (ROOT / target.split("#")[0]).exists(), f"{page} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_scripts_that_a_page_names_exist(page: Path) -> None:
    for script in re.findall(r"python ((?:search|scripts|results)/\w+\.py)", (ROOT / page).read_text()):
        assert (ROOT / script).exists(), f"{page} names {script}"


def test_make_help_names_every_target_that_a_page_names() -> None:
    told = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    targets = set(re.findall(r"^  make (\w+)", told, re.MULTILINE))
    assert {"search", "test"} <= targets
    for page in PAGES:
        for block in re.findall(r"`make (\w+)|^(?:    )?make (\w+)", (ROOT / page).read_text(), re.MULTILINE):
            assert "".join(block) in targets, f"{page} names make {''.join(block)}"
