"""Training of the networks: trunks from scenes or a teacher, siamese networks, DELF, whitening.

Nothing here imports ``indexing`` or ``evaluation``: a validation metric comes in as a function
(``Score``) from the scripts ``train_trunk``, ``distill_trunk``, ``train_siamese``,
``train_delf``, ``fit_whitening`` and ``train_all``. What comes out is what ``extractors.weights``
reads.
"""
