"""Everything around a landmark: the shared pool of houses, trees, people and cars; sky; ground.

The pool depends on the collection's seed alone, so that surroundings say nothing about which
landmark is in the photo.  Meshes are built on first use and cached.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import bpy
import mathutils
import numpy as np

from .kit import TAU, Kit, Opening, ngon
from .materials import Globals, Library, Nodes, palette, resolver
from .plan import Sky, rng_for

PI = math.pi
Materials = Callable[[str], bpy.types.Material]


def to_mesh(kit: Kit, name: str, materials: Materials) -> bpy.types.Mesh:
    """Make a Blender mesh of a kit's faces."""
    mesh = bpy.data.meshes.new(name)
    corners = np.fromiter(itertools.chain.from_iterable(kit.faces), np.int32)
    sizes = np.fromiter(map(len, kit.faces), np.int32)
    vertices = np.concatenate(kit.vertices).astype(np.float32)
    mesh.vertices.add(len(vertices))
    mesh.vertices.foreach_set("co", vertices.ravel())
    mesh.loops.add(len(corners))
    mesh.loops.foreach_set("vertex_index", corners)
    mesh.polygons.add(len(sizes))
    mesh.polygons.foreach_set("loop_start", np.cumsum(sizes, dtype=np.int32) - sizes)
    mesh.update(calc_edges=True)
    names = sorted(set(kit.materials))
    slot = {m: i for i, m in enumerate(names)}
    for m in names:
        mesh.materials.append(materials(m))
    slots = np.array([slot[m] for m in kit.materials], np.int32)
    mesh.polygons.foreach_set("material_index", slots)
    mesh.polygons.foreach_set("use_smooth", np.array(kit.smooth, bool))
    uv = np.concatenate(kit.uvs).astype(np.float32).ravel()
    mesh.uv_layers.new(name="UVMap").data.foreach_set("uv", uv)
    rnd = mesh.attributes.new("rnd", "FLOAT", "FACE")
    rnd.data.foreach_set("value", np.array(kit.random, np.float32))
    mesh.update()
    return mesh


def link(
    data: bpy.types.ID,
    name: str,
    xyz: tuple[float, float, float] = (0, 0, 0),
    turn: float = 0.0,
    scale: float = 1.0,
) -> bpy.types.Object:
    """Put a mesh, light or camera into the scene."""
    obj = bpy.data.objects.new(name, data)
    obj.location, obj.rotation_euler, obj.scale = xyz, (0, 0, turn), (scale,) * 3
    bpy.context.scene.collection.objects.link(obj)
    return obj


class Pool:
    """Meshes of the surroundings by group and index, the same for every landmark of a seed."""

    def __init__(self, seed: int, library: Library) -> None:
        self.seed, self.library = seed, library
        self._meshes: dict[tuple[str, int, str], bpy.types.Mesh] = {}
        self._common = resolver(library, palette("house", rng_for(seed, "pool"), False), "pool")

    def mesh(self, group: str, index: int) -> bpy.types.Mesh:
        """Return a house, tree, person, car or lamp."""
        key = (group, index, "")
        if key not in self._meshes:
            rng = rng_for(self.seed, "pool", group, index)
            materials = self._common
            if group == "house":
                colours = palette("house", rng_for(self.seed, "pool palette", index % 6), False)
                materials = resolver(self.library, colours, f"house{index % 6}")
            kit = Kit(rng)
            BUILDERS[group](kit, rng, index)
            self._meshes[key] = to_mesh(kit, f"{group}{index}", materials)
        return self._meshes[key]

    def terrain(self, ground: str, ground_index: int, hill_index: int) -> bpy.types.Mesh:
        """Return a flat disc out to 300 m, with hills behind."""
        key = (ground, ground_index, str(hill_index))
        if key not in self._meshes:
            name = f"{ground}{ground_index}"
            if name not in self.library.cache:
                g = rng_for(self.seed, "pool ground", ground, ground_index)
                self.library.cache[name] = self.library.ground(name, ground, g)
            g = rng_for(self.seed, "pool hill", hill_index)
            hills = f"hill{hill_index}"
            if hills not in self.library.cache:
                self.library.cache[hills] = self.library.hill(hills, g)
            names = {"ground": name, "hill": hills}
            kit = _terrain(g)
            self._meshes[key] = to_mesh(kit, "terrain", lambda n: self.library.cache[names[n]])
        return self._meshes[key]


