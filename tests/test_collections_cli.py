"""``python -m scripts.collections``, in this process and once as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data import paths, photos, store
from data.errors import PlaygroundError
from scripts import collections as cli
from scripts import console


def jpeg(seed: int = 0) -> bytes:
    rng = np.random.default_rng(seed)
    return photos.encode_jpeg(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "fotos"
    for number in range(4):
        path = root / f"l{number // 2}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(number))
    (root / "bad.jpg").write_bytes(b"words")
    return root


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    code = console.call(cli.main, argv)
    out, err = capsys.readouterr()
    return code, out, err


def run_json(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, Any]:
    code, out, err = run(capsys, *argv, "--json")
    assert (code, err) == (0, "")
    parsed = json.loads(out)
    assert isinstance(parsed, dict)
    return parsed


def test_smoke(home: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["import", "--source", "folder", "--path", str(folder), "--name", "mine"]
    code, out, err = run(capsys, *argv)
    assert (code, err) == (0, "")
    assert "4 added" in out
    assert "4 photos of 2 landmarks and 0 queries" in out
    assert "bad.jpg: not a photo" in out
    code, out, _ = run(capsys, "list")
    assert code == 0
    assert "mine" in out
    code, out, _ = run(capsys, "show", "mine")
    assert code == 0
    assert "fingerprint" in out
    assert "l1" in out
    assert "bad.jpg" in out
    code, _, err = run(capsys, *argv)
    assert code == 2
    assert err.startswith("error: There is a collection 'mine' already.")
    code, out, _ = run(capsys, *argv, "--exists", "add")
    assert code == 0
    assert "4 unchanged" in out


def test_json(home: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = ["--source", "folder", "--path", str(folder)]
    imported = run_json(capsys, "import", *source, "--name", "mine", "--title", "Mine")
    assert imported["added"] == imported["photos"] == 4
    assert [entry["file"] for entry in imported["skipped"]] == ["bad.jpg"]
    listed = run_json(capsys, "list")["collections"]
    assert [(entry["name"], entry["title"]) for entry in listed] == [("mine", "Mine")]
    shown = run_json(capsys, "show", "mine")
    assert [photo["id"] for photo in shown["photos"]] == ["l0_0", "l0_1", "l1_2", "l1_3"]
    (folder / "l1" / "9.jpg").write_bytes(jpeg(9))
    added = run_json(capsys, "add", "mine", *source)
    assert (added["added"], added["unchanged"], added["photos"]) == (1, 4, 5)
    removed = run_json(capsys, "remove", "mine", "l1_9")
    assert removed["fingerprint"] == imported["fingerprint"]
    assert run_json(capsys, "delete", "mine", "--yes")["deleted"] is True
    assert run_json(capsys, "list") == {"collections": []}


def test_demo_zip_and_glr21(
    home: Path, toy_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    demo = run_json(capsys, "import", "--source", "demo", "--path", str(toy_folder))
    assert (demo["collection"], demo["photos"], demo["queries"]) == ("toy", 30, 5)
    again = run_json(capsys, "import", "--source", "demo", "--path", str(toy_folder))
    assert again["unchanged"] == 35
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        archive.writestr("a/1.jpg", jpeg(1))
    zipped = ["--source", "zip", "--path", str(tmp_path / "p.zip")]
    assert run_json(capsys, "import", *zipped, "--name", "z")["photos"] == 1
    split = tmp_path / "g" / "index" / "a" / "b" / "c"
    split.mkdir(parents=True)
    (split / "abc1.jpg").write_bytes(jpeg(1))
    (tmp_path / "g" / "index_image_to_landmark.csv").write_text("id,landmark_id\nabc1,7\n")
    argv = ["--source", "glr21", "--path", str(tmp_path / "g"), "--name", "g", "--landmarks", "1"]
    argv += ["--split", "index", "--min-photos", "1", "--max-photos", "5", "--seed", "0"]
    assert run_json(capsys, "import", *argv)["landmarks"] == 1


def test_damaged_collection_does_not_hide_others(
    home: Path, toy_collection: store.Collection, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = paths.collections_root() / "bad"
    bad.mkdir()
    (bad / "manifest.json").write_text("{")
    code, out, _ = run(capsys, "list")
    assert code == 0
    assert "bad: damaged" in out
    assert "Toy landmarks" in out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["show", "nope"], "There is no collection 'nope'"),
        (["show", "../x"], "not a legal collection name"),
        (["import", "--source", "folder", "--name", "x"], "needs --path"),
        (["import", "--source", "folder", "--path", "/nonexistent-xyz"], "--name is missing"),
        (["import", "--source", "zip", "--path", "/no.zip", "--name", "x"], "cannot be read"),
        (["import", "--source", "demo", "--seed", "1"], "--seed belong to --source glr21"),
        (["delete", "toy"], "delete toy --yes"),
        (["remove", "toy", "nope"], "nothing was removed"),
    ],
)
def test_exception(
    toy_collection: store.Collection,
    capsys: pytest.CaptureFixture[str],
    argv: list[str],
    message: str,
) -> None:
    code, out, err = run(capsys, *argv)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err
    assert store.list_collections() == ["toy"]


def test_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    def stopped(argv: Sequence[str] | None) -> int:
        raise KeyboardInterrupt

    def wrong(argv: Sequence[str] | None) -> int:
        raise PlaygroundError("This is wrong. Legal: that.")

    def defect(argv: Sequence[str] | None) -> int:
        raise KeyError("ours")

    assert console.call(stopped) == 130
    assert console.call(wrong) == 2
    assert "error: This is wrong." in capsys.readouterr().err
    assert console.call(lambda argv: None) == 0
    with pytest.raises(KeyError):
        console.call(defect)
    with pytest.raises(SystemExit) as ended:
        console.run(wrong)
    assert ended.value.code == 2


def test_console_helpers(capsys: pytest.CaptureFixture[str]) -> None:
    assert console.counted(1, "query", "queries") == "1 query"
    assert console.counted(1234, "photo") == "1,234 photos"
    console.print_table(("name", "n", "s"), [["a", 1200, 0.12341], ["bcd", 3, None]])
    assert capsys.readouterr().out == "name      n  s\na     1,200  0.1234\nbcd       3  -\n"
    with console.Progress(quiet=True) as progress:
        progress(1, 2, "text")
    assert capsys.readouterr().err == ""


def test_as_a_process(home: Path, folder: Path) -> None:
    def call(*argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "scripts.collections", *argv],
            cwd=paths.PROJECT_ROOT,
            env={**os.environ, "PLAYGROUND_HOME": str(home)},
            capture_output=True,
            text=True,
            check=False,
        )

    done = call("import", "--source", "folder", "--path", str(folder), "--name", "m", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["photos"] == 4
    failed = call("show", "nope")
    assert (failed.returncode, failed.stdout) == (2, "")
    assert failed.stderr.startswith("error: ")
    assert "Traceback" not in failed.stderr
