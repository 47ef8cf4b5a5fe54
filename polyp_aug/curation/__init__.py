"""Judging frames and samples: what is good enough to learn from."""
