"""The contract of an extractor: from a photo to float32 descriptors.

The work is cut where its cost and its dependence on learned state are:

``prepare``   crop and resize on the CPU; no network, no learned state.
``describe``  the expensive step (network, SIFT); independent of what is learned from a
              collection, so its results can be stored while a build goes on.
``fit``       learn from the ``describe`` results of a sample of the collection (vocabulary, PCA).
``encode``    the cheap step from there to the final vectors, with the learned state.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from data.base import Box
from data.errors import PlaygroundError

RGB = NDArray[np.uint8]
"""An upright photo or crop, (H, W, 3), RGB."""
Floats = NDArray[np.float32]
Raw = dict[str, NDArray[Any]]
"""What ``describe`` makes: named arrays, nothing else, so that they are stored without pickle."""


@dataclasses.dataclass(frozen=True)
class Card:
    """What a person wants to know before choosing the extractor."""

    title: str
    paper: str  # authors, title, venue, year
    url: str
    idea: str  # what it computes, for a class, two or three sentences
    formula: str  # LaTeX without the dollar signs
    parameters: dict[str, str]  # config field -> meaning, unit, off-value
    licence: str  # of the method's code or patent situation
    cost: str  # in words; measured figures come from the build records


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A crop at the size the extractor wants.

    ``scale`` is prepared px per original px, per axis (x, y); ``origin`` is the crop's corner in
    the original photo. A point p of ``pixels`` lies at
    ``(p + 0.5) / scale - 0.5 + origin`` of the photo (pixel centres on integers).
    """

    pixels: RGB
    scale: tuple[float, float]
    origin: tuple[int, int]

    def to_photo(self, points: Floats) -> Floats:
        """Map (n, 2) x, y of ``pixels`` to the original photo."""
        scale = np.asarray(self.scale, np.float32)
        return ((points + 0.5) / scale - 0.5 + np.asarray(self.origin)).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Features:
    """The vectors of one photo.

    Attributes:
        vectors: (n, D) float32; n is 1 for a global descriptor and anything from 0 for a local
            one.
        geometry: None for a global descriptor, else (n, 4) float32: x, y in px of the original
            photo, scale (relative size of the described patch), score (higher is better).
    """

    vectors: Floats
    geometry: Floats | None = None


class Extractor(abc.ABC):
    """Base of all extractors.

    Subclasses set the class attributes, take their config in ``__init__`` without any work, and
    implement ``prepare``, ``describe`` and ``encode`` (and ``fit`` with ``state`` where they
    learn). All methods but ``fit`` and ``load_state`` leave the object as it is, so that one
    object serves many sessions.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1  # raised when the same config gives other vectors
    local: ClassVar[bool] = False  # many vectors per photo
    fit_sample: ClassVar[int] = 0  # photos that ``fit`` wants to see; 0 = nothing to learn
    metric: ClassVar[str] = "l2"  # distance, smaller is better; unit vectors: 2 - 2 cos
    normalised: ClassVar[bool] = True
    evidence: str = ""  # row of ``retrieval.explain.registry`` that explains a hit; empty: none
    attends: ClassVar[bool] = False  # has ``attention``: which places look at which others
    card: ClassVar[Card]

    def __init__(self, config: Any) -> None:
        self.config = config  # a frozen dataclass, one per method

    @property
    @abc.abstractmethod
    def dim(self) -> int:
        """D of the vectors; known after ``fit`` where it is learned."""

    @property
    def image_size(self) -> int | None:
        """Longer side in px that larger photos are shrunk to; None where it is not so simple."""
        return getattr(self.config, "image_size", None)

    @property
    def photo_bytes(self) -> int:
        """Bytes of one photo's vectors, or more: what a build wants free on the disk."""
        return 4 * 4096  # the longest global descriptor

    def load(self, streams: int = 1) -> Any:
        """The network, loading it if this is the first use (seconds); None without one.

        Args:
            streams: inferences at a time, see ``runtime.Network``; counts at the first use.
        """
        return None

    @property
    def loaded(self) -> bool:
        """Whether ``load`` has nothing left to do."""
        return True

    @abc.abstractmethod
    def prepare(self, photo: RGB, box: Box | None = None) -> Prepared:
        """Crop ``box`` (px of the photo; None: all of it), then resize."""

    @abc.abstractmethod
    def describe(self, prepared: Prepared) -> Raw:
        """The expensive, unlearned step."""

    def describe_batch(self, batch: Sequence[Prepared]) -> list[Raw]:
        """``describe`` for several; networks on a GPU override it."""
        return [self.describe(prepared) for prepared in batch]

    def fit(self, raws: Iterable[Raw]) -> None:  # noqa: B027 (nothing to learn is the default)
        """Learn from the ``describe`` results of a sample (seeded: same sample, same state).

        Args:
            raws: gone through as often as is needed, where it is no iterator.
        """

    def state(self) -> dict[str, NDArray[Any]]:
        """What ``fit`` learned, as named arrays; empty where nothing is learned."""
        return {}

    def load_state(self, state: dict[str, NDArray[Any]]) -> None:  # noqa: B027
        """Take over what ``state`` gave; refuse arrays of wrong shapes."""

    @abc.abstractmethod
    def encode(self, raw: Raw) -> Features:
        """From ``describe``'s result to the final vectors."""

    def attention(self, prepared: Prepared) -> Floats:
        """(h, w, h, w): what each place of the network's map takes from each other; rows sum to 1.

        Only where ``attends``.
        """
        raise NotImplementedError

    def unwrapped(self, prepared: Prepared, direction: Floats) -> tuple[Extractor, Floats]:
        """The extractor underneath, and the direction d in its space.

        ``vectors[0] @ direction`` of this one is ``vectors[0] @ d`` of that one, less what a mean
        that is subtracted in between makes. What is not built on another extractor is itself.

        Args:
            direction: (D,), such as another photo's vector.
        """
        return self, direction

    def weights_identity(self) -> dict[str, str]:
        """``{"source": …, "sha256": …}`` of the network's weights; empty without a network."""
        return {}

    @property
    def learned_from(self) -> frozenset[str]:
        """Fingerprints of collections that something was learned from which must not be used to
        search them; a build refuses these."""
        return frozenset()

    @property
    def note(self) -> str:
        """A sentence about what was reduced for this collection; empty where nothing was."""
        return ""

    def runtime(self) -> str:
        """What computes it here, such as "openvino bf16"; information, not identity."""
        return "numpy"

    def identity(self) -> dict[str, Any]:
        """Everything that decides the vectors but the learned state; JSON-able."""
        return {
            "extractor": self.name,
            "version": self.version,
            "config": dataclasses.asdict(self.config),
            "weights": self.weights_identity(),
        }

    def extract(self, photo: RGB, box: Box | None = None) -> Features:
        """All steps at once, for scripts and tests."""
        return self.encode(self.describe(self.prepare(photo, box)))


