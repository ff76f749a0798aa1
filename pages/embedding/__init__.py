"""The Embedding map page."""
