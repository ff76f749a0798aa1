"""The REST API: the same answers as the command line, and a problem with a sentence otherwise."""

from __future__ import annotations

import asyncio
import io
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from data import importing, photos, store
from data.demo import DemoSource
from data.errors import Conflict, Invalid, PlaygroundError
from data.paths import PROJECT_ROOT
from indexing import jobs
from indexing.build import build
from retrieval import engine as engine_module
from scripts import search as search_script

pytest.importorskip("fastapi", reason="the API's packages are not installed")
testclient = pytest.importorskip("starlette.testclient")

import api  # noqa: E402
from retrieval import serving  # noqa: E402
from retrieval.serving import Front, Settings, Workers  # noqa: E402

FLAT = json.dumps([{"extractor": "hog"}])
LOCAL = "http://localhost"
TOKEN = "a-token-of-this-test"


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory, toy_folder: Path) -> Iterator[Path]:
    """The toy collection, described by hog, in flat and ivf. Nothing here changes it."""
    home = tmp_path_factory.mktemp("api") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLAYGROUND_HOME", str(home))
        importing.import_collection("toy", DemoSource(toy_folder))
        build("toy", ["hog"], ["flat", "ivf"])
        yield home


def client_of(settings: Settings | None = None, base: str = LOCAL) -> Any:
    return testclient.TestClient(
        api.create(settings or Settings()), base_url=base, raise_server_exceptions=False
    )


@pytest.fixture(scope="module")
def client(toys: Path) -> Iterator[Any]:
    with client_of() as made:
        yield made


def content_of(name: str) -> bytes:
    return store.load("toy").content(name)


