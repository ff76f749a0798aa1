"""The API as a server of its own: what docs/api.md shows is run, and its description is tried."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
import requests

from data import importing
from data.demo import DemoSource
from data.paths import PROJECT_ROOT
from indexing import jobs
from indexing.build import build

pytest.importorskip("fastapi", reason="the API's packages are not installed")

EXAMPLES = re.findall(
    r"^```(bash|python|javascript)\n(.*?)^```",
    (PROJECT_ROOT / "docs" / "api.md").read_text(encoding="utf-8"),
    re.DOTALL | re.MULTILINE,
)
TOKEN = "a-token-of-this-test"


def served(home: Path, *arguments: str, **environment: str) -> Iterator[str]:
    """``python api.py`` on a free port of this machine; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "api.py", "--port", str(port), *arguments],
        cwd=PROJECT_ROOT,
        env={**os.environ, "PLAYGROUND_HOME": str(home), **environment},
        stderr=subprocess.PIPE,
        text=True,
    )
    said: list[str] = []
    up = threading.Event()

    def listen(stream: IO[str]) -> None:
        for line in stream:
            said.append(line)
            if "running on" in line:
                up.set()
        up.set()

    assert process.stderr is not None
    threading.Thread(target=listen, args=(process.stderr,), daemon=True).start()
    try:
        assert up.wait(120) and process.poll() is None, "".join(said)
        yield f"http://localhost:{port}"
    finally:
        process.terminate()
        assert process.wait(60) is not None
        assert "Traceback" not in "".join(said), "".join(said)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, toy_folder: Path) -> Iterator[Path]:
    """Toy photos that are called demo, described by hog."""
    folder = tmp_path_factory.mktemp("served") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLAYGROUND_HOME", str(folder))
        importing.import_collection("demo", DemoSource(toy_folder))
        build("demo", ["hog"], ["flat"])
        yield folder


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[str]:
    yield from served(home, "--writable")


@pytest.mark.parametrize(("language", "text"), EXAMPLES)
def test_what_the_docs_show_runs(server: str, home: Path, language: str, text: str) -> None:
    program = {"bash": ["bash", "-ec"], "python": [sys.executable, "-c"]}.get(
        language, ["node", "--input-type=module", "-e"]
    )
    if shutil.which(program[0]) is None:
        pytest.skip(f"{program[0]} is not installed")
    # The toy photos are described by the cheapest extractor.
    text = text.replace("http://localhost:8502", server).replace("gem-siamese", "hog")
    done = subprocess.run(
        [*program, text], cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "toy-" in done.stdout or '"state":"running"' in done.stdout, done.stdout
    while jobs.running("demo"):  # a build that an example has started
        threading.Event().wait(0.1)


def test_the_docs_show_every_language() -> None:
    assert {language for language, _ in EXAMPLES} == {"bash", "python", "javascript"}


def tried(server: str, folder: Path, *arguments: str) -> None:
    """Schemathesis against the API's own description of itself; its notes go to the folder."""
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{server}/openapi.json"]
    # A name that is legal as a text may still be no extractor's.
    options = ["--exclude-checks", "positive_data_acceptance", "--warnings", "off", "--no-color"]
    options += ["--request-timeout", "120"]  # the first use of a method loads its packages
    done = subprocess.run(
        [*command, *options, "--seed", "1", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "16 selected" in done.stdout


@pytest.fixture(scope="module")
def guarded(home: Path) -> Iterator[str]:
    yield from served(home, "--writable", PLAYGROUND_API_TOKEN=TOKEN)


def test_it_does_what_its_description_says(guarded: str, tmp_path: Path) -> None:
    pytest.importorskip("schemathesis")
    assert requests.get(f"{guarded}/v1/collections", timeout=30).status_code == 401
    header = f"Authorization: Bearer {TOKEN}"
    tried(guarded, tmp_path, "-H", header, "--phases", "fuzzing", "--max-examples", "3")


@pytest.mark.slow
def test_it_does_what_its_description_says_at_length(guarded: str, tmp_path: Path) -> None:
    pytest.importorskip("schemathesis")
    tried(guarded, tmp_path, "-H", f"Authorization: Bearer {TOKEN}", "--max-examples", "40")
