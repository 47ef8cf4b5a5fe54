"""Write captions of a COCO set: the same as `polyp-aug caption`."""

import sys

from polyp_aug.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["caption"]
    main()