def problem(response: Any, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == serving.PROBLEM
    body: dict[str, Any] = response.json()
    assert body["status"] == status and body["type"] == "about:blank" and body["title"]
    assert body["detail"].rstrip("'\"")[-1] in ".*-)" or "command" in body, body
    return body


# -- what is there ----------------------------------------------------------------------------


def test_what_is_there(client: Any) -> None:
    assert client.get("/v1/health").json()["status"] == "ok"
    (listed,) = client.get("/v1/collections").json()["items"]
    assert (listed["name"], listed["photos"], listed["queries"]) == ("toy", 30, 5)
    part = client.get("/v1/collections/toy", params={"offset": 28, "limit": 5}).json()
    assert [one["id"] for one in part["photo_list"]] == ["toy-4-04", "toy-4-05"]
    assert part["photo_list"][0]["label"] == "toy-4" and len(part["query_ids"]) == 5
    hog = next(one for one in part["built"] if one["extractor"] == "hog")
    assert hog["state"] == "ready" and hog["dim"] == 3780
    states = {one["index"]: one["state"] for one in hog["indexes"]}
    assert states["flat"] == "ready" and states["lsh"] == "missing"
    text = json.dumps(part) + json.dumps(listed)
    assert str(PROJECT_ROOT) not in text and "/home" not in text  # nobody's folders


@pytest.mark.parametrize(
    ("kind", "name"), [("extractors", "delf"), ("indexes", "pq"), ("rerankers", "aqe")]
)
def test_catalogues(client: Any, kind: str, name: str) -> None:
    items = {one["name"]: one for one in client.get(f"/v1/{kind}").json()["items"]}
    assert items[name]["card"]["formula"] and items[name]["title"]


def test_a_photo_is_its_own_file_and_a_thumbnail_is_small(client: Any) -> None:
    whole = client.get("/v1/photos/toy/toy-1-02")
    assert whole.content == content_of("toy-1-02")
    assert whole.headers["content-type"] == "image/jpeg"
    small = client.get("/v1/photos/toy/toy-1-02", params={"size": 64})
    assert photos.decode(small.content).shape == (48, 64, 3)
    problem(client.get("/v1/photos/toy/toy-1-02", params={"size": 5}), 422)
    assert "has no photo" in problem(client.get("/v1/photos/toy/none"), 404)["detail"]


# -- searching --------------------------------------------------------------------------------


def test_an_answer_is_that_of_the_command_line(
    client: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "photo.jpg"
    file.write_bytes(content_of("q-toy-2-06"))
    arguments = ["--collection", "toy", "--extractor", "hog", "--index", "ivf:nprobe=1"]
    arguments += ["--rerank", "aqe:k=3", "--image", str(file), "--box", "20,10,180,140"]
    assert search_script.main([*arguments, "--k", "7", "--json"]) == 0
    expected = json.loads(capsys.readouterr().out)
    recipe = {"extractor": "hog", "index": "ivf:nprobe=1", "rerank": "aqe:k=3"}
    fields = {"collection": "toy", "k": "7", "box": "20,10,180,140"}
    response = client.post(
        "/v1/search",
        data=fields | {"recipes": json.dumps([recipe])},
        files={"photo": ("photo.jpg", file.read_bytes())},
    )
    assert response.status_code == 200, response.text
    (answer,) = response.json()["results"]
    assert set(answer) == set(expected)
    measured = {"timings_ms", "cold", "load_ms"}
    for field in set(expected) - measured:
        assert answer[field] == expected[field], field
    assert set(answer["timings_ms"]) == set(expected["timings_ms"])
    assert answer["hits"][0]["label"] == "toy-2"


def test_several_recipes_describe_once(client: Any) -> None:
    recipes = [{"extractor": "hog"}, {"extractor": "hog", "index": "ivf"}]
    recipes += [{"extractor": "hog", "rerank": "aqe"}]
    pixels = np.random.default_rng(5).integers(0, 255, (150, 200, 3), np.uint8)
    upload = photos.encode_jpeg(pixels)
    with mock.patch.object(
        engine_module, "_describe", side_effect=engine_module._describe
    ) as describe:
        response = client.post(
            "/v1/search",
            data={"collection": "toy", "recipes": json.dumps(recipes)},
            files={"photo": upload},
        )
    assert describe.call_count == 1
    answers = response.json()["results"]
    assert [(one["index"], one["rerank"]) for one in answers] == [
        ("flat", []),
        ("ivf", []),
        ("flat", ["aqe"]),
    ]


def test_a_photo_of_the_collection_is_not_its_own_result(client: Any) -> None:
    fields = {"collection": "toy", "recipes": FLAT, "photo_id": "toy-3-01", "k": "30"}
    found = client.post("/v1/search", data=fields).json()
    assert found["excluded"] == ["toy-3-01"] and found["photo"] == "toy-3-01"
    ids = [hit["id"] for hit in found["results"][0]["hits"]]
    assert len(ids) == 29 and "toy-3-01" not in ids
    found = client.post("/v1/search", data=fields | {"exclude": "toy-3-02, toy-3-03"}).json()
    assert len(found["results"][0]["hits"]) == 27
    # A query of the collection has a box of its own.
    found = client.post("/v1/search", data=fields | {"photo_id": "q-toy-0-06"}).json()
    assert found["results"][0]["box"] == [20, 10, 180, 140]


def test_a_batch_puts_a_problem_in_the_place_of_a_bad_photo(client: Any) -> None:
    files = [("photos", ("good.jpg", content_of("toy-1-00"))), ("photos", ("bad.jpg", b"no"))]
    fields = {"collection": "toy", "recipes": FLAT, "photo_ids": "toy-2-02,nobody", "k": "3"}
    response = client.post("/v1/search/batch", data=fields, files=files)
    assert response.status_code == 200, response.text
    good, bad, own, nobody = response.json()["photos"]
    assert good["photo"] == "good.jpg" and good["results"][0]["hits"][0]["id"] == "toy-1-00"
    assert (bad["photo"], bad["status"]) == ("bad.jpg", 415) and "no photo" not in bad["title"]
    assert own["excluded"] == ["toy-2-02"] and own["results"][0]["hits"][0]["id"] != "toy-2-02"
    assert nobody["status"] == 404 and nobody["command"].startswith("python -m scripts.")


def test_a_described_photo_searches_by_its_vector(client: Any) -> None:
    fields = {"collection": "toy", "extractor": "hog", "box": "20,10,180,140"}
    upload = {"photo": content_of("q-toy-4-06")}
    made = client.post("/v1/describe", data=fields, files=upload).json()
    assert (len(made["vectors"]), made["dim"], made["geometry"]) == (1, 3780, None)
    assert np.linalg.norm(made["vectors"][0]) == pytest.approx(1, abs=1e-4)
    body = {"collection": "toy", "extractor": "hog", "vectors": made["vectors"], "k": 5}
    by_vector = client.post("/v1/search/vector", json=body).json()
    fields = {"collection": "toy", "recipes": FLAT, "box": "20,10,180,140", "k": "5"}
    by_photo = client.post("/v1/search", data=fields, files=upload).json()["results"][0]
    assert by_vector["hits"] == by_photo["hits"] and by_vector["box"] is None
    left = client.post("/v1/search/vector", json=body | {"exclude": ["toy-4-00"]}).json()
    assert "toy-4-00" not in [hit["id"] for hit in left["hits"]]


@pytest.mark.parametrize(
    ("vectors", "words"),
    [
        ([[0.6, 0.8]], r"shape \(1, 2\)\. hog makes \(1, 3780\)"),
        ([[1.0], [0.5, 0.5]], "different lengths"),
        ([[2.0] + [0.0] * 3779], "row 0 has the length 2"),
        ([[1.0] + [0.0] * 3779] * 2, r"shape \(2, 3780\)"),
        ([[1e39] + [0.0] * 3779], "row 0 has the length inf"),
        ([["nan"] * 3780], r"vectors\.0\.0: Input should be a finite number"),
    ],
)
def test_vectors_that_are_none_of_the_extractor(
    client: Any, vectors: list[list[float]], words: str
) -> None:
    body = {"collection": "toy", "extractor": "hog", "vectors": vectors}
    assert re.search(words, problem(client.post("/v1/search/vector", json=body), 422)["detail"])


# -- problems ---------------------------------------------------------------------------------


def test_what_is_not_built_comes_with_the_command(client: Any) -> None:
    fields = {"collection": "toy", "photo_id": "toy-0-00"}
    for recipe in ({"extractor": "hog", "index": "pq"}, {"extractor": "bovw"}):
        body = problem(
            client.post("/v1/search", data=fields | {"recipes": json.dumps([recipe])}), 404
        )
        assert body["command"].startswith("python -m scripts.build --collection toy")
        assert body["command"] in body["detail"]
    body = problem(client.get("/v1/collections/nothing"), 404)
    assert "There are: toy" in body["detail"]
    assert body["command"].startswith("python -m scripts.collections import")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"recipes": "[]"}, "0 recipes"),
        ({"recipes": "{"}, "recipes"),
        ({"recipes": '[{"extractor": "hogg"}]'}, "no extractor 'hogg'"),
        ({"recipes": '[{"extractor": "hog", "rerank": "ransac"}]'}, "local features"),
        ({"recipes": '[{"extractor": "hog", "colour": 1}]'}, "colour"),
        ({"box": "1,2,3"}, "not a box"),
        ({"box": "0,0,900,900"}, "does not lie inside"),
        ({"k": "0"}, "greater than or equal to 1"),
        ({"k": "1001"}, "Legal: 1 to 1000"),
        ({"collection": "../toy"}, "not a legal collection name"),
        ({"photo_id": ""}, "either photo"),
    ],
)
def test_illegal_values(client: Any, fields: dict[str, str], words: str) -> None:
    legal = {"collection": "toy", "recipes": FLAT, "photo_id": "toy-0-00"}
    assert words in problem(client.post("/v1/search", data=legal | fields), 422)["detail"]


