"""Experiments with indexes: what compresses well, and what breaks an index.

    rows = lab.measure("demo", "gem-siamese", "filters", n=10_000)

One file per experiment behind ``base.Experiment``, one row each in ``registry.py``. Every figure is
measured over a collection's vectors, padded with distractors to a size at which indexes differ.
"""
