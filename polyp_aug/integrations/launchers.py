"""Programs that start one training in several processes, and what they tell each process."""

from __future__ import annotations

import os
from typing import Literal

from polyp_aug.errors import ConfigurationError

Launcher = Literal["none", "pytorch", "slurm", "mpi"]

#: What torch reads: the process's number, how many there are, and its number on its machine.
_NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK")

#: Launcher → where it writes the same. `pytorch` is torchrun, `mpi` Open MPI's mpirun.
_VARIABLES = {
    "pytorch": _NAMES,
    "slurm": ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"),
    "mpi": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
}

#: torch's own port, where the environment names no other.
_PORT = "29500"


def state_ranks(launcher: Launcher) -> None:
    """Write what a launcher told this process into the environment, under the names that torch reads.

    Raises:
        ConfigurationError: the launcher did not start this process.
    """
    if launcher == "none":
        return
    for name, variable in zip(_NAMES, _VARIABLES[launcher], strict=True):
        if variable not in os.environ:
            raise ConfigurationError(
                f"'launcher' is {launcher!r}, but the variable {variable} is not set: the launcher starts the program"
            )
        os.environ[name] = os.environ[variable]
    os.environ.setdefault("MASTER_PORT", _PORT)


def state_local_rank(rank: int | None) -> None:
    """Write this process's number on its machine into the environment, unless a launcher did so; None: unknown."""
    if rank is not None:
        os.environ.setdefault("LOCAL_RANK", str(rank))


def is_first(launcher: Launcher) -> bool:
    """Whether this process is the one that writes and prints; after `state_ranks`."""
    return launcher == "none" or os.environ["RANK"] == "0"
