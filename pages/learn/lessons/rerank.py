"""What can be done after the index has answered."""

from __future__ import annotations

from pages.learn.lesson import Because, Compare, Lesson, Number, Run, Step

_GEM = "gem-siamese"
_PLAIN = Run("as found", _GEM, rerank="none")

LESSON = Lesson(
    "rerank",
    "Re-ranking",
    "A second, slower look at the first answers can mend their order, and sometimes spoil it.",
    (
        Step(
            "Ask again with the answers",
            "**Query expansion** (aqe) takes the mean of the query and its first answers and "
            "searches once more with it.",
            "palace-02_q0",
            (_PLAIN, Run("expanded", _GEM, rerank="aqe")),
            Compare(
                "Does the expanded query find more right photos?",
                "found",
                of=1,
                than=0,
                more=Because(
                    "More",
                    "The mean of the first answers lies nearer to the landmark's other photos than "
                    "the query alone did: it has seen the landmark from several sides.",
                ),
                same=Because(
                    "As many",
                    "The mean points where the query pointed. With more right photos to be found, "
                    "or better first answers, it gains.",
                ),
                less=Because(
                    "Fewer",
                    "Wrong photos among the first answers went into the mean, too, and it moved "
                    "towards them: this is called drift.",
                ),
            ),
        ),
        Step(
            "And for another query?",
            "The same expansion for another landmark, in other light.",
            "castle-02_q0",
            (_PLAIN, Run("expanded", _GEM, rerank="aqe")),
            Compare(
                "Does the expanded query find more right photos here?",
                "found",
                of=1,
                than=0,
                more=Because(
                    "More",
                    "The right ones among the first answers agreed with each other more than the "
                    "wrong ones did, and the mean followed them.",
                ),
                same=Because("As many", "The mean moved, and right photos stayed as many."),
                less=Because(
                    "Fewer",
                    "Expansion believes its first answers: wrong ones among them pull the mean "
                    "their way, and it finds more of their kind.",
                ),
            ),
        ),
        Step(
            "Who has the same neighbours?",
            "**k-reciprocal** calls two photos alike if each is among the other's nearest, and if "
            "they have the same neighbours.",
            "stupa-01_q0",
            (_PLAIN, Run("k-reciprocal", _GEM, rerank="k-reciprocal")),
            Compare(
                "Does k-reciprocal find more right photos?",
                "found",
                of=1,
                than=0,
                more=Because(
                    "More",
                    "A wrong photo may be near the query by chance, but it has a landmark of its "
                    "own, whose photos are its neighbours. Right ones have each other.",
                ),
                same=Because(
                    "As many",
                    "The neighbours say what the distances said already. Compare the order.",
                ),
                less=Because(
                    "Fewer",
                    "Photos of a landmark of the same kind held together better than those of the "
                    "query's own.",
                ),
            ),
        ),
        Step(
            "What it costs",
            "The same three, timed: expansion searches again, k-reciprocal compares the shortlist "
            "with itself.",
            "stupa-01_q0",
            (
                _PLAIN,
                Run("expanded", _GEM, rerank="aqe"),
                Run("k-reciprocal", _GEM, rerank="k-reciprocal"),
            ),
            Number(
                "How many times as long as expansion does k-reciprocal take?",
                "rerank_ms",
                of=2,
                over=1,
                low=0.1,
                high=1000.0,
                near=0.5,
                unit="times",
                because="Expansion is one more search. k-reciprocal compares every photo of the "
                "shortlist with every other, so it grows with the square of the shortlist, but "
                "not with the collection.",
            ),
            shows=("search_ms", "describe_ms", "found"),
        ),
        Step(
            "What no re-ranking brings back",
            "IVF with nprobe 1 looks into one cell. Its answer, re-ranked by k-reciprocal, against "
            "exact search.",
            "guildhall-03_q1",
            (
                Run("exact", _GEM, "flat", rerank="none"),
                Run("nprobe 1", _GEM, "ivf:nprobe=1", rerank="none"),
                Run("nprobe 1, re-ranked", _GEM, "ivf:nprobe=1", rerank="k-reciprocal"),
            ),
            Compare(
                "Does re-ranking the answer of nprobe 1 reach as many right photos as exact "
                "search has?",
                "found",
                of=2,
                than=0,
                more=Because(
                    "More",
                    "The order was mended so much that right photos from behind the first ten came "
                    "in, more than the cells had lost.",
                ),
                same=Because(
                    "As many",
                    "Either the cell lost none of them, or a better order made up for it: the "
                    "second row tells which.",
                ),
                less=Because(
                    "Fewer",
                    "A re-ranker that reads a shortlist can only put it in order: what the index "
                    "did not return is not there to be ranked.",
                ),
            ),
            shows=("agrees",),
        ),
    ),
)
