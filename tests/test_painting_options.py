"""Options of diffusion synthesizers, and the door that loads them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Phantoms
from tiny_diffusion import pipeline

from polyp_aug.coco import read_coco
from polyp_aug.errors import ConfigurationError, MissingDependencyError
from polyp_aug.references import ReferenceBank
from polyp_aug.synthesizers.options import EMBEDDED_GUIDANCE, EMBEDDED_STEPS, GUIDANCE, PaintingOptions
from polyp_aug.synthesizers.polyp_gen import PolypGen, load
from polyp_aug.synthesizers.registry import load_synthesizer, parse_synthesizer, synthesizer_names

HUB_ID = f"org/name@{'0123456789' * 4}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "pipeline"
    pipeline().save_pretrained(path)
    return path


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"device": "gpu"}, "device"),
        ({"device": "cuda:x"}, "device"),
        ({"dtype": "float64"}, "dtype"),
        ({"mode": "tile"}, "mode"),
        ({"context": 0.9}, "context"),
        ({"size": 0}, "size"),
        ({"batch_size": 0}, "batch_size"),
        ({"sampler": "euler"}, "sampler"),
        ({"num_inference_steps": 0}, "num_inference_steps"),
        ({"guidance_scale": 0.0}, "guidance_scale"),
        ({"strength": 1.5}, "strength"),
    ],
)
def test_wrong_values_are_named(values: dict[str, Any], name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"'{name}'.*got"):
        PaintingOptions(**values)


def test_what_decides_the_picture_is_json_without_paths() -> None:
    options = PaintingOptions(weights="mine/w", base="mine/b", lora="mine/l", device="cuda:1", size=64)
    found = options.to_dict()
    assert json.loads(json.dumps(found)) == found
    assert "mine/" not in json.dumps(found)
    assert found["device"] == "cuda"
    assert found["num_inference_steps"] == 50
    assert PaintingOptions().sampling.steps == EMBEDDED_STEPS < PaintingOptions(sampler="dpm++").sampling.steps
    assert found["guidance_scale"] == GUIDANCE < PaintingOptions().sampling.guidance_scale == EMBEDDED_GUIDANCE
    assert PaintingOptions(num_inference_steps=9).sampling.steps == 9
    assert found["size"] == 64
    assert "context" not in PaintingOptions(mode="frame").to_dict()
    assert PaintingOptions(strength=0.5, batch_size=2).given == ("strength", "batch_size")


def test_auto_is_what_the_machine_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    found = PaintingOptions().resolved()
    assert (found.device, found.dtype) == ("cpu", "float32")
    assert found.resolved() == found
    with pytest.raises(ConfigurationError, match="'device' is cuda, and torch finds no such device"):
        PaintingOptions(device="cuda").resolved()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    found = PaintingOptions().resolved()
    assert (found.device, found.dtype) == ("cuda", "float16")
    assert PaintingOptions(device="cpu").resolved().dtype == "float32"
    with pytest.raises(ConfigurationError, match="'device' is cuda:1"):
        PaintingOptions(device="cuda:1").resolved()


def test_settings_are_made_without_torch() -> None:
    code = (
        "import sys; from pathlib import Path; from polyp_aug.generation.config import GenerateConfig;"
        "from polyp_aug.synthesizers.options import PaintingOptions;"
        "GenerateConfig(Path('b'), count=1, synthesizer='polyp_gen', painting=PaintingOptions(weights='w'));"
        "print([name for name in ('torch', 'diffusers', 'transformers') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("module", ["torch", "diffusers", "transformers"])
def test_a_missing_extra_is_named(module: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependencyError, match=rf"{module} is not installed: .*\[diffusion\]"):
        load_synthesizer(str(folder))


def test_a_missing_extra_of_lora_weights_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingDependencyError, match=r"peft is not installed: .*\[diffusion\]"):
        load_synthesizer(str(folder), options=PaintingOptions(lora="lora.safetensors"))


@pytest.mark.parametrize("name", synthesizer_names())
def test_a_name_is_a_name_whatever_folders_there_are(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    assert parse_synthesizer(name) == (name, "")


@pytest.mark.parametrize("text", [HUB_ID, "org/name", "some/where/model.safetensors"])
def test_what_looks_like_weights_is_polyp_gen(text: str) -> None:
    assert parse_synthesizer(text) == ("polyp_gen", text)


def test_a_folder_s_name_is_weights_and_nothing_else_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for text in ("mine", ""):
        with pytest.raises(ConfigurationError, match=rf"\(got '{text}'\)"):
            parse_synthesizer(text)
    (tmp_path / "mine").mkdir()
    assert parse_synthesizer("mine") == ("polyp_gen", "mine")


def test_weights_load_by_the_synthesizer_s_name_or_by_the_options(folder: Path) -> None:
    found = load_synthesizer(str(folder))
    again = load_synthesizer("polyp_gen", options=PaintingOptions(weights=str(folder), size=16, batch_size=3))
    assert isinstance(found, PolypGen)
    assert found.revision == again.revision
    assert (found.capabilities.native_size, again.capabilities.native_size) == (32, 16)


def test_options_that_contradict_each_other_are_named(folder: Path, phantoms: Phantoms, tmp_path: Path) -> None:
    bank = ReferenceBank(read_coco(phantoms.references))
    with pytest.raises(ConfigurationError, match="weights are given twice"):
        load_synthesizer(str(folder), options=PaintingOptions(weights="other"))
    with pytest.raises(ConfigurationError, match="'options' are for polyp_gen"):
        load_synthesizer("transplant", references=bank, options=PaintingOptions())
    with pytest.raises(ConfigurationError, match=r"'strength' below 1 starts from a transplant.*\(got 0\.5\)"):
        load_synthesizer(str(folder), options=PaintingOptions(strength=0.5))
    assert load_synthesizer(str(folder), references=bank, options=PaintingOptions(strength=0.5)).name == "polyp_gen"
    with pytest.raises(ConfigurationError, match="'base' completes 'weights'"):
        load_synthesizer("polyp_gen", options=PaintingOptions(base=str(folder)))
    pipeline().unet.save_pretrained(tmp_path / "checkpoint" / "unet")
    whole = load_synthesizer(str(tmp_path / "checkpoint"), options=PaintingOptions(base=str(folder)))
    assert whole.name == "polyp_gen"


def test_the_package_s_own_weights_are_taken_where_it_has_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "files", lambda _: tmp_path)
    with pytest.raises(ConfigurationError, match="comes without the weights polyp_gen_mini: give 'weights'"):
        load_synthesizer("polyp_gen")
    pipeline().save_pretrained(tmp_path / "assets" / "polyp_gen_mini")
    assert load_synthesizer("polyp_gen").name == "polyp_gen"
