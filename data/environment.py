"""Process-wide settings of the numeric libraries, made before the first of them is imported."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # of mallopt(3)


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
    # OpenVINO reports usage to Google when it is imported and whenever it converts, each time from
    # a fork of the process, which may hang in it. No variable stops that; where the package that
    # does it cannot be imported, OpenVINO goes without.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    if not any(name == "GLIBC_TUNABLES" or name.startswith("MALLOC_") for name in os.environ):
        _reuse_freed_memory()


def _reuse_freed_memory() -> None:
    """Let glibc keep up to 128 MB of what the main thread frees, as other threads do anyway.

    A scale space of SIFT is freed and wanted again with each photo, and giving it back to the
    system in between costs 17,600 page faults: 84 instead of 48 ms of CPU for 640 x 480 px, and 78
    instead of 149 MB (2026-11-29, a busy AMD EPYC).
    """
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        _ = library.gnu_get_libc_version  # glibc alone has it
        library.mallopt(_MMAP_THRESHOLD, 32 << 20)  # the highest that is legal
        library.mallopt(_TRIM_THRESHOLD, 128 << 20)
