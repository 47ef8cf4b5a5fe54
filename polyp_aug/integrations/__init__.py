"""Adapters for other libraries: they hold no logic of augmentation."""
