"""Texts of others on the terminal, texts with a byte-order mark, and checkpoints that are none."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from data import importing, paths, photos, store
from data.benchmark import as_text
from data.errors import PlaygroundError
from data.folder import FolderSource
from data.sources.oxford import Oxford5k
from data.sources.revisited import ROxford5k
from extractors import checkpoints
from scripts import collections, console

CASES = paths.PROJECT_ROOT.parent / "shared" / "cases"


def test_the_terminal_gets_no_commands(capsys: pytest.CaptureFixture[str]) -> None:
    evil = "\x1b[31m\x07\x9b\u202e\udc80"
    console.print_table(("name",), [[evil]])
    console.print_json({evil: [evil, "é"]})

    def fail(argv: object) -> int:
        raise PlaygroundError(f"first {evil}\nsecond")

    assert console.call(fail) == 2
    shown = capsys.readouterr()
    assert all(c.isprintable() or c == "\n" for c in shown.out + shown.err)
    assert shown.err.count("\n") == 2
    listed = shown.out[shown.out.index("{") :]
    assert json.loads(listed) == {evil: [evil, "é"]}


def test_a_label_with_commands_is_shown_as_text(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import numpy as np

    folder = tmp_path / "in" / "\x1b[31mred"
    folder.mkdir(parents=True)
    (folder / "1.jpg").write_bytes(photos.encode_jpeg(np.zeros((16, 16, 3), np.uint8)))
    importing.import_collection("x", FolderSource(tmp_path / "in"), title="a\x1b]0;b\x07")
    assert collections.main(["show", "x"]) == 0
    assert collections.main(["list"]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown and "\x07" not in shown
    assert "\\x1b[31mred" in shown


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_texts_with_a_byte_order_mark(encoding: str) -> None:
    assert as_text("all_souls é\n".encode(encoding)) == "all_souls é\n"


@pytest.mark.parametrize(
    ("name", "source"),
    [("oxford_bom.tar", Oxford5k), ("roxford_pickle_protocol_0.tar", ROxford5k)],
)
def test_case_ground_truths(name: str, source: type, tmp_path: Path, home: Path) -> None:
    if not (CASES / name).is_file():
        pytest.skip(f"no {name} beside the project")
    with tarfile.open(CASES / name) as archive:
        archive.extractall(tmp_path / "in", filter="data")
    importing.import_collection("x", source(tmp_path / "in"))
    assert store.load("x").queries


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<!DOCTYPE html><html>quota exceeded</html>", "it is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
        (b"\xff\xd8\xff\xe0" + bytes(40), "it is a JPEG photo"),
        (b"", "the file is empty"),
    ],
)
def test_what_is_no_checkpoint_is_named(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(content)
    with pytest.raises(PlaygroundError, match=words) as caught:
        checkpoints.read(path)
    assert "weights_only" not in str(caught.value) and "\x1b" not in str(caught.value)
