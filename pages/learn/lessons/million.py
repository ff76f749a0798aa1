"""What grows with the collection, and what does not."""

from __future__ import annotations

from pages.learn.lesson import Because, Compare, Lesson, Number, Run, Step

_GEM = "gem-siamese"
_TEN, _HUNDRED = 10_000, 100_000
_IVF = "ivf:nlist=256,nprobe=8"

LESSON = Lesson(
    "million",
    "What a million costs",
    "Exact search grows with the collection; from ten thousand photos on an index pays.",
    (
        Step(
            "Ten times as many",
            "Exact search (Flat) over 10,000 and over 100,000 vectors. The demo's own come first; "
            "the others are **simulated**, drawn from a model of them.",
            "stupa-02_q1",
            (
                Run("10,000", _GEM, "flat", vectors=_TEN),
                Run("100,000", _GEM, "flat", vectors=_HUNDRED),
            ),
            Number(
                "How many times as long does exact search take over 100,000?",
                "search_ms",
                of=1,
                over=0,
                low=0.1,
                high=1000.0,
                near=0.5,
                unit="times",
                because="Every vector is read once, so ten times the vectors are about ten times "
                "the work. Where it is more, the small collection fitted into the processor's "
                "cache and the large one does not; where it is less, a fixed part counted.",
            ),
            shows=("memory",),
        ),
        Step(
            "With an index",
            "Over the same 100,000 vectors IVF visits 8 of 256 cells.",
            "stupa-02_q1",
            (
                Run("exact", _GEM, "flat", vectors=_HUNDRED),
                Run("IVF", _GEM, _IVF, vectors=_HUNDRED),
            ),
            Number(
                "How many times as long as IVF does exact search take?",
                "search_ms",
                of=0,
                over=1,
                low=0.1,
                high=1000.0,
                near=0.5,
                unit="times",
                because="IVF reads about 8 of 256 lists, and ranks 256 centres before. What it "
                "saves grows with the collection; its row says how far it agrees with Flat.",
            ),
            shows=("agrees", "memory"),
        ),
        Step(
            "Needles in a haystack",
            "The landmark's photos among 1,200, and among 100,000.",
            "gopuram-04_q0",
            (
                Run("the demo alone", _GEM, "flat", vectors=0),
                Run("100,000", _GEM, "flat", vectors=_HUNDRED),
            ),
            Compare(
                "Are fewer right photos among the first ten of 100,000?",
                "found",
                of=1,
                than=0,
                more=Because(
                    "More",
                    "That cannot be with exact search: adding vectors moves nothing forward. If "
                    "you see this, the vectors were built at different times.",
                ),
                same=Because(
                    "As many",
                    "Distractors pushed no right photo out of the ten. Simulated ones are drawn "
                    "like the collection as a whole, and few of them fall between a query and its "
                    "own landmark.",
                ),
                less=Because(
                    "Fewer",
                    "Distractors are nearer to the query than some right photos. With more photos "
                    "every descriptor has more to be confused with: the extractor must get better, "
                    "no index can help.",
                ),
            ),
            shows=(),
        ),
        Step(
            "Memory for a million",
            "What indexes of a million vectors take, by their plans. Nothing is built.",
            "stupa-02_q1",
            (
                Run("Flat", _GEM, "flat", vectors=1_000_000, planned=True),
                Run("PQ", _GEM, "pq:m=64", vectors=1_000_000, planned=True),
                Run("LSH", _GEM, "lsh:nbits=512", vectors=1_000_000, planned=True),
            ),
            Number(
                "How many times the memory of PQ does Flat take?",
                "memory",
                of=0,
                over=1,
                low=0.1,
                high=1000.0,
                near=0.3,
                unit="times",
                because="Flat keeps four bytes for every number of every vector, PQ one for each "
                "of 64 parts. At a million this decides whether it fits beside everything else; "
                "at a billion, whether it fits at all.",
            ),
            shows=("bytes",),
        ),
        Step(
            "Where the time goes",
            "One more look at the demo as it is: describing the query, and searching.",
            "stupa-02_q1",
            (Run("GeM-Siamese, exact", _GEM, "flat"),),
            Number(
                "How many ms does it take to describe the query?",
                "describe_ms",
                of=0,
                low=0,
                high=10000,
                near=0.5,
                unit="ms",
                because="Compare it with the search. In a small collection the extractor takes "
                "nearly all of the time, and no index can be felt. Exact search over a million "
                "would take some hundred times what it took over 10,000.",
            ),
            shows=("search_ms", "found"),
        ),
    ),
)
