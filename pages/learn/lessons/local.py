"""Visual words, local features and global vectors."""

from __future__ import annotations

from pages.learn.lesson import Because, Compare, Lesson, Number, Run, Step, Which

_GEM = "gem-siamese"
_THREE = (Run("BoVW", "bovw"), Run("GeM-Siamese", _GEM), Run("DELF", "delf"))

LESSON = Lesson(
    "features",
    "Words, local and global features",
    "One vector per photo is small and quick; many local ones find what is hidden or zoomed.",
    (
        Step(
            "Three ways to describe",
            "**BoVW** sorts SIFT patches into a vocabulary and counts the words. "
            "**GeM-Siamese** pools a network's responses into one vector. **DELF** keeps the "
            "patches themselves and checks how they lie.",
            "pyramid-01_q0",
            _THREE,
            Which(
                "Which finds most right photos of this landmark?",
                "found",
                because=(
                    "Its texture gives BoVW words that few other landmarks have, and such words "
                    "weigh most (tf-idf).",
                    "The shape as a whole is what stands out here, and a vector of the whole "
                    "catches it best.",
                    "Many patches match, and they lie as in the query: votes that geometry has "
                    "confirmed beat everything else.",
                ),
                tie="Several are level on this query. The photos they find need not be the same: "
                "compare the rows.",
            ),
        ),
        Step(
            "Only a detail",
            "The photographer has zoomed in: only a part of the landmark is in the picture.",
            "bridge-02_q0",
            _THREE,
            Which(
                "Which finds most right photos now?",
                "found",
                because=(
                    "Words of the part are among the words of the whole. BoVW need not see the "
                    "rest.",
                    "The network recognises the part, as its training has shown it crops of "
                    "landmarks. Local features had too little that is sharp at both scales.",
                    "Patches of the part match patches of the whole, whatever surrounds them. One "
                    "vector of the whole photo hides the part among all else.",
                ),
                tie="Several are level. What is zoomed by more than an octave is hard for all of "
                "them: a patch of the detail has no counterpart in the photo of the whole.",
            ),
        ),
        Step(
            "Something stands in front",
            "A tree, people or a car hide a part of the landmark.",
            "castle-02_q1",
            (Run("GeM-Siamese", _GEM), Run("DELF", "delf")),
            Compare(
                "Does DELF find more right photos than GeM-Siamese?",
                "found",
                of=1,
                than=0,
                more=Because(
                    "DELF finds more",
                    "What is hidden casts no vote, and what is visible votes as before. In one "
                    "vector, tree and landmark are mixed.",
                ),
                same=Because(
                    "As many",
                    "The part that is hidden was not decisive for either of them.",
                ),
                less=Because(
                    "DELF finds fewer",
                    "Too few patches of the landmark were left, or they match at no such angle; "
                    "the outline, which the global vector has seen, was still there.",
                ),
            ),
        ),
        Step(
            "What it takes",
            "The collection's index keeps what every photo is described by.",
            "pyramid-01_q0",
            (Run("GeM-Siamese", _GEM), Run("DELF", "delf")),
            Number(
                "How many times the bytes of GeM-Siamese does DELF take per photo?",
                "bytes",
                of=1,
                over=0,
                low=0.1,
                high=1000.0,
                near=0.5,
                unit="times",
                because="GeM-Siamese has one vector per photo, DELF one for every patch that its "
                "attention chose. In memory that is what many vectors cost: with a billion photos, "
                "it decides what is possible at all.",
            ),
            shows=("features", "found"),
        ),
        Step(
            "Does geometry help?",
            "DELF's patches vote, and RANSAC then asks how many of the votes fit one view of the "
            "same thing. Here without that check, and with it.",
            "campanile-02_q0",
            (Run("votes alone", "delf", rerank="none"), Run("votes and RANSAC", "delf")),
            Compare(
                "Does RANSAC bring more right photos into the first ten?",
                "found",
                of=1,
                than=0,
                more=Because(
                    "More",
                    "Windows, columns and leaves look alike everywhere, so wrong photos get votes, "
                    "too. Only on the right landmark do they lie as in the query.",
                ),
                same=Because(
                    "As many",
                    "The votes were clear enough. Look at the order, though: photos with many "
                    "matches that fit now lead.",
                ),
                less=Because(
                    "Fewer",
                    "One transform does not explain a view from far around a corner: right photos "
                    "with few fitting matches fell behind.",
                ),
            ),
        ),
    ),
)
