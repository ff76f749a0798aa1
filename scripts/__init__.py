"""Command-line entry points: ``python -m scripts.<name>``."""

# First of all imports: it sets the environment that torch and FAISS read when they load.
import data  # noqa: F401
