"""Makes the decoys of `polyp-aug evaluate placement`: boxes on emptied frames where no polyp was.

    make_placement_decoys.py RUN OUT [--count 3] [--seed 77]

RUN is a folder that `polyp-aug remove` wrote. `polyp-aug remove --data OUT/annotations.json --data-images RUN/images`
repaints the boxes as the places of the polyps were, and `polyp-aug evaluate placement --decoys` takes what comes of it.
RUN may as well be the run of the control (`make_placement_control.py`): then no place can be preferred rightly.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from polyp_aug.coco import write_coco
from polyp_aug.evaluation.decoys import decoy_set


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=3)
    parser.add_argument("--seed", type=int, default=77)
    options = parser.parse_args()
    found = decoy_set(options.run, count=options.count, seed=options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    write_coco(found, options.out / "annotations.json")


if __name__ == "__main__":
    main()