def check_photo(photo: RGB) -> RGB:
    """Refuse what is not an upright RGB uint8 photo, naming what came instead."""
    if not isinstance(photo, np.ndarray) or photo.ndim != 3 or photo.shape[2] != 3:
        raise ValueError(f"photo must be (H, W, 3), got {getattr(photo, 'shape', type(photo))}")
    if photo.dtype != np.uint8:
        raise ValueError(f"photo must be uint8, got {photo.dtype}")
    if photo.shape[0] < 1 or photo.shape[1] < 1:
        raise ValueError(f"photo has no pixels: {photo.shape}")
    return photo


def crop(photo: RGB, box: Box | None) -> tuple[RGB, tuple[int, int]]:
    """The box's pixels (a view) and its corner (x0, y0); the whole photo for None."""
    check_photo(photo)
    height, width = photo.shape[:2]
    x0, y0, x1, y1 = box if box is not None else (0, 0, width, height)
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        raise PlaygroundError(
            f"The box {x0},{y0},{x1},{y1} does not lie inside the photo of {width} x {height} px. "
            f"Legal: 0 <= x0 < x1 <= {width} and 0 <= y0 < y1 <= {height}."
        )
    return photo[y0:y1, x0:x1], (x0, y0)


def crop_and_shrink(photo: RGB, box: Box | None, longer_side: int) -> Prepared:
    """The field's query rule: crop first, then the scale that the full photo would get.

    The full photo's longer side would become ``longer_side`` px (never more than it has), and the
    crop is resized by that same factor, so that objects keep the size they have in the database
    (Radenovic et al., cirtorch ``datasets/genericdataset.py``).
    """
    pixels, origin = crop(photo, box)
    factor = min(1.0, longer_side / max(photo.shape[:2]))
    height, width = pixels.shape[:2]
    new_w, new_h = max(1, round(width * factor)), max(1, round(height * factor))
    if (new_w, new_h) != (width, height):
        # INTER_AREA is the antialiased reduction; INTER_LINEAR would alias (see docs of cv2).
        resized = cv2.resize(pixels, (new_w, new_h), interpolation=cv2.INTER_AREA)
        pixels = np.asarray(resized, np.uint8)
    return Prepared(np.ascontiguousarray(pixels), (new_w / width, new_h / height), origin)


def l2_normalise(vectors: Floats, eps: float = 1e-6) -> Floats:
    """Rows to unit length: x / (|x| + eps); a zero row stays zero (shape kept)."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return (vectors / (norms + eps)).astype(np.float32)
