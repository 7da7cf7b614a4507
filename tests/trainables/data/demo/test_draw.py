"""The generated people: layout, counts, determinism, and the look that a person's pictures share."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainables.data.demo.draw import CLASS_SHARES, EVAL, PICTURES, TRAIN, cell_counts, make_demo_data, sample_people

ROOT = Path(__file__).resolve().parents[4]
SMALL = {"people": 20, "eval_people": 6, "seed": 3, "height": 64}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_demo_data(tmp_path_factory.mktemp("data") / "demo", **SMALL, workers=1)


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def content(folder: Path) -> str:
    """A digest of every file's name and bytes."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        digest.update(f"{path.relative_to(folder)}\n".encode())
        digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image, dtype=float)


def test_train_has_the_layout_of_the_competition(demo: Path) -> None:
    assert (demo / "train" / "train.csv").read_text().splitlines()[0] == "id,gender,race,age,path"
    rows = table(demo / "train" / "train.csv")
    assert len(rows) == 20
    assert rows[0]["id"] == "000001"
    for row in rows:
        assert row["path"] == f"{row['id']}_{row['gender']}_{row['race']}_{row['age']}"
        files = sorted(path.name for path in (demo / "train" / "images" / row["path"]).iterdir())
        assert files == sorted(f"{stem}.jpg" for stem in PICTURES)
    assert {path.name for path in (demo / "train" / "images").iterdir()} == {row["path"] for row in rows}


def test_eval_has_the_layout_of_the_competition_and_the_answers_beside_it(demo: Path) -> None:
    info, answers = table(demo / "eval" / "info.csv"), table(demo / "eval" / "answers.csv")
    assert list(info[0]) == list(answers[0]) == ["ImageID", "ans"]
    assert {row["ans"] for row in info} == {"0"}
    assert [row["ImageID"] for row in info] == [row["ImageID"] for row in answers]
    names = {path.name for path in (demo / "eval" / "images").iterdir()}
    assert names == {row["ImageID"] for row in info}
    assert len(names) == 6 * 7
    assert all(re.fullmatch(r"[0-9a-f]{40}\.jpg", name) for name in names)


def test_the_answers_are_the_classes_of_the_people(demo: Path) -> None:
    counts = Counter(int(row["ans"]) for row in table(demo / "eval" / "answers.csv"))
    people = sample_people(6, 3, EVAL, smallest=1)
    assert counts == Counter(person.label(picture) for person in people for picture in PICTURES)
    assert counts == {**dict.fromkeys(range(6), 5), **dict.fromkeys(range(6, 18), 1)}


def test_a_label_is_6_mask_plus_3_female_plus_age_band() -> None:
    for person in sample_people(120, 0, TRAIN, smallest=3):
        band = 0 if person.age < 30 else 1 if person.age < 60 else 2
        assert person.label("mask3") == 3 * (person.gender == "female") + band
        assert person.label("incorrect_mask") == 6 + person.label("mask1")
        assert person.label("normal") == 12 + person.label("mask5")


def test_pictures_are_portraits_of_three_to_four(demo: Path) -> None:
    for path in demo.rglob("*.jpg"):
        with Image.open(path) as image:
            assert (image.size, image.mode) == ((48, 64), "RGB")


def test_ids_have_gaps_and_one_repeats_six_digits() -> None:
    ids = [person.id for person in sample_people(120, 0, TRAIN, smallest=3)]
    assert len(set(ids)) == 120
    assert ids == sorted(ids)
    twins = [number for number in ids if number.endswith("-1")]
    assert len(twins) == 1
    assert twins[0][:6] in ids
    numbers = [int(number[:6]) for number in ids]
    assert max(numbers) > 120


def test_classes_have_the_shares_of_the_competition() -> None:
    assert cell_counts(2700, 3) == list(CLASS_SHARES)
    for num, smallest in ((120, 3), (40, 1), (18, 3), (6, 1), (7, 1), (1, 0)):
        counts = cell_counts(num, smallest)
        assert sum(counts) == num
        assert min(counts) >= smallest
    men = [person.gender for person in sample_people(2700, 0, TRAIN, smallest=3)].count("male")
    assert men == 1042


def test_train_and_eval_are_different_people() -> None:
    train, others = sample_people(20, 0, TRAIN, smallest=3), sample_people(20, 0, EVAL, smallest=3)
    assert not {person.key for person in train} & {person.key for person in others}


