"""Scene parameters of every photo, drawn without Blender.

Each draw has its own generator keyed by (seed, label, role, number, attempt), so a photo's
parameters never depend on how many landmarks or photos are rendered, nor on the order.
Surroundings (ground, houses, trees, sky) are drawn per photo from one pool shared by all
landmarks: a fixed background would give the label away.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np

# Landmark i has kind KINDS[i % len(KINDS)]; a new kind is one module in `kinds` and a line here.
KINDS = (
    "cathedral",
    "basilica",
    "pagoda",
    "castle",
    "mosque",
    "temple",
    "clocktower",
    "lighthouse",
    "aqueduct",
    "arch",
    "windmill",
    "pyramid",
    "amphitheatre",
    "bridge",
    "campanile",
    "citygate",
    "deco",
    "gopuram",
    "guildhall",
    "observatory",
    "orthodox",
    "opera",
    "palace",
    "rotunda",
    "stave",
    "stupa",
    "tenshu",
)
HOUSE_POOL, TREE_POOL, PERSON_POOL, CAR_POOL, LAMP_POOL, HILL_POOL, GROUND_POOL = (
    12,
    6,
    6,
    4,
    3,
    5,
    3,
)

# (houses, trees) around the landmark for each kind of ground.
GROUNDS = {"plaza": (20, 12), "garden": (7, 26), "meadow": (4, 20), "dry": (4, 9)}
WEATHER = {
    "clear": 0.2,
    "partly": 0.23,
    "golden": 0.15,
    "overcast": 0.17,
    "haze": 0.06,
    "night": 0.08,
    "dusk": 0.06,
    "snow": 0.05,
}
ROLES = ("photo", "query")
REFERENCE_HEIGHT_M = 30.0
MAX_ATTEMPTS = 8


def rng_for(*key: str | int) -> np.random.Generator:
    """Return a generator seeded by a stable hash of the key (the same on every machine)."""
    digest = hashlib.sha256("\x1f".join(map(str, key)).encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, "<u4").tolist())


def labels(count: int) -> list[str]:
    """Return the first `count` landmark labels; a longer list starts with the shorter one."""
    return [f"{KINDS[i % len(KINDS)]}-{i // len(KINDS) + 1:02d}" for i in range(count)]


def kind_of(label: str) -> str:
    """Return the kind of building a label names."""
    return label.rsplit("-", 1)[0]


@dataclass(frozen=True)
class Placed:
    """One pool object, placed before the camera so that it says nothing about the landmark.

    `along` the camera's axis is in reference distances (see `reference_distance`), `aside` in
    half frame widths at that depth.
    """

    index: int
    along: float
    aside: float
    turn: float
    scale: float


@dataclass(frozen=True)
class Prop:
    """One object before the camera: `along` its axis (in reference distances when at most 1,
    else metres), `aside` metres per metre of `along`."""

    group: str  # person, car, lamp or tree
    index: int
    along: float
    aside: float
    turn: float
    scale: float


@dataclass(frozen=True)
class Surroundings:
    """Ground, hills, houses and trees of one photo."""

    ground: str
    ground_index: int
    hill_index: int
    terrain_turn_rad: float
    houses: tuple[Placed, ...]
    trees: tuple[Placed, ...]


@dataclass(frozen=True)
class Sky:
    """Weather and light of one photo; angles in degrees, haze density per metre."""

    weather: str
    season: str
    sun_elevation_deg: float
    sun_offset_rad: float  # sun azimuth relative to the camera's
    aerosol: float
    cloud_offset: tuple[float, float, float]
    cloud_scale: float
    cloud_cover: float  # noise threshold: smaller is cloudier
    cloud_soft: float
    haze: float
    lit_windows: float
    wet: bool
    leaf_hue: float
    leaf_value: float
    floodlights: tuple[float, ...]  # relative power of each lamp


@dataclass(frozen=True)
class PhotoPlan:
    """Every parameter of one photo; lengths that depend on the landmark's size are relative."""

    label: str
    role: str
    number: int
    attempt: int
    challenge: tuple[str, ...]
    azimuth_rad: float  # 0 = straight before the front
    focal_mm: float  # on a 36 mm wide sensor
    portrait: bool
    fill: float  # share of the width, and of the height above the horizon, to be taken
    eye_m: float
    horizon: float  # row of the horizon, as a share of the frame's height from its top
    aim_side: float  # in half frame widths
    roll_rad: float
    zoom: float  # > 1 for a detail
    detail_side: float  # where a detail lies in the frame before zooming, in half frames
    detail_up: float
    sky: Sky
    surroundings: Surroundings
    props: tuple[Prop, ...]
    occluded: bool  # an occluder was put close before the camera
    distortion: float
    jpeg_quality: int

    @property
    def key(self) -> str:
        """Return the photo's id in the collection."""
        number = f"q{self.number}" if self.role == "query" else f"{self.number:02d}"
        return f"{self.label}_{number}"

    @property
    def file(self) -> str:
        """Return the photo's path inside the collection folder."""
        folder = "queries" if self.role == "query" else "photos"
        return f"{folder}/{self.label}/{self.number:02d}.jpg"


