"""FAISS with its traps set right, in one place. Import ``faiss`` from here and nowhere else.

Figures: FAISS 1.15.1, 2 cores, measured for this project.

**Threads of one query.** IndexFlat answers a single query 2 times slower with 2 OpenMP threads
than with 1 (30,000 x 512: 8.9 against 3.8 ms), as it then leaves the scan kernel. Single queries
therefore run on 1 thread, see ``search_threads``. ``omp_set_num_threads`` sets a value of the
*calling thread* (OpenMP: an internal control variable of its task; checked: another Python thread
keeps its own), so this needs no lock with several Streamlit sessions.

**BLAS threshold.** FAISS scans row by row while ``queries * d`` is below
``distance_compute_blas_threshold`` and multiplies matrices from there on. Its default of 128,000
keeps batches of queries from BLAS for far too long (100 queries x 512: 465 against 50 ms with 1
thread), and 20 sends single queries there, too (14.1 against 3.8 ms). The value is global to the
process, so switching it around calls would be a race between sessions. ``BLAS_THRESHOLD`` is one
constant that serves both: single queries up to d = 8,191 scan, 16 queries of 512 multiply.

**Polysemous training.** ``index_factory("PQ16")`` and IVFPQ train 33 times slower for a search
mode that nothing here uses (26.6 against 0.8 s); it is switched off wherever a PQ is trained.

**Thread count and bytes.** QR, SVD and other LAPACK steps (LSH, OPQ, PCA, random rotations,
residual quantisers) round differently with 1 and 2 threads, so an index would depend on the
machine's load settings. They run under ``TRAINING_THREADS``. k-means alone (IVF, PQ) gave equal
bytes with 1, 2, 3, 4 and 8 threads and uses all of them. Who would rather wait less for a graph of
a million vectors sets ``PLAYGROUND_PARALLEL_BUILD=1`` (``scripts.build --parallel``): every step
uses every core then, and two builds may differ in their bytes and, a little, in what they find.

**Clustering warnings.** FAISS prints to standard error when there are fewer than 39 vectors per
centroid. ``min_points_per_centroid = 1`` silences it; the plan's notes tell people instead.

**Untrusted files.** ``read_index`` checks much, but a damaged header may ask for up to 1 TiB of
memory, which FAISS then fills. ``reading`` limits every array to the size of the file; the limit is
global, so files are read one after the other.

**Wrong search parameters.** IndexHNSW and IndexFlat silently ignore a parameter object of the
wrong class, so the objects are made in ``indexing`` only, from the index's own structure.

``OMP_WAIT_POLICY=PASSIVE`` (idle OpenMP threads must not spin) has to be set before the first
import of a numeric library: ``data.environment`` does it.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import threading
from collections.abc import Iterator
from typing import Any

import data  # noqa: F401  (sets the environment of the numeric libraries first)

# FAISS's type stubs cover a part of its classes only.
faiss: Any = importlib.import_module("faiss")

SEED = 1234  # k-means and every other seeded step
BLAS_THRESHOLD = 8_192  # queries * d from which FAISS multiplies matrices
PARALLEL = "PLAYGROUND_PARALLEL_BUILD"  # environment variable; 1: on
TRAINING_THREADS = 1  # where the thread count would change the bytes
POINTS_PER_CENTROID = 39  # FAISS's own lower limit for a well-trained k-means
_COARSE_SAMPLE = 2**18  # vectors that place the cells of an IVF; FAISS: 256 per cell, however many

_READING = threading.Lock()
# Batches of several sessions, such as all local features of their queries, go one after the other:
# each takes every core, and BLAS's threads spin while they wait for one another.
_BATCHES = threading.RLock()


def apply() -> None:
    """Set the process-wide values (again: another package may have changed them)."""
    faiss.cvar.distance_compute_blas_threshold = BLAS_THRESHOLD


apply()


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """Run FAISS on ``count`` threads in this Python thread; others keep their number."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(max(1, count))
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def search_threads(queries: int) -> contextlib.AbstractContextManager[object]:
    """1 thread for a single query; this thread's number for a batch, which waits for others."""
    apply()
    return threads(1) if queries <= 1 else _BATCHES


def parallel() -> bool:
    """Whether steps whose bytes depend on the thread count use every core all the same."""
    return os.environ.get(PARALLEL, "") == "1"


@contextlib.contextmanager
def training_threads() -> Iterator[None]:
    """The fixed thread count of steps whose bytes depend on it, see ``parallel``."""
    apply()
    with threads(os.cpu_count() or 1 if parallel() else TRAINING_THREADS):
        yield


@contextlib.contextmanager
def building() -> Iterator[None]:
    """For a whole build in a process of its own: every core, unless OMP_NUM_THREADS says less."""
    apply()
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    with threads(int(wanted) if wanted.isdigit() else os.cpu_count() or 1):
        yield


@contextlib.contextmanager
def reading(size: int) -> Iterator[None]:
    """While reading an index from a file of ``size`` bytes: no array is larger than the file."""
    with _READING:
        before = faiss.get_deserialization_vector_byte_limit()
        faiss.set_deserialization_vector_byte_limit(max(1, size))
        try:
            yield
        finally:
            faiss.set_deserialization_vector_byte_limit(before)


def quiet_clustering(parameters: Any) -> None:
    """Seed a ClusteringParameters and silence its warning about few vectors."""
    parameters.seed = SEED
    parameters.min_points_per_centroid = 1


def coarse_clustering(parameters: Any, nlist: int) -> None:
    """The same for the cells of an IVF, on a sample whose size does not grow with their number.

    k-means costs cells x sample: 4,000 cells learn from all of a million vectors with FAISS's 256
    per cell, from a quarter of them here (its advice is 39 to 256 per cell).
    """
    quiet_clustering(parameters)
    parameters.max_points_per_centroid = coarse_points(nlist)


def coarse_points(nlist: int) -> int:
    """Vectors per cell that k-means learns from at most."""
    return max(64, min(256, _COARSE_SAMPLE // max(1, nlist)))


def reason(error: BaseException) -> str:
    """The part of a FAISS error that says what is wrong, without C++ names and paths."""
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError):
        return "there is not enough memory"
    found = re.search(r"Error: '(.*?)' failed(?:: (.*))?$", text)
    if found:
        text = found.group(2) or f"FAISS requires {found.group(1)}"
    else:
        text = re.sub(r"^Error in .*? at \S+:\d+: ", "", text)
    return text.rstrip(". ")
