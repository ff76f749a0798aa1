"""IVF: what is not looked at is not found."""

from __future__ import annotations

from pages.learn.lesson import Because, Compare, Lesson, Number, Run, Step

_GEM = "gem-siamese"
_ONE = Run("nprobe 1", _GEM, "ivf:nprobe=1")
_FLAT = Run("exact", _GEM, "flat")

LESSON = Lesson(
    "ivf",
    "What IVF misses",
    "IVF compares the query with the nearest cells only; neighbours in other cells are missed.",
    (
        Step(
            "One cell",
            "**IVF** has sorted the photos into cells. With *nprobe* 1, a query is compared with "
            "the photos of the one nearest cell, and with no others.",
            "guildhall-01_q1",
            (_FLAT, _ONE),
            Number(
                "Of the ten photos that exact search finds, how many does IVF find with nprobe 1?",
                "agrees",
                of=1,
                low=0,
                high=10,
                unit="of 10",
                because="Neighbours of the query that were filed in another cell are never "
                "compared, however near they are. Those of the same cell are compared exactly, so "
                "what IVF does return is in the right order.",
            ),
            shows=("found",),
        ),
        Step(
            "How much it looks at",
            "The same two searches. Exact search compares the query with all photos.",
            "guildhall-01_q1",
            (_FLAT, _ONE),
            Number(
                "With how many photos does IVF compare the query at nprobe 1?",
                "compared",
                of=1,
                low=0,
                high=1200,
                unit="photos",
                near=0.5,
                because="That is the whole gain: vectors that are not read take no time. The cells "
                "are of different sizes, as k-means follows where the photos are.",
            ),
            shows=("agrees",),
        ),
        Step(
            "More cells",
            "Now four cells are visited instead of one.",
            "guildhall-01_q1",
            (_FLAT, _ONE, Run("nprobe 4", _GEM, "ivf:nprobe=4")),
            Compare(
                "Does nprobe 4 find more of exact search's ten than nprobe 1?",
                "agrees",
                of=2,
                than=1,
                more=Because(
                    "More",
                    "The second to fourth nearest cells held neighbours that the first did not: "
                    "the query lies near a border. Each cell costs as much again, and brings "
                    "less than the one before.",
                ),
                same=Because(
                    "As many",
                    "The three further cells were compared for nothing here, as for most queries "
                    "in the middle of a cell. The price is paid all the same.",
                ),
                less=Because(
                    "Fewer",
                    "That cannot be: four cells hold all that one holds. If you see this, the "
                    "index is damaged: build it again.",
                ),
            ),
            shows=("compared", "found"),
        ),
        Step(
            "Missed, or not missed?",
            "Agreeing with exact search is one thing, showing the right landmark another.",
            "palace-02_q0",
            (_FLAT, _ONE),
            Compare(
                "Does IVF with nprobe 1 find fewer photos of the right landmark than exact search?",
                "found",
                of=1,
                than=0,
                more=Because(
                    "More",
                    "The cell kept photos of *other* landmarks out, which exact search put before "
                    "right ones. Luck, not accuracy: an index is judged by agreeing with exact "
                    "search, an extractor by the right photos.",
                ),
                same=Because(
                    "As many",
                    "Whatever was missed, right photos are as many. That is why an index is judged "
                    "by agreeing with exact search, and not by the right photos: those depend on "
                    "the extractor, too.",
                ),
                less=Because(
                    "Fewer",
                    "Right photos were filed in other cells. No re-ranking brings back what the "
                    "index did not return.",
                ),
            ),
            shows=("agrees",),
        ),
        Step(
            "And the time?",
            "Both searches are timed on this collection, warm, several times in turn.",
            "guildhall-01_q1",
            (_FLAT, _ONE),
            Compare(
                "Is IVF with nprobe 1 quicker than exact search here?",
                "search_ms",
                of=1,
                than=0,
                more=Because(
                    "It is slower",
                    "With so few photos, exact search is one pass over memory, while IVF ranks "
                    "cells first and then collects lists. It pays from some ten thousand on.",
                ),
                same=Because(
                    "No difference that can be measured",
                    "With so few photos both take next to nothing beside the description of the "
                    "query. What IVF saves shows from some ten thousand photos on.",
                ),
                less=Because(
                    "It is quicker",
                    "It reads a small part of the vectors. Beside the description of the query, "
                    "both are little at this size; from some ten thousand photos on it counts.",
                ),
            ),
            shows=("describe_ms", "agrees"),
        ),
    ),
)
