"""Auditing sets: whether anything of an evaluation set has come into what a detector is trained on."""
