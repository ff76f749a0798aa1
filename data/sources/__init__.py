"""The published data sets, one file each; ``registry.py`` names them."""
