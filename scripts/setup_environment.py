"""Sets up the virtual environment `.venv` of this folder; the Makefile calls it, with the standard library only.

    setup_environment.py core               what `make demo` needs
    setup_environment.py full [FOLDER]      everything, MMDetection with mmcv's compiled operators included;
                                            FOLDER may hold a wheel of mmcv that was built before
    setup_environment.py lock               write what `.venv` holds into requirements.lock

Each step leaves alone what is in place already. All pip settings come from pip's own configuration.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"
LOCK = ROOT / "requirements.lock"
NODEPS_LOCK = ROOT / "requirements-nodeps.lock"

MMCV = "mmcv==2.1.0"
#: Extras of the two levels of the environment; `make demo` paints with the package's own diffusion model, at places
#: that a small encoder finds.
CORE_EXTRAS = "[diffusion,encoders]"
FULL_EXTRAS = "[all,dev]"

CHECK_MMCV = """
import torch
from importlib.metadata import version
from mmcv.ops import nms
assert version("mmcv") == "2.1.0", version("mmcv")
boxes = torch.tensor([[0.0, 0.0, 8.0, 8.0], [0.0, 0.0, 8.0, 7.0], [20.0, 20.0, 30.0, 30.0]])
assert nms(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.5)[1].tolist() == [0, 2]
"""
CHECK_OPENCV = """
import re, cv2
assert re.search(r"GUI:\\s+NONE", cv2.getBuildInformation())
"""

LOCK_HEADER = """\
# The exact releases with which this version is tested (CPython 3.11, Linux), build tools included.
# Written by `make lock` from what .venv holds. To change a pin, install the release there, then `make lock`.
# Not in here: mmcv (built from source, see scripts/setup_environment.py) and requirements-nodeps.lock.
"""


def main() -> None:
    """Run the command named by the first argument."""
    match sys.argv[1:]:
        case ["core"]:
            set_up_core()
        case ["full", *folders]:
            set_up_full([Path(folder) for folder in folders])
        case ["lock"]:
            write_lock()
        case _:
            sys.exit(__doc__)


def set_up_core() -> None:
    """Make `.venv` if it is missing, and install the package with what it always needs."""
    if not (BIN / "python").exists() or not works("import pip"):
        say("making .venv")
        run(sys.executable, "-m", "venv", ".venv")
    say("installing the package and its core dependencies")
    pip("install", "--constraint", LOCK, "pip", "setuptools", "wheel")
    pip("install", "--no-build-isolation", "--constraint", LOCK, "--editable", f".{CORE_EXTRAS}")


def set_up_full(wheel_folders: list[Path]) -> None:
    """Install everything that the tests use, and check that it fits together."""
    say("installing all dependencies (about 2 GB)")
    pip("install", "--no-build-isolation", "--requirement", LOCK, "--editable", f".{FULL_EXTRAS}")
    pip("install", "--no-deps", "--requirement", NODEPS_LOCK)
    if not works(CHECK_OPENCV):
        # mmengine asks for opencv-python; its files replace the headless build's and need a desktop's libraries.
        headless = next(line for line in pinned(LOCK) if line.startswith("opencv-python-headless=="))
        pip("install", "--force-reinstall", "--no-deps", headless)
    install_mmcv(wheel_folders)
    check_consistency()


def install_mmcv(wheel_folders: list[Path]) -> None:
    """Install mmcv from the first wheel that works with this torch, or else build one (4 to 12 minutes on two cores).

    Builds are kept, one folder for each release of torch, below `.cache/wheels` or the folder of POLYP_AUG_WHEELS.
    """
    torch = next(line for line in pinned(LOCK) if line.startswith("torch==")).replace("==", "-")
    own = Path(os.environ.get("POLYP_AUG_WHEELS") or ROOT / ".cache" / "wheels") / torch
    if works(CHECK_MMCV):
        return
    for folder in (own, *wheel_folders):
        if any(folder.glob("mmcv-*.whl")):
            say(f"installing mmcv from {folder}")
            if install_wheel(folder):
                return
            say("that wheel does not work with this Python and torch")
    say(f"building mmcv with its operators into {own}; this takes 4 to 12 minutes, once")
    build_mmcv(own)
    if not install_wheel(own):
        run(BIN / "python", "-c", CHECK_MMCV)
        sys.exit(f"the wheel of {MMCV} built into {own} does not work")


def install_wheel(folder: Path) -> bool:
    """Install mmcv from a wheel in `folder`; False where no wheel there fits or its operators don't run."""
    options = ("--force-reinstall", "--no-deps", "--no-index", "--only-binary", ":all:", "--find-links", folder)
    return pip("install", *options, MMCV, check=False) == 0 and works(CHECK_MMCV)


