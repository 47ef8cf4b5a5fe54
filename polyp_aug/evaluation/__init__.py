"""Measurements that judge synthetic polyps and the networks that paint them."""