def half_frame(p: PhotoPlan) -> tuple[float, float]:
    """Return the tangents of half the horizontal and half the vertical angle of view.

    The sensor's 36 mm lie along the longer side of the 4:3 frame.
    """
    long, short = 18 / p.focal_mm, 13.5 / p.focal_mm
    return (short, long) if p.portrait else (long, short)


def pitch(p: PhotoPlan) -> float:
    """Return how far the camera looks up (radians) for the horizon to lie where drawn."""
    return math.atan((2 * p.horizon - 1) * half_frame(p)[1])


def top_slope(p: PhotoPlan) -> float:
    """Return the tangent of the elevation at which the landmark's top should be seen."""
    up = 1 - 2 * p.horizon * (1 - p.fill)  # in half frame heights above the middle
    return math.tan(pitch(p) + math.atan(up * half_frame(p)[1]))


def reference_distance(p: PhotoPlan) -> float:
    """Return the distance (metres) that frames a landmark of the reference height as drawn.

    Surroundings are laid out in units of it: unlike the camera's distance to the landmark, it
    depends on nothing that belongs to the landmark.
    """
    return max(REFERENCE_HEIGHT_M / top_slope(p), 24.0)


def viewpoints(seed: int, label: str) -> tuple[float, float, float]:
    """Return the azimuths (radians) of the three spots that everybody photographs from."""
    g = rng_for(seed, label, "viewpoints")
    return (
        float(g.normal(0, 0.12)),
        float(g.uniform(-0.75, -0.4)),
        float(g.uniform(0.4, 0.75)),
    )


def draw_photo(seed: int, label: str, role: str, number: int, attempt: int = 0) -> PhotoPlan:
    """Draw one photo's parameters; `attempt` counts re-draws after an unusable view."""
    if role not in ROLES:
        raise ValueError(f"role must be one of {ROLES}, not {role!r}")
    key = (seed, label, role, number, attempt)
    g = rng_for(*key, "camera")
    challenge = _challenge(rng_for(*key, "challenge")) if role == "query" else ()

    detail = g.random() < 0.1
    occluded = g.random() < 0.15
    if role == "query":  # a query is as hard as its challenges say
        detail, occluded = "detail" in challenge, "occluder" in challenge

    spots = viewpoints(seed, label)
    azimuth = spots[int(g.integers(3))] + g.normal(0, 0.09)
    draw, wide, any_side = g.random(), g.normal(0, 0.5), g.uniform(-2.4, 2.4)
    if "viewpoint" in challenge:
        azimuth += g.choice([-1, 1]) * g.uniform(0.3, 0.6)
    elif role == "photo" and draw > 0.9:
        azimuth = any_side
    elif role == "photo" and draw > 0.74:
        azimuth = float(np.clip(wide, -1.25, 1.25))

    return PhotoPlan(
        label=label,
        role=role,
        number=number,
        attempt=attempt,
        challenge=challenge,
        azimuth_rad=float(azimuth),
        focal_mm=math.exp(g.uniform(math.log(22), math.log(48))),
        portrait=bool(g.random() < 0.35),
        fill=float(g.uniform(0.3, 0.45) if "far" in challenge else g.uniform(0.7, 1.0)),
        eye_m=float(g.choice([1.65, 1.65, 2.2, g.uniform(4, 16)])),
        horizon=float(g.uniform(0.6, 0.82)),
        aim_side=float(g.normal(0, 0.1)),
        roll_rad=float(g.normal(0, 0.02)),
        zoom=float(g.uniform(1.5, 2.2)) if detail else 1.0,
        detail_side=float(g.uniform(-0.25, 0.25)),
        detail_up=float(g.uniform(-0.2, 0.25)),
        sky=_sky(rng_for(*key, "sky"), "light" in challenge, role),
        surroundings=_surroundings(rng_for(*key, "surroundings")),
        props=_props(rng_for(*key, "props"), occluded),
        occluded=bool(occluded),
        distortion=float(g.uniform(-0.06, 0.03)) if g.random() < 0.3 else 0.0,
        jpeg_quality=int(g.integers(74, 88)),
    )


def _challenge(g: np.random.Generator) -> tuple[str, ...]:
    """Draw what makes a query hard: nothing for half of them."""
    count = int(g.choice([0, 1, 2], p=[0.5, 0.32, 0.18]))
    names = ["viewpoint", "light", "occluder", "detail", "far"]
    return tuple(sorted(g.choice(names, size=count, replace=False).tolist()))


