"""Build a reference database: the same as `polyp-aug index build`."""

import sys

from polyp_aug.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["index", "build"]
    main()
