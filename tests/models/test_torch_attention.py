"""What a vision transformer's tokens attend to: against its own queries and keys, and who is refused."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

from in_process import InProcess
from matlens.errors import ModelError
from matlens.explanation.registry import EXPLAINERS
from matlens.models.libraries.timm import cards
from matlens.models.protocol import BuildOrder, room_of

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("one_thread")]

SIDE, PATCHES = 48, 9
VIT, REGISTERS, SWIN = "test_vit", "vit_small_patch14_reg4_dinov2", "swin_tiny_patch4_window7_224"


@pytest.fixture(scope="module", autouse=True)
def own_cache(torch, tmp_path_factory):
    """What timm says is asked for once, and kept elsewhere than the user's."""
    pytest.importorskip("timm")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MATLENS_CACHE", str(tmp_path_factory.mktemp("cache")))
        cards((VIT, REGISTERS, SWIN, "test_resnet"))
        yield


def photos(n: int = 3) -> np.ndarray:
    return np.random.default_rng(0).random((n, SIDE, SIDE, 3), dtype=np.float32)


def built(name: str = VIT, side: int = SIDE, **changes: Any) -> Any:
    room = room_of(f"timm/{name}")
    room.seed(1, False)
    return room.build(BuildOrder(f"timm/{name}", 3, (side, side), **changes))


def test_it_is_the_softmax_of_queries_and_keys(torch):
    """PyTorch computes the attention in one piece and never makes these weights: they are worked out from what goes
    into that piece."""
    classifier = built()
    backbone = classifier.network.module.backbone
    outputs: list[Any] = []
    hooks = [block.attn.qkv.register_forward_hook(lambda _, __, output: outputs.append(output))
             for block in backbone.blocks]
    answers = classifier.predict(photos())
    for hook in hooks:
        hook.remove()
    found = classifier.attention(photos())
    heads = backbone.blocks[0].attn.num_heads
    assert found.blocks.shape == (3, len(backbone.blocks), 1 + PATCHES, 1 + PATCHES)
    for number, output in enumerate(outputs):
        queries, keys, _ = output.reshape(3, 1 + PATCHES, 3, heads, -1).permute(2, 0, 3, 1, 4)
        expected = torch.softmax(queries @ keys.transpose(2, 3) / queries.shape[-1] ** 0.5, -1).mean(1)
        np.testing.assert_allclose(found.blocks[:, number], expected.numpy(), atol=1e-5)
    assert all(block.attn.fused_attn for block in backbone.blocks), "it is slower than before for good"
    np.testing.assert_allclose(classifier.predict(photos()), answers, atol=1e-6)


def test_attention_that_looks_at_one_patch_lights_that_patch(torch):
    """Every query is (c, 0, ...), every key the same but that of one patch: with c large all tokens look there."""
    classifier = built()
    backbone = classifier.network.module.backbone
    with torch.no_grad():
        for block in backbone.blocks:
            block.attn.qkv.weight.zero_()
            block.attn.qkv.bias.zero_()
            width = block.attn.qkv.out_features // 3
            block.attn.qkv.bias[0:width:block.attn.head_dim] = 100
            block.norm1.weight.zero_()
            block.norm1.bias.zero_()
    uniform = EXPLAINERS["rollout"].heat(classifier.attention(photos(1)))
    np.testing.assert_allclose(uniform, np.ones((1, 3, 3)), atol=1e-4, err_msg="all keys are alike")

    def look_at_the_fifth(_: Any, __: Any, output: Any) -> Any:
        output = output.clone()
        output[:, 1 + 4, width:2 * width] = 1
        return output

    for block in backbone.blocks:
        block.attn.qkv.register_forward_hook(look_at_the_fifth)
    heat = EXPLAINERS["rollout"].heat(classifier.attention(photos(1)))
    expected = np.zeros((1, 3, 3))
    expected[0, 1, 1] = 1
    np.testing.assert_allclose(heat, expected, atol=1e-2)


@pytest.mark.parametrize(("pooling", "pooled"), [
    ("token", [1, *[0] * (4 + 16)]), ("avg", [*[0] * 5, *[1 / 16] * 16]),
    ("token+avg", [0.5, *[0] * 4, *[1 / 32] * 16])])
def test_what_the_head_pools_is_what_counts(pooling, pooled):
    """Registers go into no head."""
    found = built(REGISTERS, 56, options={"pooling": pooling}).attention(
        np.random.default_rng(0).random((2, 56, 56, 3), dtype=np.float32))
    np.testing.assert_allclose(found.pooled, pooled, atol=1e-6)
    np.testing.assert_allclose(found.blocks.sum(-1), 1, atol=1e-4)
    assert found.grid == (4, 4)


def test_it_is_read_beneath_a_probe_of_several_depths():
    """There the network's parts stand inside of one that makes statistics."""
    probed, plain = built(linear_head=True, features="multi"), built()
    np.testing.assert_allclose(probed.attention(photos()).blocks, plain.attention(photos()).blocks, atol=1e-6)


@pytest.mark.parametrize(("name", "side", "why"), [
    ("test_resnet", 64, "no vision transformer"), (SWIN, 64, "windows")])
def test_other_networks_are_refused_by_name(name, side, why):
    """Half a rollout would look like a whole one."""
    classifier = built(name, side)
    with pytest.raises(ModelError, match=rf"{name}.*{why}.*--method gradcam"):
        classifier.attention(np.zeros((1, side, side, 3), np.float32))


def test_the_command_draws_it(matlens, monkeypatch, drawn, tmp_path):
    """From the model file of a run, beside what every run has; a class of one's own choice is refused."""
    for needed in ("matplotlib.pyplot", "pandas", "sklearn.metrics"):  # which jobs keep out of their process
        importlib.import_module(needed)
    InProcess(monkeypatch, "train", "export", "attention", "timm", "features", "confirm", "draft")
    run = tmp_path / "run"
    code, _, said = matlens("run", "--data", drawn, "--models", f"timm/{VIT}", "--weights", "none", "--epochs", 1,
                            "--img-size", SIDE, "--batch-size", 16, "--out", run, "--quiet")
    assert code == 0, said
    photo = next(drawn.rglob("sky/*.jpg"))
    code, _, said = matlens("explain", run, photo, "--method", "rollout")
    assert code == 0, said
    assert (run / "reports" / f"timm-{VIT}_rollout_images.png").exists()
    code, _, said = matlens("explain", run, photo, "--method", "rollout", "--target", "sky")
    assert code == 2
    assert "--target" in said and "gradcam" in said
