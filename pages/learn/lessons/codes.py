"""PQ and LSH: short codes, and what they forget."""

from __future__ import annotations

from pages.learn.lesson import Because, Compare, Lesson, Number, Run, Step, Which

_GEM = "gem-siamese"
_FLAT = Run("Flat", _GEM, "flat")
_PQ = Run("PQ", _GEM, "pq")
_LSH = Run("LSH", _GEM, "lsh")

LESSON = Lesson(
    "codes",
    "What PQ and LSH lose",
    "Codes of a few bytes save memory; distances become rough, and the order with them.",
    (
        Step(
            "Bytes",
            "**Flat** keeps every vector as it is. **PQ** writes down which of a few centres each "
            "part of it is nearest to. **LSH** keeps on which side of random planes it lies.",
            "clocktower-04_q1",
            (_FLAT, _PQ, _LSH),
            Which(
                "Which takes fewest bytes per photo?",
                "bytes",
                least=True,
                because=(
                    "Flat is the smallest here: codes bring tables of their own (centres, planes), "
                    "which weigh more than they save in a collection as small as this.",
                    "PQ keeps a few bits for each part of the vector; fewer parts are smaller and "
                    "rougher. A figure for LSH holds a share of its rotation, which all photos "
                    "have in common: in a large collection little is left of it.",
                    "LSH keeps single bits. Their number is what you pay with; the planes "
                    "themselves are shared by all photos.",
                ),
                tie="Level, as it happens: how many parts and bits there are is a setting of each.",
            ),
            shows=("agrees",),
        ),
        Step(
            "What PQ loses",
            "The same query with exact distances, and with distances to PQ's codes.",
            "clocktower-04_q1",
            (_FLAT, _PQ),
            Number(
                "How many of exact search's ten photos does PQ find?",
                "agrees",
                of=1,
                low=0,
                high=10,
                unit="of 10",
                because="PQ compares the query with what it kept of each photo. Photos whose "
                "distances differ by less than the rounding change places, and may fall out of the "
                "ten.",
            ),
            shows=("bytes", "found"),
        ),
        Step(
            "Bits against centres",
            "LSH counts differing bits. Many photos have the same count, so their order is open.",
            "castle-01_q0",
            (_FLAT, _PQ, _LSH),
            Compare(
                "Does LSH find more of exact search's ten than PQ?",
                "agrees",
                of=2,
                than=1,
                more=Because(
                    "LSH more",
                    "With so many bits the angle is well estimated, and there is nothing to learn "
                    "from the collection. PQ learned its centres from few photos.",
                ),
                same=Because(
                    "As many",
                    "Level on this query, and not at the same price: compare the bytes.",
                ),
                less=Because(
                    "PQ more",
                    "PQ's centres were learned from this collection; LSH's planes are random and "
                    "know nothing of it, so it needs more bits for the same accuracy.",
                ),
            ),
            shows=("bytes", "found"),
        ),
        Step(
            "Are right photos lost?",
            "The ten of PQ and the ten of exact search, judged by the landmark.",
            "gopuram-03_q1",
            (_FLAT, _PQ),
            Compare(
                "Does PQ find fewer right photos than exact search?",
                "found",
                of=1,
                than=0,
                more=Because(
                    "More",
                    "Rounding moved wrong photos back by chance. On the mean of many queries it "
                    "does not: see Accuracy.",
                ),
                same=Because(
                    "As many",
                    "Rounding lost none, or brought in as many as it lost. Rough distances are "
                    "enough where a landmark stands out.",
                ),
                less=Because(
                    "Fewer",
                    "Right and wrong photos were nearly equally near, and the rounding decided. A "
                    "second look at the exact vectors of the first hundred (refine) mends most "
                    "of it.",
                ),
            ),
            shows=("agrees",),
        ),
        Step(
            "Fewer bits",
            "LSH once more, with 64 bits instead of its usual number. If that index is not there "
            "yet, build it: it takes a second.",
            "castle-01_q0",
            (_LSH, Run("LSH, 64 bits", _GEM, "lsh:nbits=64")),
            Compare(
                "Does LSH with 64 bits still find as many of exact search's ten?",
                "agrees",
                of=1,
                than=0,
                more=Because(
                    "More",
                    "By chance: other planes were drawn. More bits are better on the mean, not for "
                    "each query.",
                ),
                same=Because(
                    "As many",
                    "For this query eight bytes are enough, as its neighbours are far nearer than "
                    "all else.",
                ),
                less=Because(
                    "Fewer",
                    "The number of differing bits estimates the angle, as throws of a coin "
                    "estimate its bias: a quarter of the bits, twice the error.",
                ),
            ),
            shows=("bytes", "found"),
        ),
    ),
)
