"""What all synthesizers with diffusion models share: where weights come from, what identifies them, schedulers."""
