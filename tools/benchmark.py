"""Compare detectors trained on real and on synthetic polyps: the same as `polyp-aug benchmark`."""

import sys

from polyp_aug.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["benchmark"]
    main()
