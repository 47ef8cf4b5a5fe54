"""What does a query of a reference database cost, beside its encoder, and beside encoding all references again?

The database is simulated: phantom frames are encoded and stored as ever (they keep their polyps, which changes no
time), then copied with other global features. Queries are mirrored frames: encoded, searched, matched with 8
references, and placed. The arms take turns; files come from the system's cache. Encoding everything again is told from
the phantoms, one by one. The large database has its own processes; their memory counts torch and the encoder too.

Usage: retrieval.py [--references N] [--many N] [--sample N] [--batch N] [--rounds N] [--encoder NAME]
       retrieval.py --query DATABASE {exact,faiss} [--encoder NAME] [--rounds N]     only a database that is there
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.numpy import load_file, save

from polyp_aug.database.folder import DatabaseInfo, ReferenceDatabase, shard_path
from polyp_aug.database.identity import REFERENCES_NAME
from polyp_aug.database.write import DatabaseWriter, NewPolyp, NewReference
from polyp_aug.encoders.patches import PatchEncoder, PatchFeatures
from polyp_aug.encoders.registry import EFFICIENTNET_LITE0, load_encoder
from polyp_aug.images import ImageArray, write_bytes
from polyp_aug.jsonl import append_records
from polyp_aug.keys import Key
from polyp_aug.phantom import Phantom, render_phantom
from polyp_aug.proposers.retrieval.proposer import RetrievalProposer
from polyp_aug.proposers.retrieval.settings import RetrievalSettings
from polyp_aug.scene import Source


class Watched:
    """An encoder that keeps the time it takes."""

    def __init__(self, encoder: PatchEncoder) -> None:
        self.name, self.revision, self.channels = encoder.name, encoder.revision, encoder.channels
        self.patch, self.weights, self.side = encoder.patch, encoder.weights, encoder.side
        self._encoder, self.spent = encoder, 0.0

    def encode(self, images: Sequence[ImageArray]) -> list[PatchFeatures]:
        """As the contract says."""
        start, found = time.perf_counter(), self._encoder.encode(images)
        self.spent += time.perf_counter() - start
        return found


def simulate(path: Path, sample: Sequence[Phantom], encoder: PatchEncoder, count: int) -> None:
    """Write a database of at least `count` references; the copies have the digests of what they are copied from."""
    features = encoder.encode([phantom.image for phantom in sample])
    entries = []
    for row, (phantom, found) in enumerate(zip(sample, features, strict=True)):
        polyps = [NewPolyp(f"{row}#{number}", polyp.region, "polyp") for number, polyp in enumerate(phantom.polyps)]
        entries.append(NewReference(f"0-{row}", f"{row}", Source(f"{row}.png"), phantom.image, polyps, found))
    with DatabaseWriter(path, DatabaseInfo.of(encoder, {})) as writer:
        writer.add(entries)
    stored = ReferenceDatabase(path).references
    tensors = load_file(shard_path(path, 0))
    pooled, generator = tensors["global"], np.random.default_rng(0)
    for shard in range(1, -(-count // len(sample))):
        drawn = generator.normal(pooled.mean(axis=0), pooled.std(axis=0), pooled.shape).astype(np.float32)
        write_bytes(shard_path(path, shard), save(tensors | {"global": drawn}))
        copies = [replace(entry, address=f"{shard}-{entry.row}", shard=shard).to_dict() for entry in stored]
        append_records(path / REFERENCES_NAME, copies)


def ask(proposer: RetrievalProposer, watched: Watched, image: ImageArray) -> tuple[float, float]:
    """Seconds of a query, and of the encoder in it."""
    watched.spent, start = 0.0, time.perf_counter()
    proposer.propose(image, 3, Key(0, "benchmark"))
    return time.perf_counter() - start, watched.spent


def spread(values: npt.NDArray[np.float64]) -> list[float]:
    """Median, smallest and largest, to three digits; the first value warmed up."""
    return [float(f"{value:.3g}") for value in (np.median(values[1:]), values[1:].min(), values[1:].max())]


def query(path: Path, search: str, encoder: str, rounds: int) -> dict[str, object]:
    """Peak memory of this process, and what a query takes beside the encoder."""
    start, database = time.perf_counter(), ReferenceDatabase(path)
    watched = Watched(load_encoder(encoder, side=database.info.side))
    proposer = RetrievalProposer(database, watched, RetrievalSettings(search=search))
    opening, image = time.perf_counter() - start, render_phantom(7).image
    times = 1000 * np.array([ask(proposer, watched, image) for _ in range(rounds + 1)])
    peak = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000)
    beside = spread(times[:, 0] - times[:, 1])
    return {"references": len(database), "opening_s": round(opening, 1), "beside_encoder_ms": beside, "peak_mb": peak}


def compare(path: Path, sample: Sequence[Phantom], watched: Watched, batch: int, rounds: int) -> dict[str, object]:
    """Queries beside the encoder, beside encoding everything again, and beside a batch of queries."""
    proposer = RetrievalProposer(ReferenceDatabase(path), watched)
    frames = [np.ascontiguousarray(sample[number % len(sample)].image[:, ::-1]) for number in range(batch)]
    rows = []
    for _ in range(rounds + 1):
        alone, encoding = np.array([ask(proposer, watched, frame) for frame in frames]).mean(axis=0)
        start = time.perf_counter()
        proposer.propose_many(frames, 3, [Key(0, "benchmark")] * batch)
        together = (time.perf_counter() - start) / batch
        start = time.perf_counter()
        _ = [watched.encode([phantom.image]) for phantom in sample]
        again = len(proposer.database) * (time.perf_counter() - start) / len(sample)
        rows.append((1000 * encoding, 1000 * alone, alone / encoding, (again + alone) / alone, together / alone))
    names = ("encoder_ms", "query_ms", "query_over_encoder", "everything_over_query", f"batch_of_{batch}_over_single")
    columns = {name: spread(values) for name, values in zip(names, np.array(rows).T, strict=True)}
    machine = {"processors": os.cpu_count(), "threads": torch.get_num_threads()}
    return {"encoder": watched.name, "references": len(proposer.database), **columns, **machine}


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser()
    sizes = {"references": 1000, "many": 100_000, "sample": 40, "batch": 16, "rounds": 7}
    for name, size in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=size)
    parser.add_argument("--encoder", default=EFFICIENTNET_LITE0)
    parser.add_argument("--query", nargs=2, metavar=("DATABASE", "SEARCH"))
    arguments = parser.parse_args()
    if arguments.query:
        result = query(Path(arguments.query[0]), arguments.query[1], arguments.encoder, arguments.rounds)
    else:
        sample = [render_phantom(seed, polyps=1) for seed in range(arguments.sample)]
        watched = Watched(load_encoder(arguments.encoder))
        with tempfile.TemporaryDirectory() as folder:
            few, many = Path(folder) / "few", Path(folder) / "many"
            simulate(few, sample, watched, arguments.references)
            simulate(many, sample, watched, arguments.many)
            result = compare(few, sample, watched, arguments.batch, arguments.rounds)
            for search in ("exact", "faiss"):
                command = [sys.executable, __file__, "--query", str(many), search, "--encoder", arguments.encoder]
                result[search] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
