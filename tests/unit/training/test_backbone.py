"""Which layers train."""

from pathlib import Path

import numpy as np
import pytest

from lesionflow.errors import UserError
from lesionflow.models.backbones import BACKBONES
from lesionflow.models.classifier import backbone_of, blocks, build_core, set_trainable
from lesionflow.models.weights import load_backbone_weights


def test_the_trained_share_snaps_to_whole_blocks():
    core = build_core("tiny", 32, 0.1, 7)
    names = [name for name, _ in blocks(core, "tiny")]
    assert names == ["stem", "block1a", "block2a", "top"]
    # 12 layers: five in the stem (input, rescaling, conv, norm, activation), three a block, one on top.
    assert set_trainable(core, "tiny", 0.0, pretrained=True) == "head"
    assert set_trainable(core, "tiny", 0.5, pretrained=True) == "block1a"
    assert set_trainable(core, "tiny", 0.75, pretrained=True) in ("block1a", "stem")
    assert set_trainable(core, "tiny", 0.3, pretrained=True) == "block2a"
    assert set_trainable(core, "tiny", 1.0, pretrained=True) == "stem"
    for name, layers in blocks(core, "tiny"):
        convolutions = [layer.trainable for layer in layers if layer.name.endswith("_conv")]
        assert len(set(convolutions)) <= 1, name


@pytest.mark.parametrize("backbone", sorted(BACKBONES))
def test_every_backbone_has_blocks_between_its_stem_and_its_top(backbone: str):
    core = build_core(backbone, 64, 0.1, 7)
    names = [name for name, _ in blocks(core, backbone)]
    assert (names[0], names[-1]) == ("stem", "top")
    assert set_trainable(core, backbone, 0.5, pretrained=True) in names[1:-1]
    assert core.output_shape == (None, 7)


def test_batchnorm_never_trains_when_the_start_is_pretrained():
    core = build_core("tiny", 32, 0.1, 7)
    set_trainable(core, "tiny", 1.0, pretrained=True)
    assert [layer.trainable for layer in backbone_of(core).layers if layer.name.endswith("_bn")] == [False] * 3


def test_from_scratch_everything_trains_whatever_the_share():
    core = build_core("tiny", 32, 0.1, 7)
    assert set_trainable(core, "tiny", 0.0, pretrained=False) == "stem"
    assert all(layer.trainable for layer in backbone_of(core).layers)


def test_weights_of_another_network_are_refused(tmp_path: Path, tiny_weights: Path):
    core = build_core("tiny", 32, 0.1, 7)
    with pytest.raises(UserError, match="no starting weights"):
        load_backbone_weights(core, tmp_path / "absent.weights.h5")
    text = tmp_path / "text.weights.h5"
    text.write_text("not weights")
    with pytest.raises(UserError, match="do not fit"):
        load_backbone_weights(core, text)
    import keras

    other = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    other.save_weights(tmp_path / "other.weights.h5")
    with pytest.raises(UserError, match="do not fit"):
        load_backbone_weights(core, tmp_path / "other.weights.h5")
    load_backbone_weights(core, tiny_weights)


def test_real_backbone_loads_its_weights_and_snaps_to_block_boundaries(real_data: Path):
    core = build_core("efficientnetv2b0", 64, 0.1, 7)
    before = backbone_of(core).get_weights()
    load_backbone_weights(core, real_data / "weights" / "efficientnetv2b0_notop.weights.h5")
    changed = [not np.array_equal(a, b) for a, b in zip(before, backbone_of(core).get_weights(), strict=True)]
    assert np.mean(changed) > 0.9
    names = [name for name, _ in blocks(core, "efficientnetv2b0")]
    assert names[:2] == ["stem", "block1a"]
    assert names[-2:] == ["block6h", "top"]
    first = set_trainable(core, "efficientnetv2b0", 0.75, pretrained=True)
    assert first in names[1:-1]
    for name, layers in blocks(core, "efficientnetv2b0"):
        convolutions = {layer.trainable for layer in layers if layer.name.endswith(("conv", "conv2"))}
        assert convolutions <= {names.index(name) >= names.index(first)}, name