def test_uploads_that_cannot_be_used(client: Any) -> None:
    fields = {"collection": "toy", "recipes": FLAT}

    def sent(content: bytes, to: Any = client) -> Any:
        return to.post("/v1/search", data=fields, files={"photo": ("x.jpg", content)})

    assert "PDF" in problem(sent(b"%PDF-1.7 and more"), 415)["detail"]
    assert "cut short" in problem(sent(content_of("toy-0-00")[:900]), 422)["detail"]
    both = client.post(
        "/v1/search", data=fields | {"photo_id": "toy-0-00"}, files={"photo": b"12345678"}
    )
    assert "either photo" in problem(both, 422)["detail"]
    small = client_of(Settings(max_pixels=1000, max_body=50_000))
    with small:
        detail = problem(sent(content_of("toy-0-00"), small), 413)["detail"]
        assert "30,000 pixels, the limit is 1,000" in detail
        assert "Legal: up to 50,000" in problem(sent(bytes(60_000), small), 413)["detail"]
        # The same without a length: the bytes are counted as they come.
        stream = (b"x" * 10_000 for _ in range(7))
        kind = {"Content-Type": "multipart/form-data; boundary=b"}
        late = small.post("/v1/search", content=stream, headers=kind)
        assert "more than 50,000 bytes" in problem(late, 413)["detail"]


