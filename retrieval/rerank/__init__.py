"""What happens after the index: one file per re-ranking method."""
