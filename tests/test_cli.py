"""The command line, as a user types it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from conftest import Phantoms
from diffusers import AutoencoderTiny
from runs import config, digests
from small_chat import save_untrained
from small_database import build
from tiny_diffusion import pipeline

from polyp_aug.captions.dataset import caption_dataset
from polyp_aug.captions.template import TemplateWriter
from polyp_aug.cli import app
from polyp_aug.cli.output import parse_range, parse_shard, parse_shares, parse_size, size_text
from polyp_aug.coco import read_coco, write_coco
from polyp_aug.encoders.registry import load_encoder
from polyp_aug.errors import ConfigurationError
from polyp_aug.evaluation.decoys import decoy_set
from polyp_aug.generation.generate import generate
from polyp_aug.generation.remove import RemoveConfig, remove
from polyp_aug.images import read_image, read_mask, write_png
from polyp_aug.keys import Key
from polyp_aug.phantom import write_phantom_dataset
from polyp_aug.proposers.retrieval.load import load_retrieval
from polyp_aug.proposers.retrieval.settings import RetrievalSettings
from polyp_aug.removal import RemoverSettings
from polyp_aug.synthesizers.options import PaintingOptions

ROOT = Path(__file__).resolve().parents[1]


def run(*arguments: object, program: tuple[str, ...] = ("-m", "polyp_aug")) -> subprocess.CompletedProcess[str]:
    """Run the program in a wide terminal without colours."""
    environment = os.environ | {"COLUMNS": "400", "NO_COLOR": "1", "TERM": "dumb"}
    command = [sys.executable, *program, *(str(argument) for argument in arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def commands() -> list[str]:
    names = [str(command.name) for command in app.registered_commands]
    for group in app.registered_groups:
        assert group.typer_instance is not None
        names += [f"{group.name} {command.name}" for command in group.typer_instance.registered_commands]
    return sorted(names)


def test_every_command_has_help_and_a_row_in_the_docs() -> None:
    documented = (ROOT / "docs" / "commands.md").read_text("utf-8")
    for name in commands():
        assert f"`polyp-aug {name}" in documented, name
    listed = run("--help").stdout
    assert all(name.split()[0] in listed for name in commands())


def test_every_command_has_a_test() -> None:
    text = "".join(file.read_text("utf-8") for file in Path(__file__).parent.glob("test_cli*.py"))
    for name in commands():
        typed = ", ".join(f'"{part}"' for part in name.split())
        assert f"run({typed}" in text, name


def test_generate_writes_what_the_library_writes(phantoms: Phantoms, tmp_path: Path) -> None:
    generate(config(phantoms), tmp_path / "library")
    inputs = ("--backgrounds", phantoms.backgrounds, "--references", phantoms.references)
    options = ("--count", 5, "--seed", 1, "--batch-size", 2, "--polyps-per-image", "1-2")
    result = run("generate", *inputs, *options, "--out", tmp_path / "cli")
    assert result.returncode == 0, result.stderr
    assert f"gallery:   {tmp_path / 'cli' / 'index.html'}" in result.stdout
    assert digests(tmp_path / "cli") == digests(tmp_path / "library")
    tool = run(*inputs, *options, "--out", tmp_path / "tool", program=(str(ROOT / "tools" / "generate_coco.py"),))
    assert tool.returncode == 0, tool.stderr
    assert digests(tmp_path / "tool") == digests(tmp_path / "library")
    again = run("generate", *inputs, *options, "--out", tmp_path / "cli", "--no-resume")
    assert again.returncode == 1
    assert "holds a run already" in again.stderr


def test_a_dry_run_prints_plan_and_cost_and_writes_nothing(phantoms: Phantoms, tmp_path: Path) -> None:
    inputs = ("--backgrounds", phantoms.backgrounds, "--references", phantoms.references)
    result = run("generate", *inputs, "--per-image", 3, "--out", tmp_path / "out", "--dry-run")
    assert result.returncode == 0, result.stderr
    assert "samples" in result.stdout
    assert "18" in result.stdout
    assert "size expected" in result.stdout
    assert list(tmp_path.iterdir()) == []


def test_shards_can_be_merged(phantoms: Phantoms, tmp_path: Path) -> None:
    generate(config(phantoms), tmp_path / "whole")
    for index in (1, 2):
        generate(config(phantoms, shard=(index, 2)), tmp_path / f"s{index}")
    result = run("merge", tmp_path / "s1", tmp_path / "s2", "--out", tmp_path / "merged")
    assert result.returncode == 0, result.stderr
    assert digests(tmp_path / "merged") == digests(tmp_path / "whole")
    mixed = run("merge", tmp_path / "whole", phantoms.references, "--out", tmp_path / "mixed", "--images", "none")
    assert mixed.returncode == 0, mixed.stderr
    assert (tmp_path / "mixed" / "annotations.json").is_file()


def test_preview_writes_a_picture(phantoms: Phantoms, tmp_path: Path) -> None:
    inputs = ("--backgrounds", phantoms.backgrounds, "--references", phantoms.references)
    result = run("preview", *inputs, "--count", 2, "--out", tmp_path / "sheet.png", "--outlines")
    assert result.returncode == 0, result.stderr
    assert read_image(tmp_path / "sheet.png").shape[1] == 1608


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "pipeline"
    pipeline().save_pretrained(path)
    return path


def test_generate_and_preview_paint_with_a_model(phantoms: Phantoms, weights: Path, tmp_path: Path) -> None:
    options = PaintingOptions(
        weights=str(weights), sampler="dpm++", num_inference_steps=2, guidance_scale=1.5, mode="frame", batch_size=2
    )
    generate(
        config(phantoms, synthesizer="polyp_gen", references=None, painting=options, count=3), tmp_path / "library"
    )
    flags = ("--sampler", "dpm++", "--steps", 2, "--guidance", 1.5, "--mode", "frame")
    arguments = ("--backgrounds", phantoms.backgrounds, "--count", 3, "--seed", 1, "--polyps-per-image", "1-2")
    by_name = ("--synthesizer", "polyp_gen", "--weights", weights, "--batch-size", 2, "--out", tmp_path / "cli")
    result = run("generate", *arguments, *flags, *by_name)
    assert result.returncode == 0, result.stderr
    assert digests(tmp_path / "cli") == digests(tmp_path / "library")
    result = run("preview", *arguments, *flags, "--synthesizer", weights, "--out", tmp_path / "sheet.png")
    assert result.returncode == 0, result.stderr
    assert read_image(tmp_path / "sheet.png").shape[1] == 1608


@pytest.mark.parametrize(
    "flag",
    [
        ("--weights", "w"),
        ("--base", "b"),
        ("--lora", "l"),
        ("--device", "cpu"),
        ("--dtype", "float32"),
        ("--sampler", "lcm"),
        ("--steps", 5),
        ("--guidance", 3),
        ("--strength", 0.5),
        ("--mode", "frame"),
        ("--compile",),
        ("--channels-last",),
        ("--safety-checker",),
    ],
    ids=lambda flag: flag[0],
)
def test_flags_that_a_synthesizer_does_not_read_are_refused(
    flag: tuple[object, ...],
) -> None:
    arguments = ["generate", "--backgrounds", "b", "--references", "r", "--count", "1", "--out", "o"]
    with pytest.raises(ConfigurationError, match=r"'painting' \(\w+\) is for the synthesizer polyp_gen"):
        app([*arguments, *(str(part) for part in flag)], standalone_mode=False)


def test_remove_writes_what_the_library_writes(phantoms: Phantoms, weights: Path, tmp_path: Path) -> None:
    options = PaintingOptions(weights=str(weights), num_inference_steps=2, batch_size=4)
    settings = RemoveConfig(phantoms.references, painting=options, margin=9.0, categories=("polyp",), batch_size=4)
    remove(settings, tmp_path / "library")
    flags = ("--weights", weights, "--steps", 2, "--margin", 9, "--category", "polyp", "--batch-size", 4)
    result = run("remove", "--data", phantoms.references, *flags, "--out", tmp_path / "cli")
    assert result.returncode == 0, result.stderr
    assert "10 frames, 16 polyps removed" in result.stdout
    assert digests(tmp_path / "cli") == digests(tmp_path / "library")


def test_a_database_is_built_and_asked(phantoms: Phantoms, weights: Path, tmp_path: Path) -> None:
    database = tmp_path / "db"
    flags = ("--weights", weights, "--steps", 1, "--batch-size", 5, "--side", 256, "--out", database)
    built = run("index", "build", "--data", phantoms.references, *flags)
    assert built.returncode == 0, built.stderr
    assert f"{database}: 10 references added, 0 were there" in built.stdout
    before = digests(database)
    again = run("--data", phantoms.references, *flags, program=(str(ROOT / "tools" / "build_database.py"),))
    assert again.returncode == 0, again.stderr
    assert "0 references added, 10 were there" in again.stdout
    assert digests(database) == before
    shown = run("index", "info", database)
    assert shown.returncode == 0, shown.stderr
    for text in ("efficientnet_lite0 block 10", "removal: num_inference_steps", "none: 10", "CC0-1.0"):
        assert text in shown.stdout
    verified = run("index", "verify", database)
    assert verified.returncode == 0, verified.stderr
    assert "10 references, all as they were stored" in verified.stdout
    frame = sorted(phantoms.backgrounds.iterdir())[0]
    files = ("--out", tmp_path / "mask.png", "--figure", tmp_path / "figure.png")
    asked = run("propose", frame, "--database", database, *files)
    assert asked.returncode == 0, asked.stderr
    proposer = load_retrieval(database, settings=RetrievalSettings(temperature=0.0))
    place = proposer.propose(read_image(frame), 3, Key(0, frame.name))[0]
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), place.region.to_mask(216, 256))
    assert str(place.details["database_reference"]) in asked.stdout
    assert read_image(tmp_path / "figure.png").shape[0] == 480
    write_png(tmp_path / "black.png", np.zeros((216, 256, 3), np.uint8))
    nowhere = run("propose", tmp_path / "black.png", "--database", database, "--out", tmp_path / "none.png")
    assert nowhere.returncode == 1
    assert "no place on mucosa is like that of a reference" in nowhere.stderr
    assert not (tmp_path / "none.png").exists()
    (database / "features" / "00000.safetensors").write_bytes(b"damaged")
    damaged = run("index", "verify", database)
    assert damaged.returncode == 1
    assert "10 of 10 references are damaged" in damaged.stderr


def test_prepare_split_and_statistics(phantoms: Phantoms, tmp_path: Path) -> None:
    source = tmp_path / "Kvasir-SEG"
    (source / "images").mkdir(parents=True)
    (source / "masks").mkdir()
    for number, path in enumerate(sorted((phantoms.references / "images").iterdir())):
        (source / "images" / f"{number}.jpg").write_bytes(path.read_bytes())
        mask = read_image(path)[:, :, 0] > 120
        write_png(source / "masks" / f"{number}.jpg", mask)
    result = run("prepare", "kvasir_seg", source, "--out", tmp_path / "coco")
    assert result.returncode == 0, result.stderr
    assert "10 images" in result.stdout
    result = run("split", tmp_path / "coco", "--share", "train=0.8", "--share", "val=0.2")
    assert result.returncode == 0, result.stderr
    assert "annotations_train.json: 8 images" in result.stdout
    result = run("statistics", tmp_path / "coco")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["images"] == 10
    few = run("statistics", phantoms.references, "--shapes", tmp_path / "shapes.json")
    assert few.returncode == 1
    assert "at least 20 polyps" in few.stderr


def test_low_quality_frames_are_left_out(phantoms: Phantoms, tmp_path: Path) -> None:
    (tmp_path / "images").symlink_to(phantoms.references / "images")
    shutil.copy(phantoms.references / "annotations.json", tmp_path)
    limits = "field: 0.9\nblur: 1\nreflection: 1\nlargest_reflection: 1\nchannel_shift: 9\ninterlacing: 1\n"
    (tmp_path / "strict.yaml").write_text(limits)
    seen = ("--report", tmp_path / "report.json", "--sheet", tmp_path / "sheet.png")
    result = run("filter", tmp_path, "--out", tmp_path / "kept.json", *seen)
    assert result.returncode == 0, result.stderr
    assert "kept.json: 10 of 10 images" in result.stdout
    assert len(json.loads((tmp_path / "report.json").read_bytes())["measures"]) == 10
    assert read_image(tmp_path / "sheet.png").shape[1] == 1576
    result = run("filter", tmp_path, "--out", tmp_path / "none.json", "--thresholds", tmp_path / "strict.yaml")
    assert result.returncode == 0, result.stderr
    assert "at least 0.9" in result.stdout
    assert "none.json: 0 of 10 images" in result.stdout
    result = run("filter", tmp_path, "--out", tmp_path / "annotations.json")
    assert result.returncode == 1
    assert "would be overwritten" in result.stderr


def test_the_demo_paints_polyps_and_removes_them(tmp_path: Path) -> None:
    result = run("demo", "--out", tmp_path / "demo", "--count", 2)
    assert result.returncode == 0, result.stderr
    for name in ("painted", "removed"):
        assert str(tmp_path / "demo" / name / "index.html") in result.stdout
        assert (tmp_path / "demo" / name / "index.html").is_file()
    painted, removed = (read_coco(tmp_path / "demo" / name) for name in ("painted", "removed"))
    assert len(painted.images) == 2
    assert len(painted.annotations) >= 2
    assert len(removed.annotations) < len(painted.annotations)
    records = [json.loads(line) for line in (tmp_path / "demo" / "painted" / "manifest.jsonl").read_text().splitlines()]
    made = [item["provenance"] for record in records for item in record["objects"] if item["origin"] == "synthetic"]
    assert {item["proposer"] for item in made} == {"retrieval"}
    assert read_image(tmp_path / "demo" / "place_and_why.png").shape[0] == 480


def test_an_autoencoder_and_a_pipeline_are_trained(phantoms: Phantoms, tmp_path: Path) -> None:
    data = ("--data", phantoms.backgrounds, "--data", phantoms.references, "--validation", phantoms.references)
    form = ("--channels", 8, "--encoder-blocks", "1,1,1", "--decoder-blocks", "1,1,1")
    small = (*form, "--size", 32, "--batch-size", 2, "--steps", 3, "--save-every", 1)
    begun = run("train", "autoencoder", *data, *small, "--out", tmp_path, "--seconds", 0)
    assert begun.returncode == 0, begun.stderr
    assert "time is up" in begun.stdout
    ended = run("train", "autoencoder", *data, *small, "--out", tmp_path, "--half")
    assert ended.returncode == 0, ended.stderr
    assert "step 3/3" in ended.stderr
    assert (tmp_path / "vae" / "diffusion_pytorch_model.safetensors").is_file()
    small = ("--channels", "32,128", "--text-channels", 16, "--size", 32)
    made = run("train", "small-pipeline", "--autoencoder", tmp_path / "vae", *small, "--out", tmp_path / "start")
    assert made.returncode == 0, made.stderr
    few = ("--steps", 2, "--batch-size", 2, "--examples", 6, "--save-every", 1, "--sample-every", 0)
    start = ("--weights", tmp_path / "start", *data, *few, "--out", tmp_path / "polyp_gen")
    trained = run("train", "polyp-gen", *start)
    assert trained.returncode == 0, trained.stderr
    assert "step 2/2" in trained.stderr
    assert (tmp_path / "polyp_gen" / "pipeline" / "model_index.json").is_file()
    again = run(*start, program=(str(ROOT / "tools" / "train_polyp_gen.py"),))
    assert again.returncode == 0, again.stderr
    assert f"Wrote {tmp_path / 'polyp_gen' / 'pipeline'}" in again.stdout


def test_the_ablations_are_trained_and_measured(phantoms: Phantoms, tmp_path: Path) -> None:
    pipeline().save_pretrained(tmp_path / "start")
    write_phantom_dataset(tmp_path / "real", count=12, seed=900, polyps=(1, 1), width=256, height=216)
    write_phantom_dataset(tmp_path / "normal", count=12, seed=950, polyps=None, width=256, height=216)
    data = ("--data", phantoms.references, "--data", phantoms.backgrounds, "--validation", phantoms.references)
    sets = (
        "--backgrounds",
        tmp_path / "normal" / "images",
        "--real",
        tmp_path / "real",
        "--train",
        phantoms.references,
    )
    budget = ("--steps", 1, "--batch-size", 2, "--examples", 4, "--count", 12, "--sampling-steps", 2)
    weights = ("--weights", tmp_path / "start", "--out", tmp_path / "out")
    result = run("evaluate", "ablation", *weights, *data, *sets, *budget)
    assert result.returncode == 0, result.stderr
    assert "no_lesion_loss" in result.stdout


def test_polyps_are_evaluated(phantoms: Phantoms, tmp_path: Path) -> None:
    document = json.loads((phantoms.references / "annotations.json").read_text("utf-8"))
    first = {item["image_id"]: item for item in reversed(document["annotations"])}
    (tmp_path / "annotations.json").write_text(json.dumps(document | {"annotations": list(first.values())}))
    (tmp_path / "images").symlink_to(phantoms.references / "images")
    sets = ("--real", tmp_path, "--train", tmp_path, "--synthetic", f"same={tmp_path}", "--every-object")
    result = run("evaluate", "polyps", *sets, "--out", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    assert "real train (floor)" in result.stdout
    assert str(tmp_path / "out" / "report.md") in result.stdout
    report = json.loads((tmp_path / "out" / "report.json").read_bytes())
    assert report["extractor"].startswith("EfficientNet-Lite0")
    assert report["memorisation"]["same"]["synthetic_quantiles"]["0.95"] == pytest.approx(0.0, abs=1e-6)
    wrong = run("evaluate", "polyps", "--real", tmp_path, "--synthetic", tmp_path, "--out", tmp_path / "no")
    assert wrong.returncode == 2
    assert "expected NAME=" in wrong.stderr


def test_proposed_places_are_evaluated(phantoms: Phantoms, tmp_path: Path) -> None:
    pipeline().save_pretrained(tmp_path / "weights")
    write_phantom_dataset(tmp_path / "real", count=10, seed=900, polyps=(1, 1), width=256, height=216)
    fast = PaintingOptions(num_inference_steps=1)
    remove(RemoveConfig(tmp_path / "real", str(tmp_path / "weights"), fast), tmp_path / "removed")
    build(phantoms.references, tmp_path / "database", encoder=load_encoder(side=64))
    inputs = ("--run", tmp_path / "removed", "--references", phantoms.references, "--database", tmp_path / "database")
    result = run("evaluate", "placement", *inputs, "--repeats", 2, "--out", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    assert "ratio to random" in result.stdout
    report = json.loads((tmp_path / "out" / "report.json").read_bytes())
    names = ["random", "centre", "reference", "retrieval (reference)", "retrieval (cluster)"]
    assert list(report["proposers"]) == names
    assert [report["proposers"][name]["off_mucosa"] for name in names] == [0] * 5
    # Margins of 15 of 512 pixels leave no room beside most polyps of the phantoms, decoys without any do.
    decoys = decoy_set(tmp_path / "removed", settings=RemoverSettings(margin=0.0, feather=0.0))
    write_coco(decoys, tmp_path / "decoys.json")
    data, images = tmp_path / "decoys.json", tmp_path / "removed" / "images"
    config = RemoveConfig(data, str(tmp_path / "weights"), fast, 0.0, 0.0, data_images=images)
    remove(config, tmp_path / "decoys")
    names = ("--decoys", tmp_path / "decoys", "--repeats", 2, "--out", tmp_path / "preferred")
    result = run("evaluate", "placement", "--run", tmp_path / "removed", *names)
    assert result.returncode == 0, result.stderr
    assert f"beside {len(decoys.annotations)} decoys" in result.stdout
    wrong = run("evaluate", "placement", "--run", tmp_path / "real", "--out", tmp_path / "no")
    assert wrong.returncode == 1
    assert "not a run folder" in wrong.stderr


def own_detections(config: Path, checkpoint: Path, data: Path, folder: Path) -> Path:
    """A set whose objects are what a detector finds inside of each frame: an untrained one finds no polyps."""
    from polyp_aug.integrations.mmdet.inference import detect

    folder.mkdir()
    (folder / "images").symlink_to(data / "images")
    document = json.loads((data / "annotations.json").read_text("utf-8"))
    found = detect(config, checkpoint, [data / "images" / image["file_name"] for image in document["images"]])
    document["annotations"] = []
    for image, own in zip(document["images"], found, strict=True):
        ends = own.boxes[:, :2] + own.boxes[:, 2:]
        inside = ((own.boxes[:, :2] >= 0) & (ends <= (image["width"], image["height"]))).all(axis=1)
        for box in own.boxes[inside].tolist():
            common = {"id": len(document["annotations"]) + 1, "image_id": image["id"], "category_id": 1, "iscrowd": 0}
            document["annotations"].append({**common, "bbox": box, "area": box[2] * box[3]})
    (folder / "annotations.json").write_text(json.dumps(document))
    return folder


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_detector_is_trained_and_its_recall_measured(phantoms: Phantoms, tmp_path: Path) -> None:
    from polyp_aug.integrations.mmdet.checkpoints import read_checkpoint

    config, data = ROOT / "mmdet_configs" / "centernet" / "centernet_mini_real.py", phantoms.references
    small = {"train_cfg.max_iters": 1, "train_cfg.val_interval": 9, "train_dataloader.batch_size": 2}
    small |= {
        f"{name}_dataloader.{key}": 0 for name in ("train", "val") for key in ("num_workers", "persistent_workers")
    }
    options = [text for key, value in small.items() for text in ("--cfg-options", f"{key}={value}")]
    work = ("--data", data, "--validation", data, "--work-dir", tmp_path / "work")
    trained = run("train", "detector", config, *work, *options)
    assert trained.returncode == 0, trained.stderr
    assert f"Wrote {tmp_path / 'work' / 'iter_1.pth'}" in trained.stdout
    document = json.loads((data / "annotations.json").read_text("utf-8"))
    (tmp_path / "annotations.json").write_text(json.dumps(document | {"annotations": []}))
    (tmp_path / "images").symlink_to(data / "images")
    # An untrained network proposes boxes without area; these are as large as the median polyp.
    weights = read_checkpoint(tmp_path / "work" / "iter_1.pth")["state_dict"]
    sides = torch.tensor([item["bbox"][2:] for item in document["annotations"]]).float().median(dim=0).values
    weights["bbox_head.wh_head.2.bias"] = sides * torch.tensor([64 / 256, 64 / 216])
    torch.save({"state_dict": weights}, tmp_path / "detector.pth")
    data = own_detections(config, tmp_path / "detector.pth", data, tmp_path / "own")
    detector = ("--config", config, "--checkpoint", tmp_path / "detector.pth", "--validation", data)
    sets = ("--set", f"real={data}", "--set", f"same={data}", "--every-object", "--empty", f"none={tmp_path}")
    measured = run("evaluate", "recall", *detector, *sets, "--out", tmp_path / "out")
    assert measured.returncode == 0, measured.stderr
    assert "ratio to real" in measured.stdout
    report = json.loads((tmp_path / "out" / "report.json").read_bytes())
    assert report["sets"]["same"]["recall"] == report["sets"]["real"]["recall"]
    assert report["sets"]["same"]["ratio"]["value"] == 1.0
    assert report["empty"]["none"]["frames"] == 10
    both = [f"--detector={name}={config},{tmp_path / 'detector.pth'}" for name in ("a", "b")]
    frames = ("--set", f"real={data}", "--validation", data, "--out", tmp_path / "ap")
    compared = run("evaluate", "detections", *both, *frames)
    assert compared.returncode == 0, compared.stderr
    report = json.loads((tmp_path / "ap" / "report.json").read_bytes())
    assert report["detectors"]["a"] == report["detectors"]["b"]
    assert report["comparisons"][0]["value"] == 0.0
    wrong = run("evaluate", "detections", "--detector", "a=b", *frames)
    assert wrong.returncode == 2
    tool = run("--help", program=(str(ROOT / "tools" / "train_detector.py"),))
    assert "train detector" in tool.stdout
    here = [
        part for key in ("num_workers", "persistent_workers") for part in ("--cfg-options", f"test_dataloader.{key}=0")
    ]
    files = (config, tmp_path / "detector.pth", "--data", data, *here)
    tested = run("test", "detector", *files, "--out", tmp_path / "coco")
    assert tested.returncode == 0, tested.stderr
    assert f"Wrote {tmp_path / 'coco' / 'detections.json'}" in tested.stdout
    scores = json.loads((tmp_path / "coco" / "metrics.json").read_bytes())
    assert scores["coco/bbox_mAP"] == pytest.approx(report["detectors"]["a"]["sets"]["real"]["coco"]["AP"], abs=6e-4)
    tool = run(*files, "--out", tmp_path / "tool", program=(str(ROOT / "tools" / "test_detector.py"),))
    assert tool.returncode == 0, tool.stderr
    assert json.loads((tmp_path / "tool" / "metrics.json").read_bytes()) == scores


def test_a_pool_is_made_and_renewed(phantoms: Phantoms, tmp_path: Path) -> None:
    generate(config(phantoms, count=3), tmp_path / "run")
    made = run("pool", tmp_path / "run", "--out", tmp_path / "pool")
    assert made.returncode == 0, made.stderr
    assert f"3 variants added to {tmp_path / 'pool'}, which holds 3" in made.stdout
    again = run("pool", tmp_path / "run", "--out", tmp_path / "pool")
    assert "0 variants added" in again.stdout
    inputs = ("--backgrounds", phantoms.backgrounds, "--references", phantoms.references)
    amount = ("--batch-size", 2, "--rounds", 2, "--capacity", 4)
    renewed = run("refresh", tmp_path / "pool", *inputs, *amount)
    assert renewed.returncode == 0, renewed.stderr
    assert "round 1: 2 added, 1 retired, 4 in the pool" in renewed.stderr
    assert "round 2: 4 added, 3 retired, 4 in the pool" in renewed.stdout
    wrong = run("pool", tmp_path, "--out", tmp_path / "other")
    assert wrong.returncode == 1
    assert "not a run folder" in wrong.stderr


def test_a_benchmark_reports_what_is_done(phantoms: Phantoms, tmp_path: Path) -> None:
    """Trainings are tested in test_benchmark.py."""
    spec = tmp_path / "spec.yaml"
    frames = phantoms.references
    spec.write_text(
        f"{{real: [{frames}], validation: {frames}, test: {{all: {frames}}}, sizes: [2], seeds: [0], "
        f"detectors: {{D: {{configs: none, iterations: 1}}}}, arms: {{real: {{mode: real}}}}}}"
    )
    result = run("benchmark", spec, "--out", tmp_path / "out", "--report-only")
    assert result.returncode == 0, result.stderr
    assert f"Wrote {tmp_path / 'out' / 'report.md'}" in result.stdout
    tool = run(spec, "--out", tmp_path / "tool", "--report-only", program=(str(ROOT / "tools" / "benchmark.py"),))
    assert tool.stdout == result.stdout.replace(str(tmp_path / "out"), str(tmp_path / "tool"))
    spec.write_text("{}")
    wrong = run("benchmark", spec, "--out", tmp_path / "out")
    assert wrong.returncode == 1
    assert "spec.yaml" in wrong.stderr


def test_yolo_folders_are_written_and_read(phantoms: Phantoms, tmp_path: Path) -> None:
    generate(config(phantoms, count=3), tmp_path / "run")
    sets = ("--set", f"train={phantoms.references}", "--set", f"train={tmp_path / 'run'}")
    both = (*sets, "--set", f"val={phantoms.references}", "--out", tmp_path / "yolo", "--images", "hardlink")
    written = run("export", "yolo", *both)
    assert written.returncode == 0, written.stderr
    assert "train 13, val 10 images" in written.stdout
    assert f"Wrote {tmp_path / 'yolo' / 'data.yaml'}" in written.stdout
    back = run("prepare", "yolo", tmp_path / "yolo", "--out", tmp_path / "back", "--split", "val")
    assert back.returncode == 0, back.stderr
    before, after = read_coco(phantoms.references), read_coco(tmp_path / "back")
    assert [item.bbox for item in after.annotations] == [item.bbox for item in before.annotations]
    other = run("export", "yolo", *sets, "--out", tmp_path / "yolo")
    assert other.returncode == 1
    assert "expected a new or empty folder" in other.stderr
    wrong = run("export", "yolo", "--set", phantoms.references, "--out", tmp_path / "none")
    assert wrong.returncode == 2
    assert "expected SPLIT=COCO" in wrong.stderr


def test_a_run_is_also_written_as_a_yolo_folder(phantoms: Phantoms, tmp_path: Path) -> None:
    generate(config(phantoms), tmp_path / "library")
    inputs = ("--backgrounds", phantoms.backgrounds, "--references", phantoms.references, "--format", "yolo")
    options = ("--count", 5, "--seed", 1, "--batch-size", 2, "--polyps-per-image", "1-2", "--out", tmp_path / "cli")
    limited = run("generate", *inputs, *options, "--limit-bytes", "200K")
    assert limited.returncode == 0, limited.stderr
    assert "stopped by --limit-bytes" in limited.stdout
    whole = run("generate", *inputs, *options)
    assert whole.returncode == 0, whole.stderr
    assert "train 5 images" in whole.stdout
    made = digests(tmp_path / "cli")
    assert {name: made[name] for name in made if not name.startswith("yolo/")} == digests(tmp_path / "library")
    images = tmp_path / "cli" / "yolo" / "images" / "train"
    assert len(list(images.iterdir())) == 5
    assert all(path.samefile(tmp_path / "cli" / "images" / path.name) for path in images.iterdir())
    assert (tmp_path / "cli" / "yolo" / "data.yaml").is_file()


def test_captions_are_written(phantoms: Phantoms, tmp_path: Path) -> None:
    out = ("--seed", 3, "--out")
    result = run("caption", phantoms.references, *out, tmp_path / "cli.jsonl")
    assert result.returncode == 0, result.stderr
    assert "10 captions of" in result.stdout
    assert f"Wrote {tmp_path / 'cli.jsonl'}" in result.stdout
    caption_dataset(phantoms.references, TemplateWriter(), tmp_path / "library.jsonl", seed=3)
    assert (tmp_path / "cli.jsonl").read_bytes() == (tmp_path / "library.jsonl").read_bytes()
    other = run("caption", phantoms.references, "--out", tmp_path / "cli.jsonl")
    assert other.returncode == 1
    assert "was made with seed 3 (got 0)" in other.stderr


def test_captions_of_a_chat_model_are_written(phantoms: Phantoms, tmp_path: Path) -> None:
    out = ("--seed", 3, "--out")
    program = (str(ROOT / "tools" / "caption.py"),)
    save_untrained(tmp_path / "chat")
    chat = ("--writer", "chat", "--model", tmp_path / "chat", "--attempts", 1)
    tool = run(phantoms.references, *chat, *out, tmp_path / "chat.jsonl", program=program)
    assert tool.returncode == 0, tool.stderr
    assert "10 of them by templates, since 1 answer each was rejected" in tool.stdout
    for options, message in ((("--writer", "chat"), "needs '--model'"), (("--model", "x/y"), "is for '--writer chat'")):
        wrong = run("caption", phantoms.references, *options, *out, tmp_path / "none.jsonl")
        assert wrong.returncode == 1
        assert message in wrong.stderr


def test_what_a_detector_will_see_is_shown(phantoms: Phantoms, tmp_path: Path) -> None:
    config = ROOT / "mmdet_configs" / "centernet" / "centernet_mini_real.py"
    inputs = (config, "--data", phantoms.references, "--count", 5, "--seed", 3)
    result = run("browse", *inputs, "--out", tmp_path / "cli")
    assert result.returncode == 0, result.stderr
    assert f"Wrote {tmp_path / 'cli' / 'sheet.png'}" in result.stdout
    assert read_image(tmp_path / "cli" / "005.png").shape == (256, 256, 3)
    tool = run(*inputs, "--out", tmp_path / "tool", program=(str(ROOT / "tools" / "browse_pipeline.py"),))
    assert tool.returncode == 0, tool.stderr
    assert digests(tmp_path / "tool") == digests(tmp_path / "cli")


def test_an_autoencoder_is_evaluated(phantoms: Phantoms, tmp_path: Path) -> None:
    AutoencoderTiny(
        encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8),
        num_encoder_blocks=(1, 1),
        num_decoder_blocks=(1, 1),
    ).save_pretrained(tmp_path / "vae")
    data = ("--weights", tmp_path / "vae", "--data", phantoms.references, "--out", tmp_path / "out")
    result = run("evaluate", "autoencoder", *data, "--size", 32, "--count", 12)
    assert result.returncode == 0, result.stderr
    assert "12 crops of 32 px from 10 frames" in result.stdout
    assert (tmp_path / "out" / "rebuilt.png").is_file()


def test_env_names_what_is_there_and_what_is_not() -> None:
    result = run("env")
    assert result.returncode == 0, result.stderr
    assert "polyp_aug" in result.stdout
    assert "mmcv operators" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("generate",), 2, "Missing option"),
        (("nothing",), 2, "No such command"),
        (("statistics", "/none"), 1, "Error: /none: can't be read"),
        (("prepare", "nothing", "/none", "--out", "/none2"), 1, "nothing"),
        (("split", "/none", "--share", "train"), 2, "expected name=share"),
    ],
)
def test_errors_are_one_clear_line(arguments: tuple[str, ...], code: int, message: str) -> None:
    result = run(*arguments)
    assert result.returncode == code
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_a_damaged_coco_file_is_explained_and_mended_with_fix(phantoms: Phantoms, tmp_path: Path) -> None:
    document = json.loads((phantoms.references / "annotations.json").read_text("utf-8"))
    document["annotations"][0]["id"] = 0
    document["annotations"][1]["bbox"][2] = -5
    (tmp_path / "annotations.json").write_text(json.dumps(document))
    inputs = ("--backgrounds", phantoms.backgrounds, "--references", tmp_path, "--count", 2, "--out", tmp_path / "out")
    images = ("--references-images", phantoms.references / "images")
    result = run("generate", *inputs, *images)
    assert result.returncode == 1
    assert "annotation 0" in result.stderr
    fixed = run("generate", *inputs, *images, "--fix")
    assert fixed.returncode == 0, fixed.stderr


@pytest.mark.parametrize(
    ("parse", "text", "expected"),
    [
        (parse_range, "2", (2, 2)),
        (parse_range, "1-3", (1, 3)),
        (parse_shares, "0.08-.45", (0.08, 0.45)),
        (parse_shard, "2/8", (2, 8)),
        (parse_size, "1500", 1500),
        (parse_size, "1.5G", 1_500_000_000),
        (parse_size, "20 mb", 20_000_000),
    ],
)
def test_values_from_text(parse: object, text: str, expected: object) -> None:
    assert parse(text) == expected  # type: ignore[operator]


@pytest.mark.parametrize("parse", [parse_range, parse_shares, parse_shard, parse_size])
@pytest.mark.parametrize("text", ["", "x", "1-", "/3", "-1", "1-2-3"])
def test_wrong_text_is_named(parse: object, text: str) -> None:
    with pytest.raises(typer.BadParameter, match=f"got {text!r}"):
        parse(text)  # type: ignore[operator]


@pytest.mark.parametrize(("size", "text"), [(0, "0 B"), (999, "999 B"), (12_345, "12.3 kB"), (5e12, "5.0 TB")])
def test_sizes_for_people(size: float, text: str) -> None:
    assert size_text(size) == text


def test_frames_are_made_from_masks_and_captions(phantoms: Phantoms, tmp_path: Path) -> None:
    pipeline().save_pretrained(tmp_path / "weights")
    data = phantoms.references
    assert run("caption", data, "--out", tmp_path / "captions.jsonl").returncode == 0
    captioned = ["--captions", tmp_path / "captions.jsonl", "--validation-captions", tmp_path / "captions.jsonl"]
    small = ["--size", 32, "--steps", 2, "--batch-size", 2, "--examples", 4, "--tracker", "none", "--sample-steps", 2]
    where = ["--weights", tmp_path / "weights", "--data", data, "--validation", data, "--out", tmp_path / "trained"]
    found = run("train", "ccis-diff", *where, *captioned, *small, "--small-text-encoder", "--no-blur-mask")
    assert found.returncode == 0, found.stderr
    assert "step 2/2" in found.stderr
    weights = tmp_path / "trained" / "pipeline"
    assert not json.loads((weights / "controlnet" / "config.json").read_bytes())["blur_mask"]

    made = ["--synthesizer", weights, "--references", data, "--steps", 2, "--no-check"]
    found = run("generate", *made, "--count", 3, "--attribute", "shape=pedunculated", "--out", tmp_path / "drawn")
    assert found.returncode == 0, found.stderr
    assert "3 frames with 3 polyps" in found.stdout
    assert "pedunculated" in (tmp_path / "drawn" / "manifest.jsonl").read_text("utf-8")
    assert run("preview", *made, "--count", 2, "--out", tmp_path / "sheet.png").returncode == 0
    dry = run("generate", *made, "--count", 3, "--out", tmp_path / "none", "--dry-run")
    assert "new polyps expected" in dry.stdout
    assert not (tmp_path / "none").exists()

    found = run("generate", *made, "--captions", tmp_path / "captions.jsonl", "--out", tmp_path / "anew")
    assert "10 frames" in found.stdout, found.stderr
    captions = ["--captions", tmp_path / "captions.jsonl", "--train-captions", tmp_path / "captions.jsonl"]
    sets = ["--real", data, "--train", data, "--run", f"anew={tmp_path / 'anew'}"]
    found = run("evaluate", "frames", *sets, *captions, "--out", tmp_path / "report")
    assert found.returncode == 0, found.stderr
    assert "Kernel distance of whole frames" in found.stdout


def test_the_branch_is_ablated(phantoms: Phantoms, tmp_path: Path) -> None:
    pipeline().save_pretrained(tmp_path / "weights")
    data = phantoms.references
    assert run("caption", data, "--out", tmp_path / "captions.jsonl").returncode == 0
    where = ["--weights", tmp_path / "weights", "--data", data, "--validation", data, "--real", data, "--train", data]
    small = ["--steps", 1, "--batch-size", 2, "--examples", 2, "--sampling-steps", 2, "--seed", 3]
    captions = ["--captions", f"{data}={tmp_path / 'captions.jsonl'}"]
    found = run("evaluate", "branch-ablation", *where, *captions, *small, "--out", tmp_path / "out")
    assert found.returncode == 0, found.stderr
    assert "no_text_aware, seed 3: step 1/1" in found.stderr
    assert "The full model less" in found.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--synthesizer", "ccis_diff", "--count", 1), "'--references' must be given"),
        (("--synthesizer", "ccis_diff", "--references", "r", "--backgrounds", "b"), "'--backgrounds' is for painting"),
        (
            ("--synthesizer", "ccis_diff", "--references", "r", "--count", 1, "--mode", "crop"),
            "'--mode' is for painting",
        ),
        (("--synthesizer", "ccis_diff", "--references", "r"), "'count' must be given"),
        (("--synthesizer", "ccis_diff", "--references", "r", "--count", 1, "--mask-shares", "1,2"), "4 numbers"),
        (("--synthesizer", "ccis_diff", "--references", "r", "--count", 1, "--attribute", "colour=blue"), "blue"),
        (("--backgrounds", "b", "--count", 1, "--attribute", "colour=pale"), "'--attribute' is for the synthesizer"),
        (("--backgrounds", "b", "--count", 1, "--no-check"), "'--no-check' is for the synthesizer"),
        (("--count", 1), "'--backgrounds' must be given"),
    ],
)
def test_flags_of_another_kind_of_run_are_named(arguments: tuple[object, ...], message: str, tmp_path: Path) -> None:
    found = run("generate", *arguments, "--out", tmp_path / "out")
    assert found.returncode == 1
    assert message in found.stderr
