"""`python -m polyp_aug` is the command `polyp-aug`."""

from polyp_aug.cli import main

if __name__ == "__main__":
    main()
