"""Process-wide settings of the numeric libraries, made before the first of them is imported."""

from __future__ import annotations

import os


def configure() -> None:
    """Set what must be set before torch, FAISS or OpenVINO is first imported.

    A value that the user has set is kept.
    """
    # torch, FAISS and scikit-learn each bring an OpenMP pool whose idle threads spin by default.
    # With any other load on the cores a 3 ms search then takes 25 ms; waiting passively costs
    # some 6 to 14 % on a quiet machine and saves up to 8 times on a busy one.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # cuBLAS needs a fixed workspace to give the same result for the same input.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # OpenVINO reports usage unless told not to; nothing here uses the network unasked.
    os.environ.setdefault("OPENVINO_TELEMETRY_OPT_OUT", "1")
