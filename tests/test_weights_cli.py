"""Getting weights: download with resume against a server on this machine, import and check."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import http.server
import io
import json
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
import torchvision
from streamlit.testing.v1 import AppTest
from ui_fakes import NAME, FakeEngine, FakeJob, ToySource, faked, status_of

from data import artefact, importing
from data.errors import PlaygroundError
from data.http import Settings, Web
from data.paths import PROJECT_ROOT, weights_root
from extractors import downloads, timm_names, weights
from extractors.weights import TABLE, WeightFile
from pages.parts import backend
from pages.parts.weights import Fetch, Fetches, fetches
from scripts import weights as script
from scripts.console import call


@pytest.fixture(autouse=True)
def _nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYGROUND_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)  # the server is on this machine


@pytest.fixture(scope="module")
def content() -> bytes:
    """A small checkpoint."""
    buffer = io.BytesIO()
    torch.manual_seed(0)
    torch.save({"weight": torch.rand(300, 1000)}, buffer)
    return buffer.getvalue()


QUICK = Settings(attempts=2, timeout=10, backoff=0.01)


class Server(http.server.ThreadingHTTPServer):
    """Serves one file, with the faults that a test asks for."""

    content = b""
    ranges = True  # whether it understands Range
    budget: int | None = None  # bytes of bodies, then every connection breaks off
    status = 200
    asked: list[int]  # the first byte of each request but the small ones

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/toy.pth"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server, size = self.server, len(self.server.content)
        if server.status != 200:
            self.send_error(server.status)
            return
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        start, end = 0, size
        if wanted and server.ranges:
            start, end = int(wanted[1]), min(int(wanted[2] or size - 1) + 1, size)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(end - start))
        self.end_headers()
        body = server.content[start:end]
        if not wanted or not wanted[2]:  # not the probe
            server.asked.append(start)
            if server.budget is not None:
                body = body[: server.budget]
                server.budget -= len(body)
        with contextlib.suppress(ConnectionError):  # it went away
            self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def server(content: bytes) -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as running:
        running.content, running.asked = content, []
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def row(server: Server, content: bytes, monkeypatch: pytest.MonkeyPatch) -> WeightFile:
    """The served file as a row of the table, beside the real ones."""
    prefix = hashlib.sha256(content).hexdigest()[:8]
    made = WeightFile("toy", "published", f"toy-{prefix}.pth", server.url, prefix, "CC0", "a toy")
    for module in (weights, downloads, script):
        monkeypatch.setattr(module, "TABLE", (*TABLE, made))
    return made


def part_of(row: WeightFile) -> Path:
    path = weights_root() / f"{row.file}.part"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def test_a_download_is_verified_and_told(row: WeightFile, server: Server, content: bytes) -> None:
    told: list[tuple[int, int, str]] = []
    path = downloads.download(row, lambda *step: told.append(step))
    assert path == weights_root() / row.file
    assert path.read_bytes() == content
    assert told[-1] == (len(content), len(content), row.file)
    assert [step[0] for step in told] == sorted(step[0] for step in told)
    assert not part_of(row).exists()
    assert server.asked == [0]
    assert downloads.download(row) == path  # here already: nothing is asked for
    assert server.asked == [0]


def test_a_download_goes_on_where_it_stopped(
    row: WeightFile, server: Server, content: bytes
) -> None:
    server.budget = 500_000
    with pytest.raises(PlaygroundError, match="goes on where it was") as caught:
        downloads.download(row, settings=QUICK)
    assert "python -m scripts.weights import toy FILE" in str(caught.value)
    assert part_of(row).read_bytes() == content[:500_000]
    assert not (weights_root() / row.file).exists()
    server.budget = None
    server.asked.clear()
    assert downloads.download(row).read_bytes() == content
    assert server.asked == [500_000]


@pytest.mark.parametrize("length", [1000, 2_000_000])
def test_a_server_without_ranges_is_asked_for_everything(
    row: WeightFile, server: Server, content: bytes, length: int
) -> None:
    server.ranges = False
    part_of(row).write_bytes(b"x" * length)  # also longer than the file
    assert downloads.download(row).read_bytes() == content
    assert server.asked == [0]


def test_a_server_without_ranges_that_breaks_off_is_told(row: WeightFile, server: Server) -> None:
    server.ranges = False
    server.budget = 600_000
    with pytest.raises(PlaygroundError, match=r"toy\.pth"):
        downloads.download(row, settings=QUICK)
    assert not (weights_root() / row.file).exists()


@pytest.mark.parametrize("length", [1000, 0, 1])
def test_a_damaged_beginning_is_fetched_again(
    row: WeightFile, server: Server, content: bytes, length: int
) -> None:
    part_of(row).write_bytes(b"x" * length)
    assert downloads.download(row).read_bytes() == content
    assert server.asked == ([length, 0] if length else [0])


def test_a_part_that_was_complete_needs_no_more_bytes(
    row: WeightFile, server: Server, content: bytes
) -> None:
    part_of(row).write_bytes(content)
    assert downloads.download(row).read_bytes() == content
    assert server.asked == []


def test_a_part_longer_than_the_file_is_dropped(
    row: WeightFile, server: Server, content: bytes
) -> None:
    part_of(row).write_bytes(content + b"more")
    assert downloads.download(row).read_bytes() == content
    assert server.asked == [0]


def test_what_arrives_damaged_is_deleted(row: WeightFile, server: Server, content: bytes) -> None:
    server.content = content[:-1] + b"\0\0"
    with pytest.raises(PlaygroundError, match="arrived damaged"):
        downloads.download(row)
    assert not part_of(row).exists()
    assert not (weights_root() / row.file).exists()


def test_a_server_that_refuses_is_a_sentence(row: WeightFile, server: Server) -> None:
    server.status = 404
    with pytest.raises(PlaygroundError, match="answered 404") as caught:
        downloads.download(row)
    assert "python -m scripts.weights import toy FILE" in str(caught.value)


def test_no_network_is_a_sentence(row: WeightFile) -> None:
    with Server(("127.0.0.1", 0), Handler) as closed:
        url = closed.url
    with pytest.raises(PlaygroundError, match="Check the network"):
        downloads.download(dataclasses.replace(row, url=url), settings=QUICK)


def test_cancelling_keeps_the_part(row: WeightFile, server: Server, content: bytes) -> None:
    cancel, steps = threading.Event(), []

    def told(done: int, total: int, text: str) -> None:
        steps.append(done)
        if len(steps) == 2:
            cancel.set()

    with pytest.raises(PlaygroundError, match="stopped"):
        downloads.download(row, told, cancel)
    kept = part_of(row).stat().st_size
    assert kept == steps[-1] < len(content)
    server.asked.clear()
    assert downloads.download(row).read_bytes() == content
    assert server.asked == [kept]


def test_two_downloads_at_once_are_refused(row: WeightFile) -> None:
    with (
        artefact.exclusive(weights_root(), "Downloading another"),
        pytest.raises(PlaygroundError, match="already running"),
    ):
        downloads.download(row)


def test_a_full_disk_is_told_before_the_download(
    row: WeightFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(PlaygroundError, match="Free some space"):
        downloads.download(row)


def test_download_from_a_thread(row: WeightFile, content: bytes) -> None:
    found: list[Path] = []
    thread = threading.Thread(target=lambda: found.append(downloads.download(row)))
    thread.start()
    thread.join(20)
    assert found == [weights_root() / row.file]


# Import


def test_import_copies_and_verifies(row: WeightFile, tmp_path: Path, content: bytes) -> None:
    mine = tmp_path / "any name.bin"
    mine.write_bytes(content)
    path = downloads.import_file(row, mine)
    assert path.read_bytes() == content
    assert mine.read_bytes() == content
    assert downloads.check(row) == path
    assert weights.resolve("toy").source == "published"


def test_import_refuses_another_hash(row: WeightFile, tmp_path: Path) -> None:
    mine = tmp_path / "mine.pth"
    mine.write_bytes(b"something else")
    with pytest.raises(PlaygroundError, match="is not toy-") as caught:
        downloads.import_file(row, mine)
    assert f"--weights file:{mine}" in str(caught.value)
    assert not [path for path in weights_root().iterdir() if path.name != ".lock"]


@pytest.mark.parametrize("name", ["solar", "sir", "gem-vgg16", "gl18-tl-resnet152", "alexnet"])
def test_import_refuses_other_tensors(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The true names and shapes are asked for, without the memory that they would take."""
    row = dataclasses.replace(downloads.called(name)[0], hash_prefix="")
    mine = tmp_path / "mine.pth"
    said = {
        "architecture": {"gem-vgg16": "vgg16", "gl18-tl-resnet152": "resnet152"}.get(
            name, "resnet101"
        ),
        "pooling": "gem",
        "whitening": name != "gem-vgg16",
        "mean": [0.5, 0.5, 0.5],
        "std": [0.2, 0.2, 0.2],
    }
    torch.save({"state_dict": {"pool.p": torch.ones(1)}, "meta": said}, mine)
    here = weights_root() / row.file
    here.parent.mkdir(parents=True)
    here.write_bytes(b"what was there")
    with pytest.raises(PlaygroundError, match="does not fit the network") as caught:
        downloads.import_file(row, mine)
    assert str(mine) in str(caught.value)
    assert ".tmp" not in str(caught.value)
    assert here.read_bytes() == b"what was there"
    assert sorted(path.name for path in here.parent.iterdir()) == [".lock", row.file]