def test_the_bytes_depend_neither_on_the_process_nor_on_the_number_of_workers(demo: Path, tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from trainables.data.demo.draw import make_demo_data\n"
    code += f"make_demo_data(Path(sys.argv[1]), **{SMALL}, workers=3)"
    for hash_seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
        subprocess.run([sys.executable, "-c", code, hash_seed], cwd=tmp_path, env=env, check=True, timeout=120)
        assert content(tmp_path / hash_seed) == content(demo)


def test_another_seed_draws_other_people(demo: Path, tmp_path: Path) -> None:
    other = make_demo_data(tmp_path / "other", **{**SMALL, "seed": 4}, workers=1)
    assert content(other) != content(demo)


def test_the_pictures_of_a_person_share_the_wall_and_no_two_are_equal(demo: Path) -> None:
    corners = []
    for row in table(demo / "train" / "train.csv"):
        pictures = [pixels(demo / "train" / "images" / row["path"] / f"{stem}.jpg") for stem in PICTURES]
        assert len({picture.tobytes() for picture in pictures}) == 7
        corners.append([picture[:10, :10].mean((0, 1)) for picture in pictures])
    corner = np.array(corners)  # (people, pictures, channels)
    within = corner.std(axis=1).mean()
    between = corner.mean(axis=1).std(axis=0).mean()
    assert between > 3 * within


def test_a_mask_changes_the_lower_face_and_little_else(demo: Path) -> None:
    lower, upper = [], []
    for row in table(demo / "train" / "train.csv"):
        home = demo / "train" / "images" / row["path"]
        change = abs(pixels(home / "mask1.jpg") - pixels(home / "normal.jpg")).mean(axis=2)
        lower.append(change[34:44, 18:30].mean())
        upper.append(change[:8].mean())
    assert np.mean(lower) > 2 * np.mean(upper)


def test_a_second_call_returns_the_folder_untouched(demo: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in demo.rglob("*")}
    assert make_demo_data(demo, **SMALL) == demo
    assert {path: path.stat().st_mtime_ns for path in demo.rglob("*")} == before


def test_a_foreign_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    mine = tmp_path / "mine" / "thesis.txt"
    mine.parent.mkdir()
    mine.write_text("years of work")
    with pytest.raises(ValueError, match=r"mine exists and is no demo set: name another folder"):
        make_demo_data(mine.parent, **SMALL)
    with pytest.raises(ValueError, match=r"thesis.txt exists and is no demo set"):
        make_demo_data(mine, **SMALL)
    assert [path.name for path in tmp_path.rglob("*")] == ["mine", "thesis.txt"]


def test_a_demo_set_with_other_parameters_is_refused(demo: Path) -> None:
    with pytest.raises(
        ValueError, match=r"is a demo set with other parameters .*'seed': 3.* remove it or name another"
    ):
        make_demo_data(demo, **{**SMALL, "seed": 4})


def test_a_set_without_its_marker_is_not_taken_for_a_complete_one(tmp_path: Path) -> None:
    params = {"people": 6, "eval_people": 1, "height": 64}
    out = make_demo_data(tmp_path / "demo", **params, workers=1)
    (out / "demo.json").unlink()
    with pytest.raises(ValueError, match="is no demo set"):
        make_demo_data(out, **params)


def test_two_processes_that_draw_the_same_folder_both_succeed(tmp_path: Path) -> None:
    code = "from pathlib import Path; from trainables.data.demo.draw import make_demo_data\n"
    code += "print(make_demo_data(Path('demo'), people=6, eval_people=1, height=64, workers=1))"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    both = [
        subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env=env, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [process.communicate(timeout=120)[0] for process in both] == ["demo\n", "demo\n"]
    assert [process.returncode for process in both] == [0, 0]
    assert sorted(path.name for path in tmp_path.iterdir()) == [".demo.lock", "demo"]
    assert json.loads((tmp_path / "demo" / "demo.json").read_text())["people"] == 6


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"people": 5}, "people is 5: it must be at least 6"),
        ({"eval_people": 0}, "eval_people is 0: it must be at least 1"),
        ({"seed": -1}, "seed is -1: it must be at least 0"),
        ({"height": 90}, "height is 90: it must be a multiple of 4 between 64 and 2048"),
        ({"workers": 0}, "workers is 0: it must be at least 1"),
    ],
)
def test_values_outside_their_range_are_refused(tmp_path: Path, wrong: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_demo_data(tmp_path / "demo", **wrong)
    assert not list(tmp_path.iterdir())
