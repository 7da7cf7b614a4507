"""Networks for any picture size, with drop path where a family has it."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from trainables.config import Precision
from trainables.machine import hardware
from trainables.networks.model import create_backbone, memory_format, zero_heads


@pytest.mark.parametrize("size", [32, 96])
@pytest.mark.parametrize("backbone", ["test_vit", "test_maxvit", "test_convnext"])
def test_a_network_takes_pictures_of_the_size_it_is_built_for(backbone: str, size: int) -> None:
    model = create_backbone(backbone, 3, size)
    assert model.training
    assert model(torch.zeros(2, 3, size, size)).shape == (2, 3)


def test_position_embeddings_of_another_size_are_resampled(tmp_path: Path) -> None:
    original = timm.create_model("test_vit")
    torch.nn.init.normal_(original.pos_embed)
    save_file(original.state_dict(), tmp_path / "w.safetensors")
    same, smaller = (create_backbone("test_vit", 3, size, file=str(tmp_path / "w.safetensors")) for size in (160, 96))
    assert torch.equal(same.pos_embed, original.pos_embed)
    assert smaller.pos_embed.shape == (1, 37, 64)
    assert torch.equal(smaller.pos_embed[:, :1], original.pos_embed[:, :1])
    assert torch.equal(smaller.blocks[0].attn.qkv.weight, original.blocks[0].attn.qkv.weight)


def test_a_network_that_cannot_take_a_size_is_named_with_it() -> None:
    with pytest.raises(ValueError, match=r"inception_v3 cannot take pictures of 32 px .* another --image-size"):
        create_backbone("inception_v3", 3, 32)


def test_drop_path_is_set_where_a_family_has_it_and_refused_elsewhere() -> None:
    def rates(drop_path: float) -> list[float]:
        model = create_backbone("test_convnext", 3, 32, drop_path=drop_path)
        return [module.drop_prob for module in model.modules() if hasattr(module, "drop_prob")]

    assert max(rates(0.3)) == pytest.approx(0.3)
    assert rates(0.0) == []
    with pytest.raises(ValueError, match="vgg11 has no drop path"):
        create_backbone("vgg11", 3, 64, drop_path=0.1)


@pytest.mark.parametrize(
    ("precision", "expected"),
    [("bfloat16", torch.channels_last), ("float16", torch.channels_last), ("float32", torch.contiguous_format)],
)
def test_channels_are_last_on_gpus_that_do_not_compute_in_float32(
    precision: Precision, expected: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "gpu_precision", lambda: precision)
    assert memory_format("resnet18", torch.device("cuda"), "float32") == torch.contiguous_format
    assert {memory_format(name, torch.device("cuda", 0)) for name in ("resnet18", "efficientnet_b0")} == {expected}
    assert memory_format("efficientnet_b0", torch.device("cpu")) == torch.channels_last
    assert memory_format("resnet18", torch.device("cpu")) == torch.contiguous_format


@pytest.mark.parametrize("backbone", ["repvit_m0_9", "levit_128s"])
def test_a_classifier_of_several_layers_lets_gradients_through(backbone: str) -> None:
    size = 224 if backbone == "levit_128s" else 64
    model = create_backbone(backbone, 3, size)
    zero_heads(model)
    logits = model(torch.rand(2, 3, size, size))
    assert not logits.any()
    torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1])).backward()
    last = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear) and layer.out_features == 3]
    assert last and all(layer.weight.grad is not None and layer.weight.grad.abs().sum() > 0 for layer in last)
