"""Curating runs: a policy of rules decides which synthetic polyps are good enough to learn from."""
