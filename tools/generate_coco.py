"""Generate a COCO data set: the same as `polyp-aug generate`."""

import sys

from polyp_aug.cli import main

if __name__ == "__main__":
    sys.argv.insert(1, "generate")
    main()
