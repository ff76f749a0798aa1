"""Make trained weights smaller: int8 with a scale per channel, a quarter of fp32.

    python -m scripts.quantise_weights resnet50.safetensors vgg16.safetensors
    python -m scripts.quantise_weights resnet50.safetensors --keep 'layer1|conv2'

Files beside them that share their tensors are told the new hash. Measure before and after:
scripts.measure_weights.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from data.errors import PlaygroundError
from extractors.training.export import quantise_file
from scripts import console


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.quantise_weights",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help=".safetensors, ours")
    parser.add_argument(
        "--keep", default="", metavar="REGEX", help="tensors whose names it finds stay in fp16"
    )
    arguments = parser.parse_args(argv)
    try:
        re.compile(arguments.keep)
    except re.error as error:
        raise PlaygroundError(
            f"--keep {arguments.keep} is no regular expression ({error})."
        ) from None
    for path in arguments.files:
        if not path.is_file():
            raise PlaygroundError(f"There is no weights file {path}.")
        before = path.stat().st_size
        quantise_file(path, arguments.keep)
        print(f"{path.name}: {before / 1e6:.1f} MB -> {path.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    console.run(main)
