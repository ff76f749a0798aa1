"""Errors by kind, and the command that helps as a field of its own."""

from __future__ import annotations

import pickle

import pytest

from data import store
from data.errors import Conflict, Invalid, NotFound, PlaygroundError
from data.paths import check_name


def test_text_names_the_command_behind_the_sentence() -> None:
    assert str(NotFound("It is gone.", command="make it")) == "It is gone. Run: make it"
    assert str(NotFound("None. Make one:", command="make it")) == "None. Make one: make it"
    error = Conflict("It is damaged.", command="drop it", then=" and begin again")
    assert str(error) == "It is damaged. Run: drop it and begin again"
    assert error.command == "drop it" and str(Invalid("No.")) == "No."


def test_survives_a_pool_of_processes() -> None:
    error = pickle.loads(pickle.dumps(NotFound("It is gone.", command="make it")))
    assert type(error) is NotFound and error.command == "make it"
    assert str(error) == "It is gone. Run: make it"


@pytest.mark.usefixtures("home")
def test_kinds() -> None:
    with pytest.raises(NotFound) as found:
        store.load("x")
    assert isinstance(found.value, PlaygroundError)
    assert found.value.command == (
        "python -m scripts.collections import --source folder --path DIR --name x"
    )
    with pytest.raises(Invalid, match="not a legal collection name"):
        check_name("../x", "collection")