def test_import_of_alexnet_at_its_true_shapes(tmp_path: Path) -> None:
    row = dataclasses.replace(downloads.called("alexnet")[0], hash_prefix="")
    mine = tmp_path / "mine.pth"
    with torch.device("meta"):
        shapes = torchvision.models.alexnet(weights=None).state_dict()
    # One stored number, seen as a tensor of the true shape: the file is small.
    torch.save({k: torch.zeros(()).expand(v.shape) for k, v in shapes.items()}, mine)
    assert mine.stat().st_size < 100_000
    assert downloads.import_file(row, mine).is_file()


def test_import_needs_a_file(row: WeightFile, tmp_path: Path) -> None:
    with pytest.raises(PlaygroundError, match="There is no file"):
        downloads.import_file(row, tmp_path / "absent.pth")


# The table and the command line


def test_the_table_is_consistent() -> None:
    assert len({row.file for row in TABLE}) == len(TABLE)
    for row in TABLE:
        assert row.licence
        assert row.note
        if "huggingface.co" in row.url:  # its names promise no hash: it is kept beside
            beside = Path(row.file).with_suffix(".sha256")
            assert weights.hash_note(row, Path(row.file)) == beside
            continue
        assert weights.hash_note(row, Path(row.file)) is None
        assert bool(row.url or row.package) == bool(row.hash_prefix)
        assert not row.url or row.url.endswith(f"-{row.hash_prefix}.pth")
        assert not row.url or row.url.endswith(f"/{row.file}")
    for name in ("AlexNet", "VGG16", "ResNet50", "ResNet101", "ResNet152"):
        official = getattr(torchvision.models, f"{name}_Weights").IMAGENET1K_V1.url
        (row,) = (row for row in weights.known(name.lower()) if row.source == "imagenet")
        assert row.url == official


