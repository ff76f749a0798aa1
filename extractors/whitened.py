"""Any global extractor, whitened by what was learned from another collection.

``python -m scripts.fit_whitening`` learns it; ``whitened:by=NAME`` uses it.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from data.artefact import file_sha256
from data.base import Box
from data.errors import PlaygroundError
from data.paths import check_name, weights_root
from extractors import registry
from extractors.base import RGB, Card, Extractor, Features, Floats, Prepared, Raw, l2_normalise

HEADER = "whitening"  # entry of the file's header, JSON
KINDS = ("lw", "pca-w")


@dataclasses.dataclass(frozen=True)
class WhitenedConfig:
    by: str = ""  # name of a learned whitening, which knows its extractor
    dim: int | None = None  # leading dimensions kept of the whitened vector; none = all


@dataclasses.dataclass(frozen=True)
class Learned:
    """A whitening as it was saved, checked.

    Attributes:
        m: (D,) float32.
        P: (d, D) float32, d at most D; the first rows matter most.
        about: kind, extractor (its spec), version and weights of it, collection, fingerprint.
    """

    m: NDArray[np.float32]
    P: NDArray[np.float32]
    about: dict[str, Any]
    sha256: str


def whitening_path(name: str) -> Path:
    return weights_root() / "whitening" / f"{check_name(name, 'whitening')}.safetensors"


def learned_names() -> list[str]:
    """The whitenings on this machine."""
    return sorted(path.stem for path in (weights_root() / "whitening").glob("*.safetensors"))


def read_whitening(name: str) -> Learned:
    """Read a whitening by name.

    Raises:
        PlaygroundError: there is none, or it is damaged.
    """
    known = ", ".join(learned_names()) or "none yet"
    learn = "Learn one: python -m scripts.fit_whitening --help"
    if not name:
        raise PlaygroundError(f"whitened needs by=NAME. Here are: {known}. {learn}")
    path = whitening_path(name)
    if not path.is_file():
        raise PlaygroundError(f"There is no whitening '{name}'. Here are: {known}. {learn}")
    try:
        with safetensors.safe_open(str(path), framework="np") as file:
            about = json.loads((file.metadata() or {}).get(HEADER, "null"))
        tensors = safetensors.numpy.load_file(path)
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise _damaged(path, str(error)) from None
    keys = ("kind", "extractor", "version", "fingerprint")
    if not isinstance(about, dict) or any(key not in about for key in keys):
        raise _damaged(path, "its header does not say what it was learned from")
    if tensors.keys() != {"m", "P"}:
        raise _damaged(path, f"it holds {', '.join(tensors) or 'nothing'} instead of m and P")
    m, p = tensors["m"], tensors["P"]
    fits = m.ndim == 1 and p.ndim == 2 and len(m) == p.shape[1] and 1 <= len(p) <= p.shape[1]
    if not fits or not np.isfinite(m).all() or not np.isfinite(p).all():
        raise _damaged(path, f"m {m.shape} and P {p.shape} are no whitening")
    return Learned(m.astype(np.float32), p.astype(np.float32), about, file_sha256(path))


def _damaged(path: Path, why: str) -> PlaygroundError:
    return PlaygroundError(
        f"{path} cannot be read as a whitening: {why}. Learn it again: "
        f"python -m scripts.fit_whitening --help"
    )


class Whitened(Extractor):
    """Another extractor's global vectors after y = P (x - m), L2-normalised."""

    name = "whitened"
    uses_weights = True
    card = Card(
        title="Learned whitening",
        paper="Jegou, Chum: Negative evidences and co-occurrences in image retrieval, ECCV 2012; "
        "Radenovic, Tolias, Chum: Fine-tuning CNN image retrieval with no human annotation, "
        "TPAMI 2019",
        url="https://arxiv.org/abs/1711.02512",
        idea="Dimensions of a descriptor that always rise and fall together count several times. "
        "Whitening turns and scales the space until they count once. PCA-w needs photos only; Lw "
        "also needs labels, and shrinks what differs between photos of one landmark. It is "
        "learned from another collection than the one that is searched: learning it there would "
        "be looking at the answers.",
        formula=r"y = \frac{P\,(x - m)}{\lVert P\,(x - m)\rVert}",
        parameters={
            "by": "name of a learned whitening; it knows which extractor it belongs to",
            "dim": "leading dimensions kept; none = all",
        },
        licence="MIT (this project's code)",
        cost="That of the extractor underneath; the product with P is negligible beside it.",
    )

    def __init__(self, config: WhitenedConfig, weights: str = "auto") -> None:
        if config.dim is not None and config.dim < 1:
            raise PlaygroundError(f"dim={config.dim} is not possible. Legal: none, or 1 or more.")
        super().__init__(config)
        self._weights = weights

    @functools.cached_property
    def _learned(self) -> Learned:
        learned = read_whitening(self.config.by)
        if self.config.dim is not None and self.config.dim > len(learned.P):
            raise PlaygroundError(
                f"dim={self.config.dim} is more than the whitening '{self.config.by}' has. Legal: "
                f"none, or 1 to {len(learned.P)}."
            )
        return learned

    @functools.cached_property
    def _base(self) -> Extractor:
        about = self._learned.about
        base = registry.create(str(about["extractor"]), weights=self._weights)
        weights = base.weights_identity().get("sha256", "")
        then, now = (about["version"], about.get("weights_sha256", "")), (base.version, weights)
        if then != now:
            raise PlaygroundError(
                f"The whitening '{self.config.by}' was learned from other descriptors than "
                f"{about['extractor']} gives here: its weights or its version differ. Learn it "
                f"again: python -m scripts.fit_whitening --help"
            )
        check_whitenable(base, str(about["extractor"]))
        return base

    @property
    def evidence(self) -> str:  # type: ignore[override]
        return self._base.evidence

    def unwrapped(self, prepared: Prepared, direction: Floats) -> tuple[Extractor, Floats]:
        p = self._learned.P[: self.dim]
        vector = self._base.encode(self._base.describe(prepared)).vectors[0]
        length = np.linalg.norm((vector - self._learned.m) @ p.T) + 1e-6  # as ``l2_normalise``
        return self._base.unwrapped(prepared, np.asarray(direction @ p / length, np.float32))

    @property
    def learned_from(self) -> frozenset[str]:
        return self._base.learned_from | {str(self._learned.about["fingerprint"])}

    @property
    def dim(self) -> int:
        return int(self.config.dim or len(self._learned.P))

    def weights_identity(self) -> dict[str, str]:
        return {**self._base.weights_identity(), "whitening": self._learned.sha256}

    def runtime(self) -> str:
        return self._base.runtime()

    def load(self, streams: int = 1) -> Any:
        return self._base.load(streams)

    @property
    def loaded(self) -> bool:
        return self._base.loaded

    def prepare(self, photo: RGB, box: Box | None = None) -> Prepared:
        return self._base.prepare(photo, box)

    def describe(self, prepared: Prepared) -> Raw:
        return self._base.describe(prepared)

    def describe_batch(self, batch: Sequence[Prepared]) -> list[Raw]:
        return self._base.describe_batch(batch)

    def encode(self, raw: Raw) -> Features:
        vectors = self._base.encode(raw).vectors
        learned = self._learned
        if vectors.shape[1] != len(learned.m):
            raise PlaygroundError(
                f"The whitening '{self.config.by}' is for vectors of {len(learned.m)} dimensions, "
                f"and {learned.about['extractor']} gives {vectors.shape[1]}. Learn it again."
            )
        whitened = (vectors - learned.m) @ learned.P[: self.dim].T
        return Features(l2_normalise(np.asarray(whitened, np.float32)))


def check_whitenable(extractor: Extractor, spec: str) -> None:
    """Refuse what has no one unit vector per photo, or learns from the searched collection."""
    if extractor.local or extractor.fit_sample or not extractor.normalised:
        raise PlaygroundError(
            f"{spec} cannot be whitened: that needs one normalised vector per photo which does not "
            f"depend on the collection, such as those of hog, resnet50, vgg16 or gem-siamese."
        )
