"""Captions: measured facts of polyps and mucosa, and the sentences that say them.

CCIS-Diff (Xie et al., 2024, section 2.1) trains on images, masks and texts that a language model wrote. Here the facts
are measured, and a caption that contradicts them is not taken.
"""
