"""The lessons, as data: one file each, listed in ``registry.py``."""
