"""The stress script: a short run of it, and that it counts what goes wrong."""

from __future__ import annotations

import json
import random
import signal
from pathlib import Path

import pytest

from data.errors import PlaygroundError
from scripts import stress


def test_a_quick_run_finds_no_fault(capsys: pytest.CaptureFixture[str]) -> None:
    assert stress.main(["--quick", "--json"]) == 0, capsys.readouterr().out
    found = {one["kind"]: one for one in json.loads(capsys.readouterr().out)["kinds"]}
    assert list(found) == list(stress.KINDS)
    for kind, one in found.items():
        assert one["cases"] == stress.COUNTS[kind][0]
        assert one["right"] + one["refused"] == one["cases"]
        assert one["right"] or not one["cases"], kind


def test_a_case_is_the_same_again() -> None:
    content = bytes(range(256)) * 8
    made = [stress.mutated(random.Random(f"0 images {i}"), content) for i in range(50)]
    again = [stress.mutated(random.Random(f"0 images {i}"), content) for i in range(50)]
    assert made == again
    assert len(set(made)) == 50


def test_faults_are_counted_and_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import contextlib
    from collections.abc import Iterator

    @contextlib.contextmanager
    def broken(folder: Path) -> Iterator[stress.Case]:
        numbers = iter(range(100))

        def case(rng: random.Random) -> None:
            number = next(numbers)
            if number == 1:
                raise PlaygroundError("refused")
            if number == 2:
                raise KeyError("lost")

        yield case

    monkeypatch.setitem(stress.KINDS, "images", broken)
    tally = stress.work("images", 0, 10, 4, None)
    assert (tally.cases, tally.right, tally.refused, tally.faults) == (4, 2, 1, 1)
    assert tally.told[0].startswith("case 12: KeyError: 'lost'")


def test_a_crash_is_a_fault_and_the_rest_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    real = stress.subprocess.run
    first: list[str] = []

    def run(words: list[str], **options: object) -> object:
        if first:
            return real(words, **options)  # type: ignore[call-overload]
        first.append(words[0])
        folder = Path(options["env"]["PLAYGROUND_HOME"])  # type: ignore[index]
        (folder / "case").write_text("4")
        code = -int(signal.SIGSEGV)
        return stress.subprocess.CompletedProcess(words, code, stdout="", stderr="dead")

    monkeypatch.setattr(stress.subprocess, "run", run)
    [tally] = stress.stress(["images"], counts={"images": 8})
    assert (tally.cases, tally.faults) == (8, 1)
    assert tally.told == [f"case 4: the process ended with {-int(signal.SIGSEGV)}: dead"]


def test_unknown_kinds_are_refused() -> None:
    with pytest.raises(PlaygroundError, match="Legal: all, images"):
        stress.main(["--kinds", "everything"])
