"""What this machine has: a diagnosis to read, and to paste into a report."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import polyp_aug

#: Distribution → extra of polyp_aug that brings it; "" for what is always needed.
PACKAGES = {
    "numpy": "",
    "opencv-python-headless": "",
    "Pillow": "",
    "scipy": "",
    "scikit-learn": "",
    "pycocotools": "",
    "torch": "diffusion",
    "diffusers": "diffusion",
    "transformers": "diffusion",
    "accelerate": "diffusion",
    "peft": "train",
    "tensorboard": "train",
    "mmengine": "mmdet",
    "mmcv": "mmdet",
    "mmdet": "mmdet",
    "albumentations": "albumentations",
    "faiss-cpu": "retrieval",
    "faster-coco-eval": "evaluate",
}


@dataclass(frozen=True)
class Finding:
    """One line of the diagnosis.

    Attributes:
        name: what was looked at.
        value: what was found.
        advice: what to do about it, or "".
    """

    name: str
    value: str
    advice: str = ""


def diagnose(folder: Path) -> list[Finding]:
    """Look at Python, the packages, the accelerators and the disk of `folder`. Imports torch where it is installed."""
    findings = [
        Finding("polyp_aug", polyp_aug.__version__),
        Finding("python", platform.python_version()),
        Finding("platform", platform.platform()),
        Finding("processors", str(os.cpu_count())),
        Finding("free disk", f"{shutil.disk_usage(folder).free / 1e9:.1f} GB"),
    ]
    findings.extend(_package(name, extra) for name, extra in PACKAGES.items())
    findings.extend(_accelerators())
    findings.extend(_operators())
    findings.extend(_successor())
    return findings


def _package(name: str, extra: str) -> Finding:
    try:
        return Finding(name, metadata.version(name))
    except metadata.PackageNotFoundError:
        needed = f"pip install 'polyp_aug[{extra}]'" if extra else f"pip install {name}"
        return Finding(name, "not installed", needed)


def _accelerators() -> list[Finding]:
    if importlib.util.find_spec("torch") is None:
        return []
    import torch

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        return [Finding("accelerators", ", ".join(names))]
    return [Finding("accelerators", "none that torch can use")]


def _operators() -> list[Finding]:
    """MMDetection's detectors need mmcv's compiled operators, which a plain `pip install mmcv` may leave out."""
    if importlib.util.find_spec("mmcv") is None:
        return []
    if importlib.util.find_spec("mmcv._ext") is None:
        advice = "build mmcv with MMCV_WITH_OPS=1 and --no-build-isolation, see CONTRIBUTING.md"
        return [Finding("mmcv operators", "missing", advice)]
    return [Finding("mmcv operators", "compiled")]


def _successor() -> list[Finding]:
    try:
        found = metadata.version("albumentationsx")
    except metadata.PackageNotFoundError:
        return []
    return [
        Finding("albumentationsx", found, "AGPL, takes albumentations' place: install albumentations==2.0.8 instead")
    ]