def _terrain(g: np.random.Generator) -> Kit:
    rings, spokes = 46, 160
    r = np.r_[0.01, np.geomspace(3, 300, 16), np.geomspace(340, 5000, rings - 17)]
    a = np.linspace(0, TAU, spokes + 1)
    amplitude = g.uniform(20, 300) * g.choice([0.3, 1.0])
    phase = g.uniform(0, TAU, 12)
    skyline = sum(np.sin(a * (i + 1) + phase[i]) / (1 + i) ** 0.8 for i in range(9))
    skyline = (skyline - skyline.min()) / np.ptp(skyline)
    angle, radius = np.meshgrid(a, r)
    rise = np.clip((radius - 320) / 2600, 0, 1)
    folds = 1 + 0.25 * np.sin(radius / 190 + phase[0] + 3 * angle)
    height = amplitude * rise * skyline[None] * folds
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle), height], -1)
    kit = Kit(g)
    kit.grid(points[:19], points[:19, :, :2], "ground")
    kit.grid(points[18:], points[18:, :, :2], "hill")
    return kit


# ---- pool meshes ---------------------------------------------------------------------------


def _tree(k: Kit, g: np.random.Generator, index: int) -> None:
    conifer = index == 5
    h = g.uniform(7, 12)
    crown = h * (0.08 if conifer else 0.25)
    k.lathe([(0.3, 0), (0.2, crown), (0.1, h * 0.7)], 8, "bark")
    clumps = []  # x, y, z, radius, flattening
    if conifer:
        for t in np.linspace(0, 0.97, 12):
            clumps.append((0.0, 0.0, crown + (h - crown) * t, (1 - t) * h * 0.24 + 0.2, 0.5))
    else:
        for _ in range(34):
            a, up, out = g.uniform(0, TAU), g.uniform(-0.7, 1.5), g.uniform(0.5, 1.0)
            r = h * g.uniform(0.26, 0.36)
            x, y = r * out * math.cos(a) * math.cos(up), r * out * math.sin(a) * math.cos(up)
            z = crown + h * 0.3 + r * 1.1 * out * math.sin(up)
            clumps.append((x, y, z, g.uniform(0.06, 0.13) * h, g.uniform(0.6, 0.9)))
        for x, y, z, *_ in clumps[::4]:
            k.poly([(0, 0, crown * 0.9), (0.12, 0, crown * 0.9), (x, y, z)], "bark")
    for x, y, z, r, flat in clumps:
        n = int((1260 if conifer else 330) * r * r + 60)
        d = g.normal(size=(n, 3))
        d /= np.linalg.norm(d, axis=1)[:, None]
        centre = d * r * g.uniform(0.55, 1.05, (n, 1)) * [1, 1, flat] + [x, y, z]
        normal = d + 0.7 * g.normal(size=(n, 3))
        normal /= np.linalg.norm(normal, axis=1)[:, None]
        u = np.cross(normal, g.normal(size=(n, 3)))
        u /= np.linalg.norm(u, axis=1)[:, None]
        v = np.cross(normal, u)
        e = g.uniform(0.09, 0.22, (n, 1))
        corners = [centre - u * e, centre - v * e * 0.5, centre + u * e, centre + v * e * 0.5]
        k.quads(np.stack(corners, 1), "leaf")


