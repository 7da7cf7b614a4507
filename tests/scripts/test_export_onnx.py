from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scripts.export_onnx import main
from tests.saved_models import save_network

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "export_onnx.py"


@pytest.mark.slow
def test_the_command_says_what_it_compared_and_prints_no_warning(tmp_path: Path) -> None:
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name)
    model = save_network(tmp_path / "model")
    command = [sys.executable, "-W", "error::FutureWarning", str(SCRIPT), "model"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("model/model.onnx: ")
    assert "logits are torch's to" in done.stdout
    assert sorted(path.name for path in model.iterdir()) == ["model.json", "model.onnx", "model.safetensors"]


def test_missing_packages_are_named_with_the_command_that_installs_them(tmp_path: Path) -> None:
    # An import hook that hides the package is what an environment without it looks like.
    hide = (
        "import importlib.util, runpy, sys\n"
        "real = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name == 'onnxscript' else real(name, *rest)\n"
        f"sys.argv = ['export_onnx.py', 'model']\nrunpy.run_path({str(SCRIPT)!r}, run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-c", hide], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "onnxscript" in done.stderr
    assert 'pip install -e ".[onnx]"' in done.stderr


def test_a_mistake_is_one_message(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for name in ("onnx", "onnxscript"):
        pytest.importorskip(name)
    assert main([str(tmp_path / "nothing")]) == 2
    assert "no such file or folder" in capsys.readouterr().err
    assert main([str(tmp_path), "--opset", "5"]) == 2
    assert "opset is 5" in capsys.readouterr().err
    assert main([str(tmp_path), "--opset", "999"]) == 2
    assert "the newest that onnx has here" in capsys.readouterr().err
    assert main([str(tmp_path), "--out", str(tmp_path)]) == 2
    assert "is a folder" in capsys.readouterr().err
