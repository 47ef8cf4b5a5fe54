"""The command line. It parses, calls the library and prints; it holds no logic of its own."""

from polyp_aug.cli.app import app, main

__all__ = ["app", "main"]