def _person(k: Kit, g: np.random.Generator, _index: int) -> None:
    stride = g.uniform(-0.35, 0.35)
    for side in (-1, 1):
        with k.at(side * 0.1, 0, 0.88, tilt=side * stride):
            k.lathe([(0.05, -0.85), (0.065, -0.45), (0.09, 0)], 8, "cloth1", curve=True)
            k.box(-0.05, -0.16, -0.88, 0.05, 0.08, -0.8, "tyre")
        raised = g.uniform(0.8, 1.6) if g.random() < 0.2 else 0
        with k.at(side * 0.2, 0, 1.4, tilt=-side * stride + raised):
            k.lathe([(0.035, -0.6), (0.05, -0.3), (0.06, 0)], 7, "cloth0", curve=True)
    with k.at(scale=(1, 0.62, 1)):
        coat = [(0.16, 0.8), (0.18, 0.95), (0.16, 1.12), (0.2, 1.34), (0.18, 1.42), (0.06, 1.48)]
        k.lathe(coat, 12, "cloth0", curve=True)
    k.lathe([(0.05, 1.42), (0.05, 1.56)], 8, "skin")
    with k.at(0, 0, 1.61):
        k.ball(0.095, "skin", 10, k=1.2)
    with k.at(0, 0.025, 1.63):
        k.ball(0.1, "hair", 10, half=True, k=1.1)
        k.ball(0.098, "hair", 10, k=0.8)
    if g.random() < 0.4:
        k.box(-0.14, 0.1, 1.0, 0.14, 0.26, 1.38, "cloth2")


def _car(k: Kit, g: np.random.Generator, _index: int) -> None:
    length, half = g.uniform(3.9, 4.7), 0.88
    hatch, roof = int(g.choice([0, 1])), g.uniform(1.38, 1.65)
    e = length / 2
    body = [(-e, 0.35), (e, 0.35), (e, 0.75), (e - 0.1, 0.88), (length * 0.22, 0.98)]
    body += [(-length * 0.36, 1.0), (-e + 0.05, 0.9)]
    cabin = [(length * 0.25, 0.97), (length * 0.1, roof), (-length * 0.25, roof + 0.02)]
    cabin.append((-length * (0.44 if hatch else 0.36), 0.98))
    for profile, w, side in ((body, half, "paint"), (cabin, half - 0.1, "glass")):
        left, right = [(x, -w, z) for x, z in profile], [(x, w, z) for x, z in profile]
        k.poly(left, side)
        k.poly(right[::-1], side)
        for i in range(len(profile)):
            j = (i + 1) % len(profile)
            painted = side == "paint" or i == 1
            k.poly([left[j], left[i], right[i], right[j]], "paint" if painted else "glass")
    for x in (-length * 0.31, length * 0.31):
        for side in (-1, 1):
            with k.at(x, side * (half - 0.08), 0.33, tilt=PI / 2):
                k.cyl(0.33, -0.1, 0.1, "tyre", 16)
                k.cyl(0.2, -0.12, 0.12, "iron", 10)
    for side in (-1, 1):
        k.box(e - 0.02, side * 0.6 - 0.15, 0.65, e + 0.02, side * 0.6 + 0.15, 0.8, "white")


def _lamp(k: Kit, g: np.random.Generator, _index: int) -> None:
    h = g.uniform(4, 7)
    k.lathe([(0.2, 0), (0.16, 0.6), (0.07, 0.8), (0.05, h)], 10, "iron")
    if g.random() < 0.5:
        with k.at(0, 0, h):
            k.lathe([(0.1, 0), (0.22, 0.5), (0.02, 0.7)], 6, "lamp", smooth=False)
            k.pyramid(ngon(0.3, 6), 0.5, 0.85, "iron")
        return
    k.box(-0.8, -0.04, h - 0.1, 0.8, 0.04, h, "iron")
    for side in (-1, 1):
        x = side * 0.8
        k.box(x - 0.25, -0.1, h - 0.15, x + 0.25, 0.1, h - 0.08, "lamp")


