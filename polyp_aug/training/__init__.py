"""Training of the synthesizers' networks on one's own frames."""