def _sky(g: np.random.Generator, poor_light: bool, role: str) -> Sky:
    weather = str(g.choice(list(WEATHER), p=list(WEATHER.values())))
    hard, easy = str(g.choice(["night", "dusk", "haze"])), str(g.choice(["clear", "partly"]))
    if poor_light:
        weather = hard
    elif role == "query" and weather in ("night", "dusk", "haze"):
        weather = easy
    elevation = {"golden": g.uniform(6, 14), "dusk": g.uniform(0, 2), "night": 0.0}
    cover = {"overcast": 0.2, "clear": g.uniform(0.58, 0.75), "snow": 0.25, "haze": 0.5}
    haze = {
        "haze": g.uniform(0.0015, 0.004),
        "snow": 0.0015,
        "night": 0.0002,
        "overcast": g.uniform(0.0004, 0.001),
    }
    season = (
        "winter" if weather == "snow" else str(g.choice(["summer", "summer", "spring", "autumn"]))
    )
    leaf_hue, leaf_value = {
        "summer": (0.185, 0.13),
        "spring": (0.17, 0.2),
        "autumn": (g.uniform(0.03, 0.1), 0.24),
        "winter": (0.1, 0.08),
    }[season]
    lit = {"night": g.uniform(0.15, 0.6), "dusk": g.uniform(0.1, 0.4)}
    return Sky(
        weather=weather,
        season=season,
        sun_elevation_deg=float(elevation.get(weather, g.uniform(22, 62))),
        sun_offset_rad=float(g.choice([-1, 1]) * g.uniform(0.2, 1.9)),
        aerosol=float(g.uniform(0.5, 2.5)),
        cloud_offset=(
            float(g.uniform(-40, 40)),
            float(g.uniform(-40, 40)),
            float(g.uniform(-40, 40)),
        ),
        cloud_scale=float(g.uniform(0.35, 1.1)),
        cloud_cover=float(cover.get(weather, g.uniform(0.42, 0.56))),
        cloud_soft=float(g.uniform(0.1, 0.3)),
        haze=float(haze.get(weather, g.uniform(0.00015, 0.0005))),
        lit_windows=float(lit.get(weather, 0.0)),
        wet=bool(g.random() < (0.5 if weather in ("overcast", "night") else 0.05)),
        leaf_hue=float(leaf_hue),
        leaf_value=float(leaf_value),
        floodlights=tuple(float(x) for x in g.uniform(0.4, 1.5, 10)),
    )


def _surroundings(g: np.random.Generator) -> Surroundings:
    ground = str(g.choice(list(GROUNDS), p=[0.46, 0.22, 0.2, 0.12]))
    house_count, tree_count = GROUNDS[ground]

    def placed(pool: int, near: float, far: float, centre: float, spread: float) -> Placed:
        along = float(g.uniform(near, far))
        aside = float(g.uniform(-1.5, 1.5))
        if along < centre:  # the middle of the frame is the landmark's
            aside = float(g.choice([-1, 1]) * g.uniform(0.7, 1.6))
        scale = float(g.uniform(1 - spread, 1 + spread))
        return Placed(int(g.integers(pool)), along, aside, float(g.normal(0, 0.25)), scale)

    return Surroundings(
        ground=ground,
        ground_index=int(g.integers(GROUND_POOL)),
        hill_index=int(g.integers(HILL_POOL)),
        terrain_turn_rad=float(g.uniform(0, 2 * math.pi)),
        houses=tuple(placed(HOUSE_POOL, 1.7, 3.8, 1.7, 0.1) for _ in range(house_count)),
        trees=tuple(placed(TREE_POOL, 0.5, 3.2, 1.6, 0.3) for _ in range(tree_count)),
    )


def _props(g: np.random.Generator, occluded: bool) -> tuple[Prop, ...]:
    def prop(group: str, pool: int, along: float, aside: float, scale: float = 1.0) -> Prop:
        turn = float(g.uniform(0, 2 * math.pi))
        return Prop(group, int(g.integers(pool)), float(along), float(aside), turn, scale)

    props = []
    for _ in range(int(g.choice([0, 3, 8, 16]))):
        along = math.exp(g.uniform(math.log(0.16), math.log(0.9)))
        aside = g.uniform(-0.7, 0.7)
        props.append(prop("person", PERSON_POOL, along, aside, float(g.normal(1, 0.06))))
    for _ in range(int(g.integers(0, 4))):
        along = g.uniform(16, 45)
        props.append(prop("car", CAR_POOL, along, g.choice([-1, 1]) * g.uniform(0.25, 0.7)))
    if g.random() < 0.4:
        props.append(prop("lamp", LAMP_POOL, g.uniform(9, 28), g.uniform(-0.5, 0.5)))
    if g.random() < 0.35:
        side = g.choice([-1, 1]) * g.uniform(0.45, 0.7)
        props.append(prop("tree", TREE_POOL, g.uniform(11, 22), side))
    if occluded:
        what = g.random()
        if what < 0.5:
            props.append(prop("tree", TREE_POOL, g.uniform(11, 18), g.uniform(-0.35, 0.35), 0.9))
        elif what < 0.8:
            props += [
                prop("person", PERSON_POOL, g.uniform(5, 8), g.uniform(-0.4, 0.4)) for _ in "abc"
            ]
        else:
            props.append(prop("car", CAR_POOL, g.uniform(6, 9), g.uniform(-0.3, 0.3)))
    return tuple(props)