def _house(k: Kit, g: np.random.Generator, _index: int) -> None:
    w, d = g.uniform(9, 20), g.uniform(9, 14)
    floors = int(g.integers(2, 6))
    h = floors * g.uniform(3.0, 3.6)
    kind = str(g.choice(["flat", "flat", "segment", "round"]))
    trim = "trim" if g.random() < 0.6 else None
    window = Opening(kind, 0.42, 0.58, 0.2, trim=trim)
    k.block(0, 0, w, d, 0, h, "wall", max(3, int(w / g.uniform(2.2, 3.4))), floors, window)
    k.cornice(0, 0, w, d, h, 0.5, "trim")
    if g.random() < 0.2:
        return
    if w > d:
        with k.at(0, d / 2, 0, PI / 2):
            k.gable(-d / 2, d / 2, -w, 0, h + 0.3, d * 0.3, "roof", "wall", 0.5)
    else:
        k.gable(0, w, 0, d, h + 0.3, w * 0.35, "roof", "wall", 0.5)
    k.box(w * 0.3, d * 0.4, h, w * 0.3 + 0.9, d * 0.4 + 0.9, h + d * 0.3 + 1.5, "wall2")


BUILDERS: dict[str, Callable[[Kit, np.random.Generator, int], None]] = {
    "tree": _tree,
    "person": _person,
    "car": _car,
    "lamp": _lamp,
    "house": _house,
}


# ---- sky -----------------------------------------------------------------------------------

SUN_POWER = {"overcast": 0.35, "haze": 1.6, "golden": 2.6, "dusk": 0.12, "night": 0.0, "snow": 0.6}
SUN_SIZE_DEG = {"overcast": 25.0, "haze": 6.0, "dusk": 8.0}
SKY_POWER = {"night": 0.05, "dusk": 0.22, "golden": 0.22, "overcast": 0.08, "haze": 0.12}
SKY_TINT = {"night": (0.35, 0.5, 1.0, 1), "dusk": (0.8, 0.75, 1.1, 1)}
CLOUD_POWER = {
    "night": 0.05,
    "dusk": 0.16,
    "golden": 0.9,
    "overcast": 0.85,
    "haze": 0.9,
    "snow": 0.9,
}
CLOUD_TINT = {"golden": (1.0, 0.8, 0.62), "dusk": (0.8, 0.52, 0.5), "night": (0.35, 0.4, 0.6)}
HAZE_COLOUR = {
    "golden": (0.82, 0.64, 0.47),
    "dusk": (0.38, 0.27, 0.28),
    "night": (0.05, 0.045, 0.06),
    "overcast": (0.6, 0.63, 0.67),
    "snow": (0.7, 0.72, 0.76),
    "haze": (0.75, 0.75, 0.74),
}
HORIZON_HAZE = {"haze": 0.95, "overcast": 0.6, "snow": 0.8, "clear": 0.25, "partly": 0.3}