def test_unknown_places_and_methods(client: Any) -> None:
    problem(client.get("/v1/nothing"), 404)
    problem(client.put("/v1/search"), 405)


def test_a_defect_of_ours_is_no_traceback(client: Any) -> None:
    with mock.patch.object(api.answer, "catalogue", side_effect=RuntimeError("secret")):
        body = problem(client.get("/v1/extractors"), 500)
    assert "RuntimeError" in body["detail"] and "secret" not in json.dumps(body)


def test_a_changed_collection_conflicts(
    toy_collection: store.Collection, toy_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build("toy", ["hog"], ["flat"])
    with client_of(Settings(writable=True)) as client:
        gone = client.delete("/v1/collections/toy/photos/toy-0-00")
        assert gone.json()["photos"] == 29 and gone.json()["removed"] == 1
        problem(client.delete("/v1/collections/toy/photos/toy-0-00"), 404)
        fields = {"collection": "toy", "recipes": FLAT, "photo_id": "toy-0-01"}
        body = problem(client.post("/v1/search", data=fields), 409)
        assert "30 photos then, 29 now" in body["detail"] and "scripts.build" in body["command"]


# -- the queue --------------------------------------------------------------------------------


def test_a_full_queue_refuses_and_frees_its_places() -> None:
    release = threading.Event()

    async def scene() -> None:
        workers = Workers(running=1, waiting=1, seconds=30)
        first = asyncio.create_task(workers.run(release.wait))
        second = asyncio.create_task(workers.run(lambda: "second"))
        while workers.pending < 2:
            await asyncio.sleep(0)
        with pytest.raises(serving.Busy, match="2 requests") as busy:
            await workers.run(lambda: "third")
        assert busy.value.retry_after >= 1
        release.set()
        assert (await first, await second) == (True, "second")
        while workers.pending:
            await asyncio.sleep(0)
        assert await workers.run(lambda: "again") == "again"
        workers.close()

    asyncio.run(asyncio.wait_for(scene(), 30))


def test_work_that_takes_too_long_keeps_its_place_until_it_ends() -> None:
    release = threading.Event()

    async def scene() -> None:
        workers = Workers(running=1, waiting=1, seconds=0.01)
        with pytest.raises(serving.TooSlow, match=r"longer than 0\.01 s"):
            await workers.run(release.wait)
        assert workers.pending == 1  # the thread is still in it
        with pytest.raises(serving.TooSlow):
            await workers.run(lambda: pytest.fail("nobody waits for this any more"))
        assert workers.pending == 1  # what only waited has left
        release.set()
        while workers.pending:
            await asyncio.sleep(0)
        with pytest.raises(TimeoutError, match="the work's own"):
            await Workers(1, 1, 30).run(_own_timeout)

    asyncio.run(asyncio.wait_for(scene(), 30))


def _own_timeout() -> None:
    raise TimeoutError("the work's own")


def test_429_and_503_come_with_retry_after(toys: Path) -> None:
    fields = {"collection": "toy", "recipes": FLAT, "photo_id": "toy-0-00"}
    for error, status in ((serving.Busy("Full.", 7), 429), (serving.TooSlow("Slow.", 3), 503)):
        with client_of() as client:
            with mock.patch.object(Workers, "run", side_effect=error):
                response = client.post("/v1/search", data=fields)
            assert problem(response, status)["detail"] == str(error)
            assert response.headers["retry-after"] == str(error.retry_after)


# -- who may come in --------------------------------------------------------------------------


def test_a_token_is_needed_where_there_is_one(toys: Path) -> None:
    with client_of(Settings(token=TOKEN), "http://photos.example") as client:
        assert client.get("/v1/health").status_code == 200
        assert client.get("/docs").status_code == 200
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}):
            response = client.get("/v1/collections", headers=headers)
            problem(response, 401)
            assert response.headers["www-authenticate"] == "Bearer"
        for kind in ("Bearer", "bearer"):
            headers = {"Authorization": f"{kind} {TOKEN}"}
            assert client.get("/v1/collections", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("headers", "server", "status"),
    [
        ({"host": "localhost:8502"}, "127.0.0.1", None),
        ({"host": "[::1]:8502"}, "::1", None),
        ({"host": "127.0.0.1"}, "::ffff:127.0.0.1", None),
        ({"host": "localhost"}, None, None),  # a socket that is a file
        ({"host": "localhost", "origin": "http://localhost:8502"}, "127.0.0.1", None),
        ({"host": "192.168.1.5:8502"}, "192.168.1.5", 403),
        ({"host": "localhost"}, "0.0.0.0", 403),
        ({"host": "evil.example"}, "127.0.0.1", 403),  # a name of others that leads here
        ({}, "127.0.0.1", 403),
        ({"host": "localhost", "origin": "https://evil.example"}, "127.0.0.1", 403),
        ({"host": "localhost", "origin": "null"}, "127.0.0.1", 403),
        ({"host": "[bad"}, "127.0.0.1", 403),
    ],
)
def test_without_a_token_only_this_machine(
    headers: dict[str, str], server: str | None, status: int | None
) -> None:
    refused = serving.refusal(headers, server, None)
    assert (refused and refused[0]) == status