def test_imagenet_stands_for_what_the_basic_extractors_use() -> None:
    assert [row.network for row in downloads.called("imagenet")] == ["resnet50", "vgg16"]


def test_list_names_every_file(row: WeightFile, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(script.main, ["list", "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)
    assert [entry["network"] for entry in entries] == [r.network for r in (*TABLE, row)]
    assert not any(entry["here"] for entry in entries if entry["get"] not in ("shipped", "by pip"))
    assert call(script.main, ["list"]) == 0
    assert "by hand" in capsys.readouterr().out


def test_download_check_and_damage_on_the_command_line(
    row: WeightFile, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(script.main, ["download", "toy", "toy"]) == 0
    assert f"{row.file} saved" in capsys.readouterr().out
    assert call(script.main, ["download", "toy"]) == 0
    assert "here already" in capsys.readouterr().out
    assert call(script.main, ["check"]) == 0
    assert "nothing damaged" in capsys.readouterr().out
    path = weights_root() / row.file
    path.write_bytes(path.read_bytes()[:-1])
    assert call(script.main, ["check", "--json"]) == 2
    output = capsys.readouterr()
    (entry,) = (entry for entry in json.loads(output.out) if entry["network"] == "toy")
    assert entry["here"] == "damaged"
    assert "python -m scripts.weights download toy" in output.err


def test_import_on_the_command_line(
    row: WeightFile, tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "mine.pth"
    mine.write_bytes(content)
    assert call(script.main, ["import", "toy", str(mine)]) == 0
    assert f"{row.file} saved" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["download", "places365"], "Legal: imagenet, resnet50"),
        (["download", "delf"], "shipped with the project"),
        (["download", "solar"], "scripts.weights import solar FILE"),
        (["import", "imagenet", "x.pth"], "Name one of them: resnet50, vgg16"),
    ],
)
def test_what_is_not_possible_is_a_sentence(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(script.main, arguments) == 2
    assert said in capsys.readouterr().err


# The Methods page


def test_a_page_downloads_in_the_background(
    row: WeightFile, server: Server, content: bytes
) -> None:
    fetches = Fetches()
    first = fetches.start(row)
    assert fetches.start(row) is first or not first.running
    first.wait(20)
    assert not first.error
    assert first.fraction == 1
    assert (weights_root() / row.file).read_bytes() == content
    server.status = 404
    failed = fetches.start(dataclasses.replace(row, file="other.pth"))
    failed.wait(20)
    assert "answered 404" in failed.error
    fetches.dismiss()
    assert fetches.last is None


def test_the_methods_page_offers_the_downloads(
    row: WeightFile, server: Server, content: bytes
) -> None:
    import streamlit

    streamlit.cache_resource.clear()
    test = AppTest.from_file(str(PROJECT_ROOT / "app.py"), default_timeout=30).run()
    test.switch_page("pages/methods/page.py").run()
    test.segmented_control(key="m_kind").set_value("Weights")
    test.run()
    assert not test.exception
    assert len(test.dataframe[0].value) == len(TABLE) + 1 + len(timm_names.PRESETS)
    assert any("timm:vit_small" in text for text in test.selectbox(key="w_file").options)
    (option,) = (text for text in test.selectbox(key="w_file").options if row.file in text)
    test.selectbox(key="w_file").set_value(option)
    test.button(key="w_download").click()
    test.run()
    last = fetches().last
    assert last is not None
    last.wait(20)
    test.run()
    assert not test.exception
    assert not test.error
    assert [one.value for one in test.success] == [f"{row.file} is here."]
    assert (weights_root() / row.file).read_bytes() == content
    assert not any(row.file in text for text in test.selectbox(key="w_file").options)


# The Search page


def test_sources_have_words() -> None:
    words = {
        "bundled": "small weights of our own",
        "imagenet": "ImageNet photographs",
        "packaged": "ImageNet photographs, packaged",
        "published": "published by its authors",
        "untrained": "untrained",
        "imagenet+untrained": "ImageNet photographs + untrained",
        "file:/a+imagenet/b.pth": "file:/a+imagenet/b.pth",
        "": "",
    }
    assert {source: weights.source_words(source) for source in words} == words


@pytest.fixture
def resnet(server: Server, content: bytes, monkeypatch: pytest.MonkeyPatch) -> WeightFile:
    """torchvision's ResNet50 as a row of the table, served on this machine."""
    (old,) = (row for row in weights.known("resnet50") if row.source == "imagenet")
    prefix = hashlib.sha256(content).hexdigest()[:8]
    made = dataclasses.replace(
        old, file=f"resnet50-{prefix}.pth", url=server.url, hash_prefix=prefix
    )
    monkeypatch.setattr(weights, "TABLE", tuple(made if row == old else row for row in TABLE))
    monkeypatch.setattr(downloads, "Web", lambda settings, cancel, known: Web(QUICK, cancel))
    return made


@pytest.fixture
def shipped(tmp_path: Path, unbundled: Path) -> Iterator[tuple[FakeEngine, dict[str, mock.Mock]]]:
    """A collection that the shipped weights describe."""
    import streamlit

    streamlit.cache_data.clear()
    streamlit.cache_resource.clear()
    importing.import_collection(NAME, ToySource(tmp_path / "photos"))
    for name in ("resnet50", "vgg16"):
        (unbundled / f"{name}.safetensors").write_bytes(b"stands in for ours")
    names = ("hog", "resnet50", "vgg16")
    with faked([status_of(n, weights="" if n == "hog" else "bundled") for n in names]) as both:
        both[0].weights = {"resnet50": "bundled", "vgg16": "bundled"}
        yield both


def search_page(*extractors: str) -> AppTest:
    test = AppTest.from_file(str(PROJECT_ROOT / "app.py"), default_timeout=30)
    test.query_params["extractors"] = list(extractors)
    test.run()
    assert not test.exception
    return test


def offers(test: AppTest) -> dict[str, str]:
    """The buttons' labels by network."""
    keyed = {str(one.key): one.label for one in test.button}
    return {key[4:]: label for key, label in keyed.items() if key.startswith("get-")}


def click(test: AppTest) -> Fetch:
    """Press ResNet50's button, and wait for what it starts."""
    test.button(key="get-resnet50").click()
    test.run()
    assert not test.exception
    last = fetches().last
    assert last is not None
    last.wait(20)
    assert not last.running
    test.run()
    assert not test.exception
    return last


def said(test: AppTest) -> str:
    return "\n".join(one.value for one in test.caption)


def test_the_search_page_offers_imagenet_where_ours_are_used(shipped: Any, server: Server) -> None:
    engine, _ = shipped
    test = search_page("hog", "resnet50", "vgg16")
    assert offers(test) == {
        "resnet50": "Get ImageNet's (98 MB)",
        "vgg16": "Get ImageNet's (528 MB)",
    }
    assert "ResNet50: small weights of our own." in said(test)
    shown = test.dataframe[0].value
    assert set(shown["weights"]) == {"none", "small weights of our own"}
    assert not offers(search_page("hog"))
    engine.weights = {"resnet50": "imagenet", "vgg16": "imagenet+untrained"}
    test = search_page("resnet50", "vgg16")
    assert not offers(test)
    assert "ImageNet photographs + untrained" in set(test.dataframe[0].value["weights"])
    assert fetches().last is None


def test_weights_of_the_users_own_are_left_alone(shipped: Any) -> None:
    own = weights_root() / "resnet50.safetensors"
    own.parent.mkdir(parents=True, exist_ok=True)
    own.write_bytes(b"trained here")
    assert set(offers(search_page("resnet50", "vgg16"))) == {"vgg16"}


def test_one_click_downloads_and_builds_again(
    shipped: Any, resnet: WeightFile, server: Server, content: bytes
) -> None:
    engine, calls = shipped
    test = search_page("resnet50", "vgg16")
    test.run()
    assert server.asked == []  # nothing before the click
    assert weights.resolve("resnet50").source == "bundled"
    last = click(test)
    assert not last.error
    assert (weights_root() / resnet.file).read_bytes() == content
    assert weights.resolve("resnet50").source == "imagenet"
    calls["start_build"].assert_called_once_with(NAME, ["resnet50"], ["flat", "ivf", "lsh", "pq"])
    assert server.asked == [0]

    assert "Until it is built again, its rows are described with the shipped ones" in said(test)
    assert offers(test) == {
        "resnet50": "Build ResNet50 again",
        "vgg16": "Get ImageNet's (528 MB)",
    }
    with mock.patch.object(backend, "running_job", return_value=FakeJob()):
        test.run()
    assert "Until the running build is done" in said(test)
    assert set(offers(test)) == {"vgg16"}
    engine.weights["resnet50"] = "imagenet"
    assert set(offers(search_page("resnet50", "vgg16"))) == {"vgg16"}
    assert calls["start_build"].call_count == 1


def test_a_copy_that_torch_has_is_put_to_use(
    shipped: Any, resnet: WeightFile, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Path(torch.hub.get_dir()) / "checkpoints" / resnet.file
    copy.parent.mkdir(parents=True)
    copy.write_bytes(server.content)
    monkeypatch.setattr(downloads, "check_format", lambda row, path, said: None)
    assert not click(search_page("resnet50")).error
    assert server.asked == []
    assert weights.resolve("resnet50").source == "imagenet"


def test_the_build_waits_for_the_one_that_runs(
    shipped: Any, resnet: WeightFile, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, calls = shipped
    asked = threading.Event()
    running = [FakeJob()]

    def job(name: str) -> FakeJob | None:
        if threading.current_thread().name == "weights":
            asked.set()
        return running[0] if running else None

    monkeypatch.setattr(backend, "running_job", job)
    monkeypatch.setattr("pages.parts.weights.EVERY", 0.01)
    test = search_page("resnet50")
    test.button(key="get-resnet50").click()
    test.run()
    assert asked.wait(20)
    test.run()
    assert not test.exception
    assert test.button(key="w_stop").label == "Stop"
    assert "get-resnet50" not in offers(test)
    calls["start_build"].assert_not_called()
    running.clear()
    last = fetches().last
    assert last is not None
    last.wait(20)
    calls["start_build"].assert_called_once()


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("refused", "answered 404"),
        ("offline", "127.0.0.1"),
        ("damaged", "arrived damaged"),
        ("full", "Free some space"),
    ],
)
def test_a_failed_click_is_a_sentence_with_the_button_again(
    shipped: Any,
    resnet: WeightFile,
    server: Server,
    content: bytes,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    words: str,
) -> None:
    _, calls = shipped
    with monkeypatch.context() as patch:
        if fault == "refused":
            patch.setattr(server, "status", 404)
        elif fault == "offline":
            away = dataclasses.replace(resnet, url="http://127.0.0.1:9/toy.pth")
            table = tuple(away if row == resnet else row for row in weights.TABLE)
            patch.setattr(weights, "TABLE", table)
        elif fault == "damaged":
            patch.setattr(server, "content", content[:-9] + b"otherwise")
        else:
            patch.setattr(shutil, "disk_usage", lambda path: mock.Mock(free=1000))
        test = search_page("resnet50")
        assert click(test).error
    assert words in test.error[0].value.replace("\\", "")
    assert "Traceback" not in test.error[0].value
    assert offers(test) == {"resnet50": "Get ImageNet's (98 MB)"}
    calls["start_build"].assert_not_called()
    assert not click(test).error  # once it is mended
    assert not test.error
    calls["start_build"].assert_called_once()
