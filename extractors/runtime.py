"""What runs a network here: OpenVINO on a CPU where installed, else torch; CUDA where torch
sees a GPU.

``PLAYGROUND_RUNTIME`` (auto, openvino, torch) overrides the choice. Measured on 2 cores with
bfloat16: OpenVINO is 2.2 to 3.3 times as fast as torch in fp32, torch with bfloat16 autocast 1.6
to 2.1 times; the descriptors agree to a cosine of 0.999.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import threading
import warnings
from collections.abc import Sequence
from queue import SimpleQueue
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from data.errors import PlaygroundError

RUNTIMES = ("auto", "openvino", "torch")
AGREEMENT = 0.99  # cosine of unpooled features in bfloat16 and in fp32; pooled ones agree better


def choose() -> str:
    """ "cuda", "openvino" or "torch", by what is installed and ``PLAYGROUND_RUNTIME``."""
    wanted = os.environ.get("PLAYGROUND_RUNTIME", "auto")
    if wanted not in RUNTIMES:
        raise PlaygroundError(f"PLAYGROUND_RUNTIME is {wanted!r}. Legal: {', '.join(RUNTIMES)}.")
    has_openvino = importlib.util.find_spec("openvino") is not None
    if wanted == "openvino" and not has_openvino:
        raise PlaygroundError(
            "PLAYGROUND_RUNTIME is openvino, which is not installed. Run: pip install openvino"
        )
    if wanted == "auto" and torch.cuda.is_available():
        return "cuda"
    return "openvino" if has_openvino and wanted != "torch" else "torch"


def cpu_has_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 in hardware; without it bfloat16 is slower than fp32."""
    probe = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    amx = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return bool((probe and probe()) or (amx and amx()))


def fold_batchnorm(module: nn.Module) -> nn.Module:
    """Fold every BatchNorm into the convolution before it, in place (evaluation mode only)."""
    for parent in list(module.modules()):
        names = list(parent._modules)
        for first, second in itertools.pairwise(names):
            conv, norm = parent._modules[first], parent._modules[second]
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                parent._modules[first] = fuse_conv_bn_eval(conv, norm)
                # timm's BatchNorms have their activation inside.
                parent._modules[second] = getattr(norm, "act", None) or nn.Identity()
    return module


class Network:
    """A module ready for inference: (B, 3, H, W) float32 in [0, 1] to a feature map.

    Thread-safe: ``streams`` inferences at a time, others wait.

    Args:
        module: in evaluation mode; taken over (its BatchNorms may be folded).
        streams: 1 gives one inference every core. More share the cores out, on OpenVINO alone: each
            takes longer, together they are faster, most of all beside other work, as no core waits
            for another. The numbers are the same.
        probes: inputs for a module that others wrote. It is traced on the first one and compared
            with torch on the last; where OpenVINO cannot run it, or gives something else, torch
            serves it. Its BatchNorms are not folded: they may do more than normalise.
    """

    def __init__(self, module: nn.Module, streams: int = 1, probes: Sequence[Tensor] = ()) -> None:
        self.kind = choose()
        self._lock = threading.Lock()
        if self.kind == "openvino" and probes and not self._try_openvino(module, streams, probes):
            self.kind = "torch"
        elif self.kind == "openvino" and not probes:
            self._compile_openvino(module, streams, torch.zeros(1, 3, 224, 224))
        if self.kind != "openvino":
            self._device = torch.device("cuda" if self.kind == "cuda" else "cpu")
            self._autocast = self.kind == "cuda" and torch.cuda.is_bf16_supported()
            self._autocast = self._autocast or (self.kind == "torch" and cpu_has_bfloat16())
            module = module.eval() if probes else fold_batchnorm(module.eval())
            module = module.to(self._device)
            self._module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            self.description = f"{'torch cuda' if self.kind == 'cuda' else 'torch'} " + (
                "bf16" if self._autocast else "fp32"
            )

    def _try_openvino(self, module: nn.Module, streams: int, probes: Sequence[Tensor]) -> bool:
        """Whether OpenVINO serves the module, with what torch gives."""
        with torch.inference_mode():
            expected = module.eval()(probes[-1]).float()
        try:
            self._compile_openvino(module, streams, probes[0])
            got = self(probes[-1])
        except Exception:  # its converter and its compiler raise errors of many kinds
            return False
        if got.shape != expected.shape:
            return False
        cosine = torch.cosine_similarity(got.flatten(), expected.flatten(), dim=0)
        return float(cosine) >= AGREEMENT

    def _compile_openvino(self, module: nn.Module, streams: int, example: Tensor) -> None:
        import openvino

        with warnings.catch_warnings(), torch.inference_mode():
            # OpenVINO traces the module with an API that torch has begun to deprecate.
            warnings.simplefilter("ignore")
            model = openvino.convert_model(module, example_input=example)
        how = {"PERFORMANCE_HINT": "LATENCY"}
        if streams > 1:
            how = {"PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": str(streams)}
        compiled = openvino.Core().compile_model(model, "CPU", how)
        precision = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        self.description = f"openvino {'bf16' if precision == 'bf16' else 'fp32'}"
        self._requests: SimpleQueue[Any] = SimpleQueue()  # those that are free
        for _ in range(streams):
            self._requests.put(compiled.create_infer_request())

    @property
    def batches(self) -> bool:
        """Whether a batch is faster than single photos (on a GPU; on a CPU it is not)."""
        return self.kind == "cuda"

    def __call__(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) float32 on the CPU -> the module's output, float32 on the CPU."""
        if self.kind == "openvino":
            request = self._requests.get()
            try:
                output: NDArray[np.float32] = request.infer([pixels.numpy()])[0]
                return torch.from_numpy(np.array(output, dtype=np.float32))
            finally:
                self._requests.put(request)
        with (
            self._lock,
            torch.inference_mode(),
            torch.autocast(self._device.type, torch.bfloat16, enabled=self._autocast),
        ):
            x = pixels.to(self._device).contiguous(memory_format=torch.channels_last)
            return self._module(x).float().cpu().contiguous()