class World:
    """Physical sky with procedural clouds and a sun, set per photo."""

    def __init__(self, scene: bpy.types.Scene, shared: Globals) -> None:
        self.shared = shared
        world = bpy.data.worlds.new("sky")
        scene.world = world
        world.use_nodes = True
        world.cycles.sampling_method = "MANUAL"
        world.cycles.sample_map_resolution = 256
        tree = world.node_tree
        tree.nodes.clear()
        n = Nodes(tree)
        self.sky = n("TexSky", sky_type="SINGLE_SCATTERING", sun_disc=False)
        self.values = {
            name: n("RGB" if name.endswith("col") or name == "tint" else "Value").outputs[0]
            for name in ("power", "tint", "scale", "cover", "soft", "cloudcol", "shadecol",
                         "hazecol", "haze", "mean")
        }  # fmt: skip
        v = self.values
        direction = n("SeparateXYZ", n("TexCoord").outputs["Generated"]).outputs
        up = direction[2]
        sky = n.mix(1.0, self.sky.outputs[0], v["tint"], "MULTIPLY")
        scaled = n("VectorMath", sky, operation="SCALE", ins={"Scale": v["power"]})
        sky = scaled.outputs[0]
        # Clouds lie on a plane: project the view direction onto it.
        far = n.math("ADD", n.math("MAXIMUM", up, 0.0), 0.12)
        across = [n.math("DIVIDE", direction[i], far) for i in (0, 1)]
        plane = n("CombineXYZ", *across, 0.0).outputs[0]
        self.offset = n("VectorMath", plane, (0, 0, 0), operation="ADD")
        at = self.offset.outputs[0]
        ins = {
            "Vector": at,
            "Scale": v["scale"],
            "Detail": 9.0,
            "Roughness": 0.58,
            "Distortion": 0.25,
        }
        body = n("TexNoise", ins=ins).outputs[0]
        thick = n.noise(n.vector("ADD", at, (0.13, 0.1, 0)), v["scale"], 4.0, 0.5)
        high = n.math("ADD", v["cover"], v["soft"])
        cover = n("MapRange", body, v["cover"], high, 0.0, 1.0, interpolation_type="SMOOTHSTEP")
        cover = n.math("MULTIPLY", cover.outputs[0], n.range(up, 0.0, 0.1))
        cloud = n.mix(n.range(thick, 0.35, 0.7), v["cloudcol"], v["shadecol"])
        seen = n.mix(cover, sky, cloud)
        low = n.math("MULTIPLY", v["haze"], n.range(up, -0.05, 0.25, 1.0, 0.0))
        seen = n.mix(low, seen, v["hazecol"])
        # Lighting rays see the mean cloud only: no noise to evaluate or to sample.
        lit = n.mix(v["mean"], sky, n.mix(0.5, v["cloudcol"], v["shadecol"]))
        camera = n("LightPath").outputs["Is Camera Ray"]
        shades = [n("Background", c, 1.0).outputs[0] for c in (lit, seen)]
        out = n("MixShader", camera, *shades).outputs[0]
        tree.links.new(out, tree.nodes.new("ShaderNodeOutputWorld").inputs[0])
        self.sun = link(bpy.data.lights.new("sun", "SUN"), "sun")

    def set(self, plan: Sky, azimuth: float) -> None:
        """Set the light of one photo, taken from a camera azimuth (radians)."""
        kind, elevation = plan.weather, plan.sun_elevation_deg
        sun_az = azimuth + plan.sun_offset_rad
        self.sky.sun_elevation = math.radians(max(elevation, 0.5))
        self.sky.sun_rotation = PI - sun_az
        self.sky.air_density, self.sky.aerosol_density = 1.0, plan.aerosol
        flat = math.cos(math.radians(elevation))
        sun = mathutils.Vector(
            (
                math.sin(sun_az) * flat,
                -math.cos(sun_az) * flat,
                math.sin(math.radians(max(elevation, 1.0))),
            )
        )
        self.sun.rotation_euler = sun.to_track_quat("Z", "Y").to_euler()
        light = self.sun.data
        light.angle = math.radians(SUN_SIZE_DEG.get(kind, 0.6))
        light.energy = SUN_POWER.get(kind, 3.6)
        high = np.clip((elevation - 2) / 30, 0, 1)
        light.color = (1.0, 0.55 + 0.4 * high, 0.25 + 0.62 * high)

        power, tint = CLOUD_POWER.get(kind, 1.15), CLOUD_TINT.get(kind, (1, 1, 1))
        haze = (*HAZE_COLOUR.get(kind, (0.62, 0.72, 0.85)), 1)
        shadow = (0.95, 1.0, 1.08)
        values = {
            "power": SKY_POWER.get(kind, 0.11),
            "tint": SKY_TINT.get(kind, (1, 1, 1, 1)),
            "scale": plan.cloud_scale,
            "cover": plan.cloud_cover,
            "soft": plan.cloud_soft,
            "mean": float(np.clip((0.62 - plan.cloud_cover) * 2.6, 0.05, 0.95)),
            "cloudcol": (*[power * c for c in tint], 1),
            "shadecol": (*[power * 0.6 * a * b for a, b in zip(tint, shadow, strict=True)], 1),
            "hazecol": haze,
            "haze": HORIZON_HAZE.get(kind, 0.6),
        }
        for name, value in values.items():
            self.values[name].default_value = value
        self.offset.inputs[1].default_value = plan.cloud_offset
        self.shared.set(
            density=plan.haze,
            hazecol=haze,
            lit=plan.lit_windows,
            wet=float(plan.wet),
            snow=float(kind == "snow"),
            leafhue=plan.leaf_hue,
            leafval=plan.leaf_value,
        )
