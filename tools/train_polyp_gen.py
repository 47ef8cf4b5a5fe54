"""Train Polyp-Gen: the same as `polyp-aug train polyp-gen`."""

import sys

from polyp_aug.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["train", "polyp-gen"]
    main()