def build_mmcv(folder: Path) -> None:
    """Build the wheel; it appears in `folder` whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"MMCV_WITH_OPS": "1", "FORCE_CUDA": "0", "CFLAGS": "-g0 -O2 -w"}
    environment["PATH"] = f"{BIN}{os.pathsep}{environment['PATH']}"  # ninja
    environment.setdefault("MAX_JOBS", str(len(os.sched_getaffinity(0))))
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        # Without isolation, or it is built without torch and so without operators; pip's own cache of built wheels
        # doesn't know which torch they were made for.
        options = ("--no-deps", "--no-build-isolation", "--no-cache-dir", "--no-binary", "mmcv", "--wheel-dir", scratch)
        pip("wheel", *options, MMCV, environment=environment)
        for wheel in Path(scratch).glob("*.whl"):
            wheel.replace(folder / wheel.name)


def check_consistency() -> None:
    """Stop if `pip check` finds anything, but for the packages of which only data files are used."""
    allowed = tuple(line.split("==")[0] for line in pinned(NODEPS_LOCK))
    found = subprocess.run(
        (BIN / "python", "-m", "pip", "check"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    broken = [line for line in found.stdout.splitlines() if not line.startswith(allowed)]
    if found.returncode and broken:
        sys.exit("pip check:\n" + "\n".join(broken))


def write_lock() -> None:
    """Write the releases in `.venv` into requirements.lock, without local version labels such as +cpu."""
    left_out = {"mmcv", "polyp-aug"} | {normal(line.split("==")[0]) for line in pinned(NODEPS_LOCK)}
    command = (str(BIN / "python"), "-m", "pip", "freeze", "--all", "--exclude-editable")
    frozen = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    pins = [line.split("+")[0] for line in frozen if normal(re.split("[= ]", line)[0]) not in left_out]
    if odd := [line for line in pins if not re.fullmatch(r"[\w.-]+==[\w.!]+", line)]:
        sys.exit(f"not a released version, so it can't be locked: {', '.join(odd)}")
    LOCK.write_text(LOCK_HEADER + "\n".join(pins) + "\n", encoding="utf-8")


def pinned(lock: Path) -> list[str]:
    """The lines `name==version` of a lock file."""
    return [line for line in lock.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]


def normal(name: str) -> str:
    """A project's name in the form in which names are compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def works(code: str) -> bool:
    """Whether Python code runs without an error in `.venv`."""
    return subprocess.run([BIN / "python", "-c", code], capture_output=True, cwd=ROOT, check=False).returncode == 0


def pip(*arguments: str | Path, environment: dict[str, str] | None = None, check: bool = True) -> int:
    """Run pip of `.venv`; returns its exit code, or stops with it when `check` is set."""
    return run(BIN / "python", "-m", "pip", "--quiet", *arguments, environment=environment, check=check)


def run(*command: str | Path, environment: dict[str, str] | None = None, check: bool = True) -> int:
    """Run a command in the project's folder; returns its exit code, or stops with it when `check` is set."""
    code = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
    if check and code:
        sys.exit(code)
    return code


def say(text: str) -> None:
    """One line of progress, before the output of what it announces."""
    print(f"== {text}", flush=True)


if __name__ == "__main__":
    main()
