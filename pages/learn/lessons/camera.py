"""HOG, and why it needs the camera to stand still."""

from __future__ import annotations

from pages.learn.lesson import Because, Compare, Lesson, Number, Run, Step, Which

_GEM = "gem-siamese"

LESSON = Lesson(
    "camera",
    "Why HOG fails when the camera moves",
    "HOG compares edges place by place; a network compares what it sees, wherever it is.",
    (
        Step(
            "Edges, place by place",
            "**HOG** lays a grid over the picture and counts in each cell which way the edges "
            "run. Two pictures are alike if their cells are, one by one.",
            "gopuram-04_q0",
            (Run("HOG", "hog"),),
            Number(
                "How many of HOG's first ten photos show the right landmark?",
                "found",
                of=0,
                low=0,
                high=10,
                unit="of 10",
                because="What HOG finds has edges in the same places: a similar outline at a "
                "similar size, often of another landmark. Look at the shapes of the photos "
                "beside this, right ones and wrong ones.",
            ),
        ),
        Step(
            "The box moves a little",
            "The same landmark, but the box is moved by some 20 px. Nothing else changes.",
            "gopuram-04_q0",
            (
                Run("HOG", "hog"),
                Run("HOG, moved", "hog", box=(164, 84, 356, 288), against=0),
                Run("GeM-Siamese", _GEM),
                Run("GeM, moved", _GEM, box=(164, 84, 356, 288), against=2),
            ),
            Compare(
                "Ten photos before, ten after the move: does HOG keep fewer of them than "
                "GeM-Siamese?",
                "shared",
                of=1,
                than=3,
                more=Because(
                    "HOG keeps more",
                    "Unusual: here the move stayed within HOG's cells, and the network weighed "
                    "what came in at the edge.",
                ),
                same=Because(
                    "Both keep as many",
                    "The move was small beside HOG's cells for this picture. Drag the box farther "
                    "in Search, and HOG's photos change first.",
                ),
                less=Because(
                    "HOG keeps fewer",
                    "A moved edge falls into another cell, so HOG sees other numbers. The network "
                    "pools over all places, and hardly notices.",
                ),
            ),
            shows=("found",),
        ),
        Step(
            "The camera walks around it",
            "This query was taken from well beside the usual viewpoints.",
            "rotunda-02_q0",
            (Run("HOG", "hog"), Run("BoVW", "bovw"), Run("GeM-Siamese", _GEM)),
            Which(
                "Which finds most right photos?",
                "found",
                because=(
                    "HOG is ahead here: some photos were taken from this very direction, and then "
                    "edges lie alike. It is the exception.",
                    "BoVW counts small patches, wherever they lie. Patches that survive the turn "
                    "are enough, and this landmark has many.",
                    "The network has seen landmarks from many sides in training. HOG's edges have "
                    "turned with the building, and its cells see another picture.",
                ),
                tie="Several are level. With the camera moved, edges lie elsewhere for HOG, and "
                "patches look different for BoVW; how much depends on the building.",
            ),
        ),
        Step(
            "Nightfall",
            "Dusk, haze or night: light falls from elsewhere, windows shine, outlines sink.",
            "castle-03_q1",
            (Run("HOG", "hog"), Run("GeM-Siamese", _GEM)),
            Compare(
                "Does HOG find fewer right photos than GeM-Siamese in poor light?",
                "found",
                of=0,
                than=1,
                more=Because(
                    "HOG finds more",
                    "HOG normalises contrast in every block, so that an outline counts in poor "
                    "light, too, where the viewpoint is the same.",
                ),
                same=Because(
                    "Both find as many",
                    "HOG normalises contrast in every block, which helps it here; the network "
                    "suffers from light that it saw little of in training.",
                ),
                less=Because(
                    "HOG finds fewer",
                    "Shadows and lit windows are edges, too, and the day's edges are gone. The "
                    "network has learned to look for parts of buildings rather than for edges.",
                ),
            ),
        ),
        Step(
            "What HOG is good for",
            "HOG needs no training and no network. Both describe the same crop, warm, several "
            "times in turn.",
            "gopuram-04_q0",
            (Run("HOG", "hog"), Run("GeM-Siamese", _GEM)),
            Number(
                "How many times as long does GeM-Siamese take to describe the query?",
                "describe_ms",
                of=1,
                over=0,
                low=0.1,
                high=1000.0,
                near=0.5,
                unit="times",
                because="Cheap and fixed is what HOG offers: for pictures that are aligned anyway, "
                "such as frames of a fixed camera, it is enough. For photos that people take, what "
                "is found decides, and both fit into the time that a person waits.",
            ),
            shows=("found", "bytes"),
        ),
    ),
)
