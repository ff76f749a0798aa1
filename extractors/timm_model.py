"""Any network that timm knows, with a pooling of choice: ``timm:model=NAME``."""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from data.base import Box
from data.errors import PlaygroundError
from extractors import timm_names
from extractors.base import RGB, Card, Prepared, crop
from extractors.cnn import GlobalNetwork, check_image_size
from extractors.modules import Normalised
from extractors.pooling import POOLINGS, gem, l2n, pool, rule_of
from extractors.weights import check_fits, load_into, read_state, seeded

TOKEN_POOLINGS = ("cls", "avg", "gem")
_ODD = (32, 47)  # px; a network that takes this takes photos of any shape
_RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


@dataclasses.dataclass(frozen=True)
class TimmConfig:
    model: str = "tf_efficientnet_lite0"  # timm's name, or NAME.TAG for one of its checkpoints
    image_size: int = 0  # px, longer side (side of the square); 0: the model's own input size
    pooling: str = ""  # maps: spoc, mac, gem, rmac; tokens: cls, avg, gem; empty: gem or cls
    p: float = 3.0  # GeM's exponent; 1 = the mean of what is above 0


@dataclasses.dataclass(frozen=True)
class Facts:
    """What is known about a model without its weights."""

    channels: int  # D
    layout: str  # of forward_features: "nchw" or "nhwc" (maps), or "tokens" (B, N, D)
    prefix: int  # tokens before those of the patches
    class_token: bool  # whether the first of them stands for the whole photo
    size: tuple[int, int]  # (height, width) in px of the input
    square: bool  # takes exactly this size; else any, and this is the longer side
    mean: tuple[float, ...]  # of RGB in [0, 1]
    std: tuple[float, ...]
    interpolation: str

    @property
    def poolings(self) -> tuple[str, ...]:
        if self.layout != "tokens":
            return POOLINGS
        return TOKEN_POOLINGS if self.class_token else TOKEN_POOLINGS[1:]

    @property
    def usual_pooling(self) -> str:
        return "gem" if self.layout != "tokens" else self.poolings[0]


def _create(name: str) -> Any:
    return timm_names.library().create_model(name, pretrained=False, num_classes=0).eval()


@functools.lru_cache(maxsize=64)
def facts(name: str, image_size: int = 0) -> Facts:
    """Find out about a model on the "meta" device: shapes without memory, weights or network.

    Args:
        image_size: px; 0 for the model's own.

    Raises:
        PlaygroundError: timm has no such model, it gives neither a map nor tokens, or it cannot
            work at this size.
    """
    timm_names.check_name(name)
    with torch.device("meta"), torch.inference_mode():
        try:
            model = _create(name)
            said = timm_names.library().data.resolve_model_data_config(model)
            channels, *size = said["input_size"]
            features = model.forward_features(torch.zeros(1, channels, *size))
        except Exception as error:  # what 1,300 architectures may raise
            raise _useless(name, f"{type(error).__name__}: {str(error)[:120]}") from error
        if channels != 3:
            raise _useless(name, f"it takes {channels} channels instead of RGB")
        layout = _layout(features, model)
        if layout is None:
            shape = tuple(getattr(features, "shape", ())) or type(features).__name__
            raise _useless(name, f"its forward_features gives {shape}")
        square = bool(model.pretrained_cfg.get("fixed_input_size")) or not _takes(model, _ODD)
        if image_size and not square:
            size = [image_size, image_size]
        elif image_size and [image_size, image_size] != size:
            own, size = size, [image_size, image_size]
            if not (_set_side(model, image_size) and _takes(model, (image_size, image_size))):
                raise _wrong_side(name, image_size, own, model)
    prefix = int(getattr(model, "num_prefix_tokens", None) or 0)
    return Facts(
        channels=int(features.shape[-1 if layout != "nchw" else 1]),
        layout=layout,
        prefix=prefix,
        class_token=_class_token(model, prefix),
        size=(size[0], size[1]),
        square=square,
        mean=tuple(said["mean"]),
        std=tuple(said["std"]),
        interpolation=said["interpolation"],
    )


def _useless(name: str, why: str) -> PlaygroundError:
    return PlaygroundError(
        f"The timm model '{name}' has no feature map and no tokens that can be pooled ({why}). "
        f"Legal: models whose forward_features gives (B, C, H, W), (B, H, W, C) or (B, N, C), such "
        f"as {', '.join(timm_names.PRESETS)}."
    )


def _layout(features: Any, model: Any) -> str | None:
    if not isinstance(features, Tensor):
        return None
    if features.ndim == 3:
        return "tokens"
    if features.ndim != 4:
        return None
    # Some models say what they give; of the others, num_features is the number of channels.
    nhwc = getattr(model, "output_fmt", None) == "NHWC" or (
        features.shape[1] != model.num_features and features.shape[3] == model.num_features
    )
    return "nhwc" if nhwc else "nchw"


def _class_token(model: Any, prefix: int) -> bool:
    """Whether the first of the ``prefix`` tokens is a class token; others are registers."""
    if isinstance(said := getattr(model, "has_class_token", None), bool):
        return said and prefix > 0
    return prefix > 0 and getattr(model, "cls_token", None) is not None


