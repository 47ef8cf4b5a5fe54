"""Train CCIS-Diff: the same as `polyp-aug train ccis-diff`."""

import sys

from polyp_aug.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["train", "ccis-diff"]
    main()
