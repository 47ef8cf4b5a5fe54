"""Benchmarks: detectors trained on real and on synthetic polyps, at equal iterations, with intervals and pairs."""
