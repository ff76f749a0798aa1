"""Easy, hard and junk photos of every query, derived from the scene parameters.

The form is that of the revisited protocol (Radenovic et al., CVPR 2018), whose annotators called a
photo easy when it shows the landmark clearly under a similar view, hard when occlusion or a large
change of viewpoint or light makes it difficult, and junk when hardly anything of the landmark can
be recognised. Here the renderer knows what they had to judge by eye. A photo is

- junk, if less than JUNK_SHARE of its frame shows the landmark, more than JUNK_HIDDEN of the
  landmark is behind something else, or it is a zoomed detail, which shows a part alone;
- hard, if the views are more than HARD_ANGLE_DEG apart (with this renderer hardly any SIFT matches
  survive a homography check beyond 35 degrees), the scales differ by more than HARD_SCALE (an
  octave), more than HARD_HIDDEN is hidden in either photo, the light is of another class (day,
  dusk or night, haze), or the query itself is a detail;
- easy otherwise.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

Scene = Mapping[str, Any]

JUNK_SHARE, JUNK_HIDDEN = 0.07, 0.42  # of the frame, of the landmark
HARD_ANGLE_DEG, HARD_SCALE, HARD_HIDDEN = 35.0, 2.0, 0.2
LIGHT = {"night": "dark", "dusk": "dark", "haze": "haze"}  # every other weather is plain day


def angle_between(a: float, b: float) -> float:
    """Return the angle (0 to 180 degrees) between two azimuths in degrees."""
    return abs((a - b + 180) % 360 - 180)


def scale(scene: Scene) -> float:
    """Return how large the landmark appears, up to a factor that all photos share."""
    return float(scene["focal_mm"]) / float(scene["distance_m"])


def judge(query: Scene, photo: Scene) -> str:
    """Return "easy", "hard" or "junk" for a photo of the query's landmark."""
    if (
        photo["visible_share"] < JUNK_SHARE
        or photo["hidden_share"] > JUNK_HIDDEN
        or photo["detail"]
    ):
        return "junk"
    ratio = scale(query) / scale(photo)
    light = [LIGHT.get(scene["weather"], "day") for scene in (query, photo)]
    hard = (
        angle_between(query["azimuth_deg"], photo["azimuth_deg"]) > HARD_ANGLE_DEG
        or max(ratio, 1 / ratio) > HARD_SCALE
        or max(query["hidden_share"], photo["hidden_share"]) > HARD_HIDDEN
        or light[0] != light[1]
        or query["detail"]
    )
    return "hard" if hard else "easy"


def ground_truth(
    queries: Sequence[Mapping[str, Any]], photos: Sequence[Mapping[str, Any]]
) -> dict[str, dict[str, list[str]]]:
    """Return {query id: {"easy", "hard", "junk": photo ids}} of a collection's manifest rows."""
    by_label: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for photo in photos:
        by_label[photo["label"]].append(photo)
    truth = {}
    for query in queries:
        lists: dict[str, list[str]] = {"easy": [], "hard": [], "junk": []}
        for photo in by_label[query["label"]]:
            lists[judge(query["scene"], photo["scene"])].append(photo["id"])
        truth[query["id"]] = lists
    return truth