def test_an_address_that_others_reach_needs_a_token(capsys: pytest.CaptureFixture[str]) -> None:
    assert serving.check_token(None, "127.0.0.1") is None
    assert serving.check_token(TOKEN, "0.0.0.0") == TOKEN
    with pytest.raises(Invalid, match="others can reach"):
        serving.check_token(None, "0.0.0.0")
    with pytest.raises(Invalid, match="16 or more"):
        serving.check_token("short", "127.0.0.1")
    assert api.main(["--host", "0.0.0.0"]) == 2
    assert "PLAYGROUND_API_TOKEN" in capsys.readouterr().err


def test_what_changes_things_is_off_by_default(client: Any) -> None:
    files = {"photos": ("a.jpg", content_of("toy-0-00"))}
    build_of = {"collection": "toy", "extractors": ["hog"]}
    for response in (
        client.post("/v1/collections/toy/photos", files=files),
        client.delete("/v1/collections/toy/photos/toy-0-00"),
        client.post("/v1/builds", json=build_of),
    ):
        assert "--writable" in problem(response, 403)["detail"]
    assert len(store.load("toy").photos) == 30


def test_a_body_that_does_not_come_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, toys: Path
) -> None:
    monkeypatch.setattr(serving, "PIECE_SECONDS", 0.01)
    sent: list[Any] = []
    scope = {"type": "http", "method": "POST", "path": "/v1/search", "raw_path": b"/v1/search"}
    scope |= {"headers": [(b"host", b"localhost"), (b"content-type", b"application/json")]}
    scope |= {"server": ("127.0.0.1", 8502), "query_string": b"", "http_version": "1.1"}
    scope |= {"scheme": "http", "client": ("127.0.0.1", 1), "root_path": ""}
    scope["path"] = scope["path"] + "/vector"

    async def silence() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(asyncio.wait_for(api.create(Settings())(scope, silence, send), 30))
    assert sent[0]["status"] == 408
    assert "did not come within" in json.loads(sent[1]["body"])["detail"]


def test_only_requests_are_looked_at() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    seen: list[str] = []
    front = Front(app, TOKEN, 10, lambda scope, status: None)
    asyncio.run(front({"type": "lifespan"}, mock.Mock(), mock.Mock()))
    assert seen == ["lifespan"]


# -- changing ---------------------------------------------------------------------------------


def test_photos_come_and_go(toy_collection: store.Collection, toy_folder: Path) -> None:
    new = photos.encode_jpeg(np.random.default_rng(1).integers(0, 255, (90, 120, 3), np.uint8))
    with client_of(Settings(writable=True)) as client:
        files = [("photos", ("../new one.jpg", new)), ("photos", ("bad.jpg", b"nothing"))]
        response = client.post(
            "/v1/collections/toy/photos", files=files, data={"label": "somewhere"}
        )
        assert response.status_code == 201, response.text
        report = response.json()
        assert (report["added"], report["photos"]) == (1, 31)
        assert report["skipped"][0]["file"] == "bad.jpg"
        assert client.get("/v1/photos/toy/new_one").content == new
        assert store.load("toy").photo("new_one").label == "somewhere"
        none = client.post("/v1/collections/toy/photos", files=[("photos", ("x.jpg", b"nothing"))])
        assert "None of the 1 photos was taken" in problem(none, 422)["detail"]
        problem(client.post("/v1/collections/none/photos", files=files), 404)
        assert client.delete("/v1/collections/toy/photos/new_one").json()["photos"] == 30


