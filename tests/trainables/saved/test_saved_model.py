from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from tests.saved_models import CLASSES, save_network
from trainables.errors import UserError
from trainables.saved.predict import predict_probabilities
from trainables.saved.saved_model import ModelError, load_model, refuse_other_classes, save_model

PLAIN = """
import json, sys
import numpy as np, timm, torch
from pathlib import Path
from PIL import Image, ImageOps

folder, paths = Path(sys.argv[1]), sys.argv[2:]
model = json.loads((folder / "model.json").read_text())
how = model["preprocessing"]
network = timm.create_model(
    model["backbone"], num_classes=len(model["classes"]), checkpoint_path=str(folder / "model.safetensors")
).eval()
answers = []
for path in paths:
    image = Image.open(path)
    image.draft("RGB", (how["draft"], how["draft"]))
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image, dtype=np.uint32) // 256).astype(np.uint8))
    image = image.convert("RGB")
    width, height = image.size
    short = min(width, height)
    box = ((width - short) / 2, (height - short) / 2, (width + short) / 2, (height + short) / 2)
    image = image.resize((how["resize"], how["resize"]), Image.Resampling.BICUBIC, box=box).crop(how["crop_box"])
    pixels = (np.asarray(image) / how["scale"] - how["mean"]) / how["std"]
    with torch.inference_mode():
        logits = network(torch.tensor(pixels.transpose(2, 0, 1)[None], dtype=torch.float32))
    answers.append(logits.softmax(1)[0].tolist())
print(json.dumps(answers))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_network(tmp_path / "model")


def test_what_was_saved_is_what_is_loaded(tmp_path: Path) -> None:
    network = timm.create_model("test_efficientnet", num_classes=3).to(memory_format=torch.channels_last)
    written = save_model(
        tmp_path / "model",
        network,
        backbone="test_efficientnet",
        classes=CLASSES,
        attributes={"round": ("yes", "no", "no")},
        image_size=32,
        record={"seed": 1},
    )
    for name in ("", "model.json", "model.safetensors"):
        model = load_model(tmp_path / "model" / name, "cpu")
        assert model.description == written
        assert not model.network.training
        assert model.path == tmp_path / "model"
    assert written.record == {"seed": 1}
    assert written.attributes == {"round": ("yes", "no", "no")}
    assert (written.image_size, written.stored_size) == (32, 37)
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["model.json", "model.safetensors"]
    for name, value in network.state_dict().items():
        assert torch.equal(model.network.state_dict()[name], value)


def test_equal_weights_make_equal_files(tmp_path: Path) -> None:
    hashes = {load_model(save_network(tmp_path / str(number))).description.weights_sha256 for number in range(12)}
    assert len(hashes) == 1
    assert load_model(save_network(tmp_path / "other", seed=1)).description.weights_sha256 not in hashes


def test_mean_and_std_are_the_files_not_those_of_the_timm_at_hand(folder: Path) -> None:
    change(folder, mean=[0.1, 0.2, 0.3])
    assert load_model(folder, "cpu").network.pretrained_cfg["mean"] == (0.1, 0.2, 0.3)


def test_loading_leaves_the_random_numbers_of_the_caller_alone(folder: Path) -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    load_model(folder, "cpu")
    assert torch.equal(torch.rand(1), expected)


def test_a_record_that_is_no_strict_json_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="strict JSON"):
        save_network(tmp_path / "model", record={"loss": float("nan")})
    assert not (tmp_path / "model").exists()


@pytest.mark.slow
def test_plain_timm_and_pillow_give_the_same_probabilities_in_a_process_of_their_own(
    folder: Path, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    paths = []
    for number, (mode, size) in enumerate((("RGB", (90, 61)), ("L", (40, 80)), ("RGB", (300, 211)))):
        image = Image.fromarray(rng.integers(0, 255, (5, 7, 3), dtype=np.uint8)).resize(size).convert(mode)
        exif = Image.Exif()
        exif[0x0112] = 6  # turned by a quarter
        paths.append(str(tmp_path / f"{number}.jpg"))
        image.save(paths[-1], exif=exif)
    deep = rng.integers(0, 65535, (50, 44), dtype=np.uint16)
    paths.append(str(tmp_path / "deep.png"))
    Image.fromarray(deep).save(paths[-1])
    ours = predict_probabilities([load_model(folder, "cpu")], paths, cache_dir=tmp_path / "cache")
    done = subprocess.run(
        [sys.executable, "-c", PLAIN, str(folder), *paths], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    theirs = np.array(json.loads(done.stdout))
    assert np.abs(theirs[0] - theirs[2]).max() > 1e-3
    np.testing.assert_allclose(ours.probabilities, theirs, atol=1e-4)


def change(folder: Path, **values: object) -> None:
    path = folder / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def error(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        load_model(path, "cpu")
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_path_without_a_model_is_named(folder: Path, tmp_path: Path) -> None:
    assert "nothing: no such file or folder" in error(tmp_path / "nothing")
    (tmp_path / "best.pt").write_bytes(b"PK")
    assert "best.pt is not a saved model" in error(tmp_path / "best.pt")
    assert "it has no model.json" in error(tmp_path)
    (folder / "model.safetensors").unlink()
    assert "it has no model.safetensors" in error(folder)


@pytest.mark.parametrize("share", [0.0, 0.0001, 0.5, 0.999])
def test_weights_that_are_cut_short_are_named(folder: Path, share: float) -> None:
    path = folder / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    assert "model.safetensors is damaged or cut short" in error(folder)


def test_weights_that_are_no_safetensors_are_never_unpickled(folder: Path) -> None:
    torch.save({"weights": torch.zeros(3)}, folder / "model.safetensors")
    assert "damaged or cut short" in error(folder)


def test_changed_weights_are_refused(folder: Path) -> None:
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert "other SHA-256" in error(folder)


def test_weights_of_another_network_are_named_with_what_was_wanted(folder: Path, tmp_path: Path) -> None:
    def message(**options: object) -> str:
        other = save_network(tmp_path / "other", **options)
        (folder / "model.safetensors").write_bytes((other / "model.safetensors").read_bytes())
        return error(folder)

    found = message(backbone="test_resnet")
    assert "holds test_resnet with 3 classes, but model.json says test_efficientnet with 3 classes" in found
    found = message(classes=("a", "b", "c", "d"))
    assert "holds test_efficientnet with 4 classes, but" in found
    assert "has the shape (4" in found


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"format": 3}, "has the format 3, only 1 and 2 are known"),
        (
            {"backbone": "resnet_of_tomorrow"},
            f"timm {timm.__version__} does not know the backbone 'resnet_of_tomorrow'",
        ),
        ({"backbone": "hf-hub:someone/something"}, "does not know the backbone"),
        ({"backbone": "test_efficientnet.no_such_tag"}, "does not know the backbone"),
        ({"classes": ["a", "a", "b"]}, "classes is"),
        ({"classes": "abc"}, "classes is 'abc'"),
        ({"attributes": {"round": ["yes"]}}, "a value for each of the 3 classes"),
        ({"image_size": "32"}, "image_size is '32'"),
        ({"precision": "float8"}, "precision is 'float8'"),
        ({"image_size": 40}, "stored_size is smaller than image_size"),
        ({"stored_size": 64}, "cut out of 64 px, here it would be 37 px"),
        ({"std": [0, 1, 1]}, "std is [0, 1, 1]"),
        ({"mean": [float("nan"), 1, 1]}, "mean is [nan, 1, 1]"),
    ],
)
def test_a_description_that_cannot_be_is_named(folder: Path, values: dict, message: str) -> None:
    change(folder, **values)
    assert message in error(folder)


def test_a_broken_description_is_named(folder: Path) -> None:
    path = folder / "model.json"
    values = json.loads(path.read_text())
    del values["mean"], values["backbone"]
    path.write_text(json.dumps(values))
    assert "no key backbone, mean" in error(folder)
    path.write_text("[1]")
    assert "describes no model" in error(folder)
    path.write_text('{"format": 1,')
    assert "model.json is broken" in error(folder)
    path.write_bytes(b"\xff\xfe")
    assert "model.json is broken" in error(folder)


def test_classes_the_model_does_not_know_are_listed_and_those_the_data_lack_returned() -> None:
    assert refuse_other_classes(("a", "b", "c"), ["c", "a", "a"]) == ("b",)
    with pytest.raises(ModelError, match="does not know the classes 'x', 'y' of the data, only 'a', 'b'"):
        refuse_other_classes(("a", "b"), ["y", "a", "x"])


def test_a_device_that_is_not_there_is_named(folder: Path) -> None:
    for device in ("nonsense", "cuda:99"):
        with pytest.raises(UserError, match=f"the device '{device}' cannot be used here"):
            load_model(folder, device)
