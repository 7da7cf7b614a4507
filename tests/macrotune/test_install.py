"""The wheel by itself, built from the sdist: what it holds, and its command run in a folder without the checkout."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from macrotune.command import PURPOSES, main
from trainables.called import FILES, VARIABLE, as_called, install_command

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("macrotune", "scripts", "search", "results", "spaces", "trainables")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the sdist of a copy of the sources, and unpacked."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("installed")
    for room in ROOMS:
        shutil.copytree(ROOT / room, source / room, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    (sdist,) = build("sdist", source, tmp_path_factory.mktemp("sdist"))
    with tarfile.open(sdist) as archive:
        archive.extractall(sdist.parent, filter="data")
    (wheel,) = build("wheel", sdist.parent / sdist.name.removesuffix(".tar.gz"), out)
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(out)
    wheel.unlink()
    return out


def build(kind: str, source: Path, out: Path) -> list[Path]:
    code = f"from setuptools.build_meta import build_{kind}; import sys; build_{kind}(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, str(out)], cwd=source, check=True, capture_output=True, timeout=120)
    return list(out.iterdir())


def command(installed: Path, *words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(installed), "COLUMNS": "80", "TERM": "dumb", "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        [sys.executable, "-m", "macrotune", *words], cwd=folder, env=env, capture_output=True, text=True, timeout=280
    )


def test_every_file_of_ours_is_in_the_wheel(installed: Path) -> None:
    needed = {
        path.relative_to(ROOT)
        for room in ROOMS
        for path in (ROOT / room).rglob("*")
        if path.suffix in (".py", ".j2") and "__pycache__" not in path.parts
    }
    assert not [str(path) for path in sorted(needed) if not (installed / path).is_file()]


def test_the_wheel_gives_the_command(installed: Path) -> None:
    (found,) = importlib.metadata.distributions(path=[str(installed)])
    assert found.metadata["Name"] == "macrotune"
    (entry,) = (entry for entry in found.entry_points if entry.group == "console_scripts")
    assert (entry.name, entry.value) == ("macrotune", "macrotune.command:main")
    assert {"weights", "onnx", "ui", "dev"} <= set(found.metadata.get_all("Provides-Extra"))


def test_every_sub_command_has_a_file_and_a_purpose() -> None:
    assert set(PURPOSES) == set(FILES)
    assert not [file for file in FILES.values() if not (ROOT / file).is_file()]


@pytest.mark.parametrize("name", sorted(FILES))
def test_help_speaks_of_the_command_that_was_typed(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(VARIABLE, "1")
    with pytest.raises(SystemExit) as end:
        main([name, "--help"])
    assert end.value.code == 0
    assert f"usage: macrotune {name}" in capsys.readouterr().out


def test_a_wrong_name_is_one_message(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serach"]) == 2
    assert "did you mean 'search'" in capsys.readouterr().err
    assert main([]) == 0
    assert "fetch-weights" in capsys.readouterr().out


def test_commands_in_a_message_are_those_that_were_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "Go on with: python search/run.py --resume a, then scripts/retrain.py; see /x/search/run.py and search/runs"
    monkeypatch.delenv(VARIABLE, raising=False)
    assert as_called(said) == said
    monkeypatch.setenv(VARIABLE, "1")
    expected = "Go on with: macrotune search --resume a, then macrotune retrain; see /x/search/run.py and search/runs"
    assert as_called(said) == expected


@pytest.mark.slow
@pytest.mark.long
def test_a_search_writes_into_the_folder_one_stands_in_and_nowhere_else(
    installed: Path, pictures: Path, tmp_path: Path
) -> None:
    before = {path for path in installed.rglob("*") if "__pycache__" not in path.parts}
    small = ("--space", "toy", "--trials", "1", "--epochs", "1", "--image-size", "32", "--batch-size", "16")
    done = command(
        installed, "search", *small, "--data", str(pictures), "--name", "mine", "--cache-dir", "cache", folder=tmp_path
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "To score it on people never seen: macrotune retrain --run mine\n" in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "cache", "results", "runs"]
    assert {path for path in installed.rglob("*") if "__pycache__" not in path.parts} == before
    listed = command(installed, "runs", folder=tmp_path)
    assert "mine" in listed.stdout


def test_libraries_are_named_where_there_is_no_checkout_to_install_them_from(monkeypatch: pytest.MonkeyPatch) -> None:
    assert install_command("onnx") == 'pip install -e ".[onnx]"'
    monkeypatch.setenv("MACROTUNE_CALLED", "1")
    monkeypatch.setattr(
        "importlib.metadata.requires", lambda name: ["torch>=2", 'onnx>=1.17; extra == "onnx"', "ray; extra == 'onn'"]
    )
    assert install_command("onnx") == "pip install 'onnx>=1.17'"
    assert install_command("nothing") == 'pip install -e ".[nothing]"'