def _takes(model: Any, size: tuple[int, int]) -> bool:
    try:
        model.forward_features(torch.zeros(1, 3, *size))
    except Exception:  # assertions, shapes that do not divide, windows that do not fit
        return False
    return True


def _set_side(model: Any, side: int) -> bool:
    """Make a model of a fixed input size take squares of another side; whether it can.

    Positions are resampled. Sides that leave a part of a patch over are refused. Models without
    positions, which only want sides that divide, need nothing.
    """
    if not model.pretrained_cfg.get("fixed_input_size"):
        return True
    patch = getattr(getattr(model, "patch_embed", None), "patch_size", None) or (1, 1)
    if not hasattr(model, "set_input_size") or side % patch[0] or side % patch[1]:
        return False
    try:
        model.set_input_size(img_size=(side, side))
    except Exception:  # windows that do not fit
        return False
    return True


def _wrong_side(name: str, side: int, own: list[int], model: Any) -> PlaygroundError:
    legal = "0 for its own"
    if not model.pretrained_cfg.get("fixed_input_size"):
        legal += ", or a side that its strides and windows divide"
    elif hasattr(model, "set_input_size"):
        patch = getattr(getattr(model, "patch_embed", None), "patch_size", None) or (1, 1)
        legal += f", or a side that its patches ({patch[0]} px) and windows divide"
    return PlaygroundError(
        f"image_size={side} is not possible for the timm model '{name}', whose input is "
        f"{own[1]} x {own[0]} px. Legal: {legal}."
    )


def resized(pixels: RGB, size: tuple[int, int], interpolation: str) -> RGB:
    """Pixels at (height, width), antialiased, by the interpolation that timm's names stand for."""
    if pixels.shape[:2] == size:
        return np.ascontiguousarray(pixels)
    how = _RESAMPLING.get(interpolation, Image.Resampling.BICUBIC)
    image = Image.fromarray(np.ascontiguousarray(pixels)).resize(size[::-1], how)
    return np.array(image, np.uint8)


class ForwardFeatures(nn.Module):
    """``forward_features`` as (B, C, H, W) or (B, N, C)."""

    def __init__(self, model: Any, layout: str) -> None:
        super().__init__()
        self.model = model
        self.layout = layout

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.model.forward_features(x)
        return features.permute(0, 3, 1, 2) if self.layout == "nhwc" else features


