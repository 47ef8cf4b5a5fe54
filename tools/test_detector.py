"""Measure a detector: the same as `polyp-aug test detector`."""

import sys

from polyp_aug.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["test", "detector"]
    main()
