"""The `retrieval` proposer: places like those where polyps were (the retrieval-based mask proposer of Polyp-Gen)."""