def test_a_build_starts_and_tells_how_far_it_is(toy_collection: store.Collection) -> None:
    with client_of(Settings(writable=True)) as client:
        wanted = {"collection": "toy", "extractors": ["hog"], "indexes": ["flat", "ivf:nlist=2"]}
        response = client.post("/v1/builds", json=wanted)
        assert response.status_code == 202, response.text
        place = response.headers["location"]
        again = client.post("/v1/builds", json=wanted)
        if again.status_code != 202:  # unless the first is through already
            assert "running already" in problem(again, 409)["detail"]
        while (state := client.get(place).json())["state"] == "running":
            assert 0 <= state["fraction"] <= 1
            time.sleep(0.1)
        assert state["state"] == "done" and state["fraction"] == 1, state
        assert [one["stage"] for one in state["stages"]] == ["extract", "index", "index"]
        fields = {"collection": "toy", "recipes": FLAT, "photo_id": "toy-0-00"}
        assert client.post("/v1/search", data=fields).status_code == 200
        problem(client.get("/v1/builds/nothing"), 404)
        problem(client.post("/v1/builds", json=wanted | {"extractors": ["hogg"]}), 422)
        problem(client.post("/v1/builds", json=wanted | {"collection": "none"}), 404)


def test_jobs_say_what_kind_of_error_it_is(home: Path) -> None:
    with (
        mock.patch.object(jobs, "running", return_value=mock.Mock(id="j")),
        pytest.raises(Conflict),
    ):
        jobs.start("toy", "build", ["scripts.build"])


# -- metrics, docs, packages ------------------------------------------------------------------


def test_metrics_count_what_was_answered(toys: Path) -> None:
    with client_of() as client:
        fields = {"collection": "toy", "photo_id": "toy-0-02"}
        recipes = json.dumps([{"extractor": "hog"}, {"extractor": "hog", "rerank": "aqe:k=2"}])
        client.post("/v1/search", data=fields | {"recipes": recipes})
        client.get("/v1/collections/none")
        client.get("/v1/%00evil")
        text = client.get("/v1/metrics").text
    counts = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    search = 'playground_requests_total{method="POST",route="/v1/search",status="200"}'
    assert counts[search] == "1.0"
    lost = 'playground_requests_total{method="GET",route="/v1/collections/{name}",status="404"}'
    assert counts[lost] == "1.0" and counts['playground_errors_total{kind="NotFound"}'] == "1.0"
    assert "evil" not in text
    ran = {
        stage: counts[f'playground_stage_seconds_count{{stage="{stage}"}}']
        for stage in ("extract", "search", "aqe")
    }
    assert ran == {"extract": "1.0", "search": "2.0", "aqe": "1.0"}
    assert counts["playground_pending"] == "0.0"


def test_docs_need_nothing_from_elsewhere(client: Any) -> None:
    page = client.get("/docs").text
    links = re.findall(r"""(?:src|href)=["']([^"']+)""", page) + re.findall(r"url: '([^']+)", page)
    assert len(links) >= 4 and all(link.startswith("/") for link in links), links
    for link in links:
        assert client.get(link).status_code == 200, link


def test_without_the_packages_there_is_a_sentence(tmp_path: Path) -> None:
    hide = "import sys; sys.modules['fastapi'] = None; import api"
    done = subprocess.run(
        [sys.executable, "-c", hide], cwd=PROJECT_ROOT, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.strip() == (
        "error: The API needs packages that are not installed (fastapi). Run: "
        "python -m pip install -r requirements-api.txt"
    )


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (PlaygroundError("x"), 422),
        (Conflict("x"), 409),
        (photos.TooManyPixels("x"), 413),
        (photos.UnknownFormat("x"), 415),
    ],
)
def test_a_status_for_each_kind(error: PlaygroundError, status: int) -> None:
    assert serving.status_of(error) == status


def test_a_full_disk_is_not_the_clients_fault() -> None:
    error = PlaygroundError("full")
    error.__cause__ = OSError(28, "No space left on device")
    assert serving.status_of(error) == 507


def test_every_problem_is_in_the_description(client: Any) -> None:
    described = client.get("/openapi.json").json()
    for path, operations in described["paths"].items():
        for operation in operations.values():
            kinds = set(operation["responses"])
            assert path == "/v1/health" or {"401", "404", "413", "415", "422", "429"} <= kinds, path
            for status, response in operation["responses"].items():
                if status >= "400":
                    assert list(response["content"]) == [serving.PROBLEM]
    assert io.StringIO(json.dumps(described)).readable()
