"""Show what a detector will see in training: the same as `polyp-aug browse`."""

import sys

from polyp_aug.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["browse"]
    main()
