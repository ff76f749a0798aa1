"""What runs a network here: OpenVINO on a CPU where installed, else torch; CUDA where torch
sees a GPU.

``PLAYGROUND_RUNTIME`` (auto, openvino, torch) overrides the choice. Measured on 2 cores with
bfloat16: OpenVINO is 2.2 to 3.3 times as fast as torch in fp32, torch with bfloat16 autocast 1.6
to 2.1 times; the descriptors agree to a cosine of 0.999.

torch is imported where it computes, converts a network or may have a GPU: not in a process that
searches with networks that were converted before (``extractors.converted``).
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib.util
import itertools
import os
import sys
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from data.errors import PlaygroundError

if TYPE_CHECKING:
    from torch import Tensor, nn

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
    if wanted == "auto" and (_has_gpu_driver() or "torch" in sys.modules):
        import torch

        if torch.cuda.is_available():
            return "cuda"
    return "openvino" if has_openvino and wanted != "torch" else "torch"


@functools.cache
def _has_gpu_driver() -> bool:
    """Whether torch may see a GPU, told without importing it: its driver's library is there."""
    library = {"linux": "libcuda.so.1", "win32": "nvcuda.dll"}.get(sys.platform)
    if library is None:
        return False
    with contextlib.suppress(OSError):
        ctypes.CDLL(library)
        return True
    return Path("/dev/kfd").exists()  # AMD's


def cpu_has_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 in hardware; without it bfloat16 is slower than fp32."""
    import torch

    probe = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    amx = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return bool((probe and probe()) or (amx and amx()))


def fold_batchnorm(module: nn.Module) -> nn.Module:
    """Fold every BatchNorm into the convolution before it, in place (evaluation mode only)."""
    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    for parent in list(module.modules()):
        names = list(parent._modules)
        for first, second in itertools.pairwise(names):
            conv, norm = parent._modules[first], parent._modules[second]
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                parent._modules[first] = fuse_conv_bn_eval(conv, norm)
                # timm's BatchNorms have their activation inside.
                parent._modules[second] = getattr(norm, "act", None) or nn.Identity()
    return module


_FIRST_ARRAY = threading.Lock()


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
        import torch

        self.kind = choose()
        self._lock = threading.Lock()
        if self.kind == "openvino" and probes and not self._try_openvino(module, streams, probes):
            self.kind = "torch"
        elif self.kind == "openvino" and not probes:
            self._compile(convert(module, torch.zeros(1, 3, 224, 224)), streams)
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

    @classmethod
    def of_openvino(cls, model: Any, streams: int = 1, cache: Path | None = None) -> Network:
        """A network that was converted before (an ``openvino.Model``).

        Args:
            cache: a folder where OpenVINO may keep what it compiles.
        """
        network = cls.__new__(cls)
        network.kind = "openvino"
        network._lock = threading.Lock()
        network._compile(model, streams, cache)
        return network

    def _try_openvino(self, module: nn.Module, streams: int, probes: Sequence[Tensor]) -> bool:
        """Whether OpenVINO serves the module, with what torch gives."""
        import torch

        with torch.inference_mode():
            expected = module.eval()(probes[-1]).float()
        try:
            self._compile(convert(module, probes[0]), streams)
            got = self(probes[-1])
        except Exception:  # its converter and its compiler raise errors of many kinds
            return False
        if got.shape != expected.shape:
            return False
        cosine = torch.cosine_similarity(got.flatten(), expected.flatten(), dim=0)
        return float(cosine) >= AGREEMENT

    def _compile(self, model: Any, streams: int, cache: Path | None = None) -> None:
        import openvino

        how = {"PERFORMANCE_HINT": "LATENCY"}
        if streams > 1:
            how = {"PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": str(streams)}
        core = openvino.Core()
        try:
            kept = {"CACHE_DIR": str(cache)} if cache is not None else {}
            compiled = core.compile_model(model, "CPU", how | kept)
        except RuntimeError:  # what it kept is damaged, or the folder cannot be written
            if cache is None:
                raise
            compiled = openvino.Core().compile_model(model, "CPU", how)
        # OpenVINO looks NumPy up when it first gives an array. Two threads that do so at once wait
        # for each other for ever, one for the other's guard, that one for Python's lock.
        with _FIRST_ARRAY:
            _ = openvino.Tensor(np.zeros(1, np.float32)).data
        precision = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        self.description = f"openvino {'bf16' if precision == 'bf16' else 'fp32'}"
        self._requests: SimpleQueue[Any] = SimpleQueue()  # those that are free
        for _ in range(streams):
            self._requests.put(compiled.create_infer_request())

    @property
    def batches(self) -> bool:
        """Whether a batch is faster than single photos (on a GPU; on a CPU it is not)."""
        return self.kind == "cuda"

    def __call__(self, pixels: Any) -> Any:
        """(B, 3, H, W) float32 on the CPU -> the module's output, float32 on the CPU.

        An array gives an array, a torch tensor a tensor.
        """
        if not isinstance(pixels, np.ndarray):
            import torch

            return torch.from_numpy(self(pixels.numpy()))
        if self.kind == "openvino":
            request = self._requests.get()
            try:
                output: NDArray[np.float32] = request.infer([pixels])[0]
                return np.array(output, dtype=np.float32)
            finally:
                self._requests.put(request)
        import torch

        with (
            self._lock,
            torch.inference_mode(),
            torch.autocast(self._device.type, torch.bfloat16, enabled=self._autocast),
        ):
            x = torch.from_numpy(pixels).to(self._device)
            x = x.contiguous(memory_format=torch.channels_last)
            return self._module(x).float().cpu().contiguous().numpy()


def convert(module: nn.Module, example: Tensor) -> Any:
    """The ``openvino.Model`` of a module that is in evaluation mode."""
    import openvino
    import torch

    with warnings.catch_warnings(), torch.inference_mode():
        # OpenVINO traces the module with an API that torch has begun to deprecate.
        warnings.simplefilter("ignore")
        return openvino.convert_model(module, example_input=example)
