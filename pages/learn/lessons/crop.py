"""What the box around the landmark decides."""

from __future__ import annotations

from pages.learn.lesson import WHOLE, Because, Compare, Lesson, Number, Run, Step, Which

_GEM = "gem-siamese"

LESSON = Lesson(
    "crop",
    "Crop matters",
    "An extractor describes everything inside the box, so the box is the first thing to get right.",
    (
        Step(
            "All of the photo, or the landmark?",
            "The same photo is searched twice with **GeM-Siamese**, a network that makes one "
            "vector of all it sees: once with the box around the landmark, once whole.",
            "gopuram-02_q1",
            (Run("the box", _GEM), Run("the whole photo", _GEM, box=WHOLE)),
            Compare(
                "Does the box find more right photos than the whole photo?",
                "found",
                of=0,
                than=1,
                more=Because(
                    "The box finds more",
                    "The landmark fills a part of the photo only. In the whole photo, sky, ground "
                    "and neighbours are pooled into the vector, too, and pull it away.",
                ),
                same=Because(
                    "Both find as many",
                    "Here the landmark's own features outweigh what surrounds it: the network has "
                    "learned which parts of a picture to weigh. Try a query with a smaller "
                    "landmark in Search.",
                ),
                less=Because(
                    "The whole photo finds more",
                    "The box cut away something that helped, such as the whole outline, or made "
                    "the picture so small that detail was lost. A box is not always a gain.",
                ),
            ),
        ),
        Step(
            "A box beside the landmark",
            "Now the box lies in a corner, where there is none of the landmark, or hardly any.",
            "gopuram-02_q1",
            (Run("the landmark", _GEM), Run("a corner", _GEM, box=(0, 0, 160, 120))),
            Number(
                "How many of the first ten are right for the corner?",
                "found",
                of=1,
                low=0,
                high=10,
                unit="of 10",
                because="The engine always answers with the ten nearest photos, whether or not "
                "anything like the query is there. It does not know what you meant: what it is "
                "given to describe is all it has.",
            ),
        ),
        Step(
            "Too tight",
            "The box shrinks to the middle of the landmark: half its width and half its height.",
            "lighthouse-03_q0",
            (Run("the landmark", _GEM), Run("its middle", _GEM, box=(147, 85, 284, 235))),
            Compare(
                "Does the middle find fewer right photos than the whole landmark?",
                "found",
                of=1,
                than=0,
                more=Because(
                    "It finds more",
                    "The middle holds what is peculiar to this landmark, and the rest of the box "
                    "was shared with others of its kind.",
                ),
                same=Because(
                    "As many",
                    "The middle is peculiar enough to this landmark to be recognised by.",
                ),
                less=Because(
                    "It finds fewer",
                    "A detail magnified looks like no photo of the collection, which show the "
                    "whole. A global vector is made for what fills the picture alike in both.",
                ),
            ),
        ),
        Step(
            "Do local features care?",
            "**DELF** describes a photo by many small patches, each of which votes for itself. The "
            "first query again, in its box and whole.",
            "gopuram-02_q1",
            (
                Run("the box", "delf"),
                Run("the whole photo", "delf", box=WHOLE),
            ),
            Compare(
                "Does the box find more right photos with DELF, too?",
                "found",
                of=0,
                than=1,
                more=Because(
                    "The box finds more",
                    "Patches of the surroundings vote as well, for whatever shows such a sky or "
                    "tree, and they took places from the landmark's patches.",
                ),
                same=Because(
                    "Both find as many",
                    "Patches beside the landmark vote for many photos, one here and one there, and "
                    "geometry throws them out. Votes that agree are the landmark's.",
                ),
                less=Because(
                    "The whole photo finds more",
                    "More patches are more votes, and those outside the box did not hurt: a patch "
                    "that matches nothing changes no rank.",
                ),
            ),
        ),
        Step(
            "Who needs the box most?",
            "Three methods get the whole photo, in which the landmark is small.",
            "campanile-02_q0",
            (
                Run("HOG", "hog", box=WHOLE),
                Run("GeM-Siamese", _GEM, box=WHOLE),
                Run("DELF", "delf", box=WHOLE),
            ),
            Which(
                "Which finds most right photos without a box?",
                "found",
                because=(
                    "HOG compares edges place by place. It wins only where some photos were taken "
                    "from nearly the same spot, so that even the surroundings lie alike.",
                    "GeM-Siamese was trained to give two photos of a landmark the same vector, "
                    "whatever else is in them; pooling weighs strong responses most.",
                    "DELF's attention chooses the patches worth describing, and geometry checks "
                    "that they lie alike, so surroundings count for little.",
                ),
                tie="Several are level on this photo. One query shows what can happen; the "
                "Accuracy page has the mean over all of them.",
            ),
        ),
    ),
)
