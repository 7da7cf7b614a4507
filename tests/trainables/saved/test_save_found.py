"""A model that is saved in a process of its own."""

from __future__ import annotations

import io
import json
import os
import sys

import pytest

from trainables.saved import save_found


@pytest.mark.parametrize(("beside_training", "added"), [(True, [save_found.GIVES_WAY]), (False, [])])
def test_beside_a_training_it_gives_way(
    monkeypatch: pytest.MonkeyPatch, beside_training: bool, added: list[int]
) -> None:
    nice: list[int] = []
    saved: list[object] = []
    monkeypatch.setattr(os, "nice", nice.append)
    monkeypatch.setattr(save_found, "_save", saved.append)
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps({"gives_way": beside_training})))
    assert save_found.main() == 0
    assert nice == added
    assert len(saved) == 1
