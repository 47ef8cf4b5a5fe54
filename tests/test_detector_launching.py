"""Several processes: what launchers tell each, and torchrun on a processor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Phantoms

from polyp_aug.errors import ConfigurationError
from polyp_aug.integrations.launchers import Launcher, is_first, state_local_rank, state_ranks
from polyp_aug.integrations.mmdet.configs import read_config
from polyp_aug.integrations.mmdet.launching import launched

ROOT = Path(__file__).resolve().parents[1]
CENTERNET = ROOT / "mmdet_configs" / "centernet" / "centernet_mini_real.py"
NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables without those of a launcher; what a test sets is taken away after it."""
    kept = {name: value for name, value in os.environ.items() if name not in NAMES}
    monkeypatch.setattr(os, "environ", kept)


@pytest.mark.parametrize(
    ("launcher", "told"),
    [
        ("pytorch", ("RANK", "WORLD_SIZE", "LOCAL_RANK")),
        ("slurm", ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID")),
        ("mpi", ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK")),
    ],
)
def test_ranks_come_from_the_launcher(launcher: Launcher, told: tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError, match=f"'launcher' is '{launcher}', but the variable {told[0]} is not set"):
        state_ranks(launcher)
    os.environ.update(zip(told, ("3", "8", "1"), strict=True))
    state_ranks(launcher)
    assert [os.environ[name] for name in NAMES[:3]] == ["3", "8", "1"]
    assert os.environ["MASTER_PORT"] == "29500"
    assert not is_first(launcher)
    with pytest.raises(ConfigurationError, match="MASTER_ADDR is not set"), launched(read_config(CENTERNET), launcher):
        pass


def test_a_process_alone_is_the_first_and_a_launcher_s_word_counts_more_than_the_option() -> None:
    state_ranks("none")
    state_local_rank(None)
    assert is_first("none")
    assert not set(NAMES) & set(os.environ)
    state_local_rank(2)
    state_local_rank(5)
    assert os.environ["LOCAL_RANK"] == "2"


def torchrun(tool: str, *arguments: object) -> str:
    options = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1")
    command = [sys.executable, *options, ROOT / "tools" / tool, *arguments, "--launcher", "pytorch"]
    typed = [str(part) for part in command]
    found = subprocess.run(typed, capture_output=True, text=True, check=False, env=os.environ | {"COLUMNS": "400"})
    assert found.returncode == 0, found.stderr
    return found.stdout


@pytest.mark.slow
def test_torchrun_trains_and_measures_on_a_processor(phantoms: Phantoms, tmp_path: Path) -> None:
    small = {"num_workers": 0, "persistent_workers": False, "batch_size": 2}
    loaders = [f"{loader}_dataloader.{key}={value}" for loader in ("train", "val") for key, value in small.items()]
    options = [part for option in loaders for part in ("--cfg-options", option)]
    sets = ("--data", phantoms.references, "--validation", phantoms.references, "--work-dir", tmp_path / "work")
    printed = torchrun("train_detector.py", CENTERNET, *sets, *options, "--iterations", 2, "--local-rank", 0)
    assert f"Wrote {tmp_path / 'work' / 'iter_2.pth'}" in printed
    used = read_config(tmp_path / "work" / CENTERNET.name)
    assert used.launcher == "pytorch"
    assert used.env_cfg.dist_cfg.backend == "gloo"
    measured = (
        "--data",
        phantoms.references,
        "--out",
        tmp_path / "out",
        "--cfg-options",
        "test_dataloader.num_workers=0",
    )
    alone = ("--cfg-options", "test_dataloader.persistent_workers=False")
    printed = torchrun("test_detector.py", CENTERNET, tmp_path / "work" / "iter_2.pth", *measured, *alone)
    assert "coco/bbox_mAP_50" in printed
    assert json.loads((tmp_path / "out" / "detections.json").read_bytes())
