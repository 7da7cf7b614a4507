"""The notebook of the docs, run as it is; and one whose kernel is interrupted."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager, start_new_kernel
from nbclient import NotebookClient

from results.records.summary import RunState, summaries

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "docs" / "notebook.ipynb"
SMALL = "space='toy', trials=2, image_size=32, batch_size=16, cache_dir='cache'"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.timeout(500),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning:zmq"),  # of Jupyter's own code
]


@pytest.fixture(autouse=True)
def _our_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def test_the_notebook_runs_from_top_to_bottom(tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=400, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [str(output) for cell in notebook.cells for output in cell.get("outputs", ())]
    assert any("validation macro-F1" in text and "<table>" in text for text in shown)
    assert any(text.count("finished") >= 3 for text in shown)  # result.trials
    assert any("test macro-F1" in text for text in shown)
    assert not [text for text in shown if "python search/run.py" in text or "ipywidgets" in text]
    work = tmp_path / "macrotune-notebook"
    there = {path.name for path in work.iterdir() if path.name[0] != "."}  # a lock beside the pictures stays
    assert there == {"README.md", "pictures", "results", "runs"}


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[tuple[KernelManager, BlockingKernelClient]]:
    manager, client = start_new_kernel(cwd=str(tmp_path))
    yield manager, client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def said(client: BlockingKernelClient, message: str) -> tuple[str, str]:
    """All that a cell printed, and the error that ended it."""
    printed, error = [], ""
    while True:
        content = client.get_iopub_msg(timeout=200)
        if content["parent_header"].get("msg_id") != message:
            continue
        if content["msg_type"] == "stream":
            printed.append(content["content"]["text"])
        if content["msg_type"] == "error":
            error = "\n".join(content["content"]["traceback"])
        if content["msg_type"] == "status" and content["content"]["execution_state"] == "idle":
            return "".join(printed), error


def test_an_interrupted_kernel_leaves_a_run_that_goes_on(
    kernel: tuple[KernelManager, BlockingKernelClient], pictures: Path, tmp_path: Path
) -> None:
    manager, client = kernel
    code = f"from macrotune import search\nsearch(data={str(pictures)!r}, name='stopped', epochs=20, {SMALL})"
    message = client.execute(code)
    log, end = tmp_path / "runs" / "stopped" / "trials.jsonl", time.monotonic() + 200
    while not (log.is_file() and log.stat().st_size) and time.monotonic() < end:
        time.sleep(0.1)
    manager.interrupt_kernel()
    printed, error = said(client, message)
    assert "Ctrl-C: running trials end with this epoch" in printed
    assert re.fullmatch(r"Interrupted: \S+/stopped is whole, .* Go on with: search\(resume='stopped'\)", error)
    (row,) = summaries(tmp_path / "runs")
    assert row.state == RunState.INTERRUPTED
    assert (tmp_path / "runs" / "stopped" / "model" / "model.json").is_file()
    printed, error = said(client, client.execute("search(resume='stopped')"))
    assert error == ""
    (row,) = summaries(tmp_path / "runs")
    assert row.state == RunState.FINISHED