def fitting(model: Any, state: Mapping[str, Tensor], origin: str) -> dict[str, Tensor]:
    """A checkpoint's tensors as the model wants them, without those of the classifier.

    Where they do not fit as they are, timm's own conversion of older files is tried.

    Args:
        model: at its own input size; may be on the "meta" device.

    Raises:
        PlaygroundError: naming ``origin`` and the tensors that do not fit.
    """
    named = model.pretrained_cfg.get("classifier") or ()
    classifiers = tuple(f"{one}." for one in ((named,) if isinstance(named, str) else named))
    wanted = model.state_dict()

    def without(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {
            k: v for k, v in tensors.items() if k in wanted or not k.startswith(classifiers or "\0")
        }

    kept = without(state)
    try:
        check_fits(model, kept, origin)
        return kept
    except PlaygroundError as misfit:
        convert = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
        if convert is None:
            raise
        try:
            with torch.no_grad():
                kept = without(convert(dict(state), model))
            check_fits(model, kept, origin)
        except Exception:  # written for the files of their authors, not for any file
            raise misfit from None
        return kept


class TimmModel(GlobalNetwork):
    """A network of timm without its classifier, pooled and L2-normalised.

    Convolutional networks take photos of any shape: the longer side is shrunk to ``image_size``.
    Models of a fixed input size (ViT, Swin, and those that only take sides that divide) get the
    crop resized to their square, whatever its shape (as ``cnn.squash``). With another
    ``image_size`` their positions are resampled once, after loading; the input stays one square,
    which every runtime serves, while ``dynamic_img_size`` is a part of these models only.

    Resizing is antialiased and uses the interpolation that timm names for the checkpoint.
    """

    name = "timm"
    untrained_fallback = False
    card = Card(
        title="timm: any network",
        paper="Wightman: PyTorch Image Models, 2019; each model has a paper of its own, such as "
        "Oquab et al.: DINOv2: Learning robust visual features without supervision, TMLR 2024",
        url="https://github.com/huggingface/pytorch-image-models",
        idea="More than a thousand published networks behind one name. A convolutional one turns "
        "the photo into a feature map, which is pooled as ResNet50's. A transformer turns it into "
        "tokens: one for each patch, often one for the whole photo, which learned to summarise. "
        f"Good starts: {', '.join(timm_names.PRESETS)}.",
        formula=r"v = f/\lVert f\rVert_2,\qquad f = \mathrm{pool}(X)\ \text{or}\ "
        r"t_{\mathrm{cls}}\ \text{or}\ \frac{1}{N}\sum_{i=1}^{N} t_i",
        parameters={
            "model": f"timm's name of the model, such as {', '.join(timm_names.PRESETS)}, "
            "or NAME.TAG for one of its checkpoints",
            "image_size": "longer side in px (never enlarged), or side of the square for models of "
            "a fixed input size; 0: the model's own",
            "pooling": "feature maps: spoc (mean), mac (maximum), gem, rmac; tokens: cls (that of "
            "the whole photo), avg (mean of the patches), gem; empty: gem for maps, cls for tokens "
            "(avg where there is none)",
            "p": "GeM's exponent; values below 0 count as 0",
        },
        licence="Apache-2.0 (timm); the weights' licences vary by checkpoint, see its page on "
        "Hugging Face",
        cost="From a tenth of a ResNet50 (tf_efficientnet_lite0) to many times it "
        "(vit_base_patch14_dinov2 at 518 px).",
    )

    def __init__(self, config: TimmConfig, weights: str = "auto") -> None:
        check_image_size(config.image_size, weights_decide=True)
        self.facts = facts(config.model, config.image_size)
        legal = self.facts.poolings
        if config.pooling and config.pooling not in legal:
            kind = "tokens" if self.facts.layout == "tokens" else "a feature map"
            none = "" if self.facts.class_token or kind != "tokens" else " without one for all"
            raise PlaygroundError(
                f"pooling={config.pooling} is not possible for the timm model '{config.model}', "
                f"which gives {kind}{none}. Legal: {', '.join(legal)}, or nothing for "
                f"{self.facts.usual_pooling}."
            )
        if not 0 < config.p <= 100:
            raise PlaygroundError(f"p={config.p} is not possible. Legal: above 0, at most 100.")
        super().__init__(config, weights)
        self.network_name = f"{timm_names.PREFIX}{config.model}"
        self.pooling = config.pooling or self.facts.usual_pooling

    @property
    def dim(self) -> int:
        return self.facts.channels

    def identity(self) -> dict[str, Any]:
        return super().identity() | rule_of(self.pooling)

    @functools.cached_property
    def image_size(self) -> int:
        """Longer side in px of the network's input."""
        return max(self.facts.size)

    def prepare(self, photo: RGB, box: Box | None = None) -> Prepared:
        pixels, origin = crop(photo, box)
        height, width = pixels.shape[:2]
        if self.facts.square:
            new_h, new_w = self.facts.size
        else:  # the factor of the whole photo, as ``crop_and_shrink``
            factor = min(1.0, self.image_size / max(photo.shape[:2]))
            new_h, new_w = max(1, round(height * factor)), max(1, round(width * factor))
        small = resized(pixels, (new_h, new_w), self.facts.interpolation)
        return Prepared(small, (new_w / width, new_h / height), origin)

    def check_file(self, path: Path) -> None:
        """Refuse a file that is not a checkpoint of this model."""
        with torch.device("meta"):  # shapes without memory
            model = _create(self.config.model)
        fitting(model, read_state(path), str(path))

    def build_network(self) -> nn.Module:
        path = self.weights.path  # before any work: it may be missing
        model: Any = seeded(lambda: _create(self.config.model))
        if path is not None:
            load_into(model, fitting(model, read_state(path), str(path)), str(path))
        own = timm_names.library().data.resolve_model_data_config(model)["input_size"][1:]
        if self.facts.square and tuple(own) != self.facts.size:
            with torch.no_grad():
                _set_side(model, self.facts.size[0])  # ``facts`` has tried it
        features = ForwardFeatures(model, self.facts.layout)
        return Normalised(features, self.facts.mean, self.facts.std).eval()

    def probes(self) -> list[Tensor]:
        """Two sizes where the network takes any, as a size may be frozen when it is traced."""
        sizes = [self.facts.size] if self.facts.square else [(224, 224), (96, 139)]
        seed = torch.Generator().manual_seed(0)
        return [torch.rand(1, 3, *size, generator=seed) for size in sizes]

    def head(self, tensor: Tensor, run: Callable[[Tensor], Tensor]) -> Tensor:
        features = run(tensor)
        if self.facts.layout != "tokens":
            return l2n(pool(features, self.pooling, self.config.p))
        if self.pooling == "cls":
            return l2n(features[:, 0])
        patches = features[:, self.facts.prefix :]
        if self.pooling == "avg":
            return l2n(patches.mean(dim=1))
        return l2n(gem(patches.transpose(1, 2).unsqueeze(3), self.config.p))

    @property
    def untraceable(self) -> str:
        if self.facts.layout != "tokens" or self.pooling != "cls":
            return ""
        return (
            "This descriptor is the transformer's class token, which has looked at all patches: no "
            "patch can be said to make a part of this score. With pooling=avg or gem they can."
        )

    def cells(self, given: Tensor) -> Tensor:
        if self.facts.layout != "tokens":
            return super().cells(given)
        patches = given[0, self.facts.prefix :].sum(dim=1)
        height, width = self.facts.size
        rows = round((len(patches) * height / width) ** 0.5)
        return patches.reshape(rows, -1)
