"""Settings come back from JSON as they were, by the types of their fields."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

from search.study import AskedStudy
from trainables.data.manifest import DataConfig
from trainables.settings import restore


@dataclass(frozen=True)
class Places:
    """Fields of all the kinds that settings have."""

    folder: Path = Path("here")
    maybe: Annotated[Path | None, "help"] = None
    word_or_place: Literal["auto"] | Path = "auto"
    several: tuple[Path, ...] = ()
    names: tuple[str, ...] | None = ("a",)
    PathLike: str = "a text, for all that the field is called"
    share: float | Literal["auto"] | None = None


PLACES = [
    Places(),
    Places(folder=Path("/there"), maybe=Path("x y")),
    Places(word_or_place=Path("auto mobiles"), several=(Path("a"), Path("b")), names=None),
    Places(names=(), share=0.5, PathLike="/no/path"),
    Places(share="auto"),
]


def through_json(settings: Any) -> dict[str, Any]:
    """As a run's record keeps them."""
    return json.loads(json.dumps(asdict(settings), default=str))


@pytest.mark.parametrize("settings", PLACES, ids=range(len(PLACES)))
def test_every_kind_of_field_comes_back_as_it_was(settings: Places) -> None:
    assert restore(Places, through_json(settings)) == settings
    back = restore(Places, through_json(settings))
    assert [type(value) for value in vars(back).values()] == [type(value) for value in vars(settings).values()]


def test_what_was_not_saved_has_its_default_and_what_is_no_field_is_left_aside() -> None:
    assert restore(Places, {"maybe": "x", "gone": 1}) == Places(maybe=Path("x"))


def test_the_settings_of_a_search_come_back_as_they_were(tmp_path: Path) -> None:
    study = AskedStudy.of(space="toy", attribute_weights=("a=1",), cache_dir=tmp_path, gpus_per_trial="auto").absolute()
    data = DataConfig(data=tmp_path / "faces.csv", attributes=("mask", "age"))
    saved = {**json.loads(json.dumps(study.flat(), default=str)), **through_json(data)}
    assert AskedStudy.restored(saved) == study
    assert restore(DataConfig, saved) == data
    older = {name: value for name, value in saved.items() if name not in ("compile", "attribute_weights")}
    assert AskedStudy.restored(older) == study.replace(attribute_weights=())
    assert isinstance(AskedStudy.restored(saved).places.storage, Path)
