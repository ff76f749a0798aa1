"""Procedural Cycles materials: masonry, roofs, glass, ground, leaves, and landmark palettes.

Textures are metric.  Values that change per photo (haze, lit windows, season, wet ground, snow)
sit in one shared node group, so a landmark's materials are built once.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from typing import Any

import bpy
import numpy as np

from .plan import rng_for

Colour = tuple[float, float, float, float]
Socket = bpy.types.NodeSocket
SNOW: Colour = (0.85, 0.87, 0.9, 1)


class Nodes:
    """Builds nodes in a tree; arguments are sockets to link or values to set."""

    def __init__(self, tree: bpy.types.NodeTree) -> None:
        self.tree = tree

    def _feed(self, target: Socket, value: Any) -> None:
        if isinstance(value, Socket):
            self.tree.links.new(value, target)
        elif value is not None:
            target.default_value = value

    def __call__(self, kind: str, *args: Any, **props: Any) -> Any:
        """Add a node of type ShaderNode<kind>: positional inputs, `ins` by name, properties."""
        node = self.tree.nodes.new("ShaderNode" + kind)
        inputs = props.pop("ins", {})
        for name, value in props.items():
            setattr(node, name, value)
        for key, value in [*enumerate(args), *inputs.items()]:
            self._feed(node.inputs[key], value)
        return node

    def math(self, op: str, *args: Any) -> Socket:
        """Apply a scalar operation."""
        return self("Math", *args, operation=op).outputs[0]

    def vector(self, op: str, *args: Any) -> Socket:
        """Apply a vector operation."""
        return self("VectorMath", *args, operation=op).outputs[0]

    def mix(self, factor: Any, a: Any, b: Any, mode: str = "MIX") -> Socket:
        """Blend two colours."""
        node = self.tree.nodes.new("ShaderNodeMix")
        node.data_type, node.blend_type = "RGBA", mode
        for i, value in ((0, factor), (6, a), (7, b)):
            self._feed(node.inputs[i], value)
        return node.outputs[2]

    def shade(self, colour: Any, tint: Colour) -> Socket:
        """Multiply a colour by a tint."""
        return self.mix(1.0, colour, tint, "MULTIPLY")

    def range(self, v: Any, a: Any, b: Any, c: float = 0.0, d: float = 1.0) -> Socket:
        """Map [a, b] to [c, d], clamped."""
        return self("MapRange", v, a, b, c, d).outputs[0]

    def noise(self, at: Socket, scale: Any, detail: float = 4.0, rough: float = 0.55) -> Socket:
        """Return fractal noise in about [0, 1], mean .5."""
        ins = {"Vector": at, "Scale": scale, "Detail": detail, "Roughness": rough}
        return self("TexNoise", ins=ins).outputs[0]

    def scaled(self, v: Socket, s: tuple[float, float, float]) -> Socket:
        """Scale a vector by component."""
        return self.vector("MULTIPLY", v, s)

    def uv(self) -> Socket:
        """Return the metric texture coordinate."""
        return self("UVMap", uv_map="UVMap").outputs[0]

    def position(self) -> Socket:
        """Return the position in metres."""
        return self("NewGeometry").outputs["Position"]

    def local(self) -> Socket:
        """Return the position in the object's own frame (metres)."""
        return self("TexCoord").outputs["Object"]

    def upward(self) -> Socket:
        """Return the z component of the normal."""
        return self("SeparateXYZ", self("NewGeometry").outputs["Normal"]).outputs[2]


def hsv(h: float, s: float, v: float) -> Colour:
    """Return a linear colour from display hue, saturation and value."""
    r, g, b = (x**2.2 for x in colorsys.hsv_to_rgb(h % 1, s, v))
    return (r, g, b, 1.0)


def times(c: Colour, k: float) -> Colour:
    """Return a colour k times as bright."""
    return (c[0] * k, c[1] * k, c[2] * k, 1.0)


class Globals:
    """A node group whose values change per photo."""

    FLOATS = ("lit", "wet", "snow", "leafhue", "leafval")

    def __init__(self) -> None:
        self.group = bpy.data.node_groups.new("globals", "ShaderNodeTree")
        nodes = Nodes(self.group)
        for name in ("haze", *self.FLOATS):
            self.group.interface.new_socket(name, in_out="OUTPUT", socket_type="NodeSocketFloat")
        self.group.interface.new_socket("hazecol", in_out="OUTPUT", socket_type="NodeSocketColor")
        out = self.group.nodes.new("NodeGroupOutput")
        self.values = {name: nodes("Value") for name in ("density", *self.FLOATS)}
        self.values["hazecol"] = nodes("RGB")
        # Haze by view distance, camera rays only: far cheaper than a volume.
        distance = nodes("CameraData").outputs["View Distance"]
        depth = nodes.math("MULTIPLY", distance, self.values["density"].outputs[0])
        haze = nodes.math(
            "SUBTRACT", 1.0, nodes.math("EXPONENT", nodes.math("MULTIPLY", depth, -1.0))
        )
        seen = nodes("LightPath").outputs["Is Camera Ray"]
        self.group.links.new(nodes.math("MULTIPLY", haze, seen), out.inputs["haze"])
        for name in (*self.FLOATS, "hazecol"):
            self.group.links.new(self.values[name].outputs[0], out.inputs[name])

    def set(self, **values: Any) -> None:
        """Set values by name: density (per metre), lit, wet, snow, leafhue, leafval, hazecol."""
        for name, value in values.items():
            self.values[name].outputs[0].default_value = value


class Library:
    """Makes materials and keeps them by key."""

    def __init__(self, shared: Globals) -> None:
        self.shared = shared
        self.cache: dict[str, bpy.types.Material] = {}

    def _start(self, name: str) -> tuple[bpy.types.Material, Nodes, Any]:
        material = bpy.data.materials.new(name)
        material.use_nodes = True
        material.node_tree.nodes.clear()
        nodes = Nodes(material.node_tree)
        return material, nodes, nodes("Group", node_tree=self.shared.group).outputs

    def _finish(
        self,
        material: bpy.types.Material,
        n: Nodes,
        shared: Any,
        shader: Socket,
        mean: Colour | None = None,
    ) -> bpy.types.Material:
        """Add haze; rays that are not the camera's see only the mean colour, which is cheap."""
        if mean is not None:
            plain = n("BsdfDiffuse", mean).outputs[0]
            seen = n("LightPath").outputs["Is Camera Ray"]
            shader = n("MixShader", seen, plain, shader).outputs[0]
        air = n("Emission", shared["hazecol"], 1.0).outputs[0]
        out = n("MixShader", shared["haze"], shader, air).outputs[0]
        n.tree.links.new(out, n.tree.nodes.new("ShaderNodeOutputMaterial").inputs[0])
        material.cycles.emission_sampling = "NONE"
        return material

    @staticmethod
    def _surface(
        n: Nodes,
        colour: Any,
        rough: Any = 0.85,
        height: Socket | None = None,
        strength: float = 0.4,
        distance: float = 0.05,
        metal: float = 0.0,
    ) -> Socket:
        normal = None
        if height is not None:
            ins = {"Strength": strength, "Distance": distance, "Height": height}
            normal = n("Bump", ins=ins).outputs[0]
        if metal == 0 and not isinstance(rough, Socket) and rough > 0.6:
            return n("BsdfDiffuse", colour, 0.3, normal).outputs[0]
        ins = {"Base Color": colour, "Roughness": rough, "Metallic": metal, "Normal": normal}
        return n("BsdfPrincipled", ins=ins).outputs[0]

    @staticmethod
    def _snowed(n: Nodes, shared: Any, colour: Socket, low: float, high: float) -> Socket:
        lying = n.math("MULTIPLY", shared["snow"], n.range(n.upward(), low, high))
        return n.mix(lying, colour, SNOW)

    def masonry(
        self,
        name: str,
        c1: Colour,
        c2: Colour,
        mortar: Colour,
        bw: float = 0.9,
        bh: float = 0.4,
        ms: float = 0.012,
        stain: float = 0.35,
        streak: float = 0.3,
        bump: float = 0.5,
        patch: float = 1.0,
        dirt: Colour = (0.25, 0.22, 0.18, 1),
    ) -> bpy.types.Material:
        """Stone or brick: bw x bh metre blocks, joints of ms, stains, streaks and patches.

        `patch` is the contrast of unique marks (blocks of other tone, weathering and repairs);
        0 for houses, so that only the landmark carries marks that can be matched.
        """
        m, n, shared = self._start(name)
        uv, pos = n.uv(), n.position()
        sizes = {"Mortar Size": ms, "Brick Width": bw, "Row Height": bh, "Mortar Smooth": 0.2}
        colours = {"Color1": c1, "Color2": c2, "Mortar": mortar}
        brick = n("TexBrick", offset=0.5, ins={"Vector": uv, "Scale": 1.0, **colours, **sizes})
        grain = n.noise(pos, 2.6, 3.0, 0.7)
        colour = brick.outputs[0]
        colour = n.mix(
            n.range(grain, 0.3, 0.7, 0.0, 0.35), colour, n.shade(colour, (0.55, 0.52, 0.48, 1))
        )
        big = n.noise(pos, 0.13, 4.0, 0.6)
        colour = n.mix(n.range(big, 0.42, 0.68, 0.0, stain), colour, dirt)
        runs = n.noise(n.scaled(pos, (1.1, 1.1, 0.07)), 1.0, 3.0, 0.6)
        soot = n.mix(0.5, dirt, (0.08, 0.08, 0.07, 1))
        colour = n.mix(n.range(runs, 0.5, 0.72, 0.0, streak), colour, soot)
        if patch:
            colour = self._patches(n, uv, pos, colour, c1, (bw, bh), patch)
        z = n("SeparateXYZ", pos).outputs[2]
        foot = n.range(z, 0.0, 4.0, 0.35, 0.0)
        colour = n.mix(foot, colour, n.shade(colour, (0.5, 0.46, 0.4, 1)))
        colour = self._snowed(n, shared, colour, 0.3, 0.6)
        joints = n.math("MULTIPLY", brick.outputs[1], -1.0)
        height = n.math("ADD", joints, n.math("MULTIPLY", grain, 0.9))
        shader = self._surface(n, colour, 0.9, height, bump)
        return self._finish(m, n, shared, shader, times(c1, 0.8))

    @staticmethod
    def _patches(
        n: Nodes,
        uv: Socket,
        pos: Socket,
        colour: Socket,
        stone: Colour,
        size: tuple[float, float],
        patch: float,
    ) -> Socket:
        per_metre = (1 / max(size[0], 0.55), 1 / max(size[1], 0.42), 1.0)
        cell = n.vector("FLOOR", n.scaled(uv, per_metre))
        tone = n("TexWhiteNoise", ins={"Vector": cell}).outputs[0]
        darker = n.shade(colour, (0.45, 0.42, 0.4, 1))
        colour = n.mix(n.range(tone, 0.0, 1.0, 0.0, 0.45 * patch), colour, darker)
        replaced = n.math("MULTIPLY", n.math("GREATER_THAN", tone, 0.93), 0.5 * patch)
        colour = n.mix(replaced, colour, n.mix(0.5, stone, (0.8, 0.78, 0.72, 1)))
        worn = n.range(n.noise(pos, 0.55, 3.0, 0.55), 0.585, 0.61, 0.0, 0.5 * patch)
        colour = n.mix(worn, colour, n.shade(colour, (0.42, 0.4, 0.38, 1)))
        field = n.noise(n.scaled(pos, (1, 1, 0.45)), 0.9, 2.0, 0.5)
        repaired = n.range(field, 0.66, 0.68, 0.0, 0.45 * patch)
        return n.mix(repaired, colour, n.mix(0.55, colour, (0.75, 0.72, 0.66, 1)))

    def roof(
        self,
        name: str,
        c1: Colour,
        c2: Colour,
        w: float = 0.3,
        h: float = 0.35,
        ribs: bool = True,
        rough: float = 0.8,
    ) -> bpy.types.Material:
        """Tiles, slates or sheets of w x h metres; `ribs` rolls them."""
        m, n, shared = self._start(name)
        uv, pos = n.uv(), n.position()
        colours = {"Color1": c1, "Color2": c2, "Mortar": times(c1, 0.3)}
        sizes = {"Scale": 1.0, "Mortar Size": 0.018, "Brick Width": w, "Row Height": h}
        tiles = n("TexBrick", offset=0.0 if ribs else 0.5, ins={"Vector": uv, **colours, **sizes})
        colour = tiles.outputs[0]
        worn = n.range(n.noise(pos, 0.35, 5.0, 0.65), 0.4, 0.7, 0.0, 0.5)
        colour = n.mix(worn, colour, n.shade(colour, (0.45, 0.47, 0.4, 1)))
        colour = self._snowed(n, shared, colour, 0.25, 0.5)
        if ribs:
            u = n("SeparateXYZ", uv).outputs[0]
            height = n.math("SINE", n.math("MULTIPLY", u, 6.2832 / w))
        else:
            height = n.math("MULTIPLY", tiles.outputs[1], -1.0)
        shader = self._surface(n, colour, rough, height, 0.7, 0.08)
        return self._finish(m, n, shared, shader, times(c1, 0.75))

    def plain(
        self,
        name: str,
        c: Colour,
        rough: float = 0.85,
        metal: float = 0.0,
        vary: float = 0.25,
        scale: float = 1.5,
    ) -> bpy.types.Material:
        """Paint, wood, metal or skin: one colour with blotches and streaks."""
        m, n, shared = self._start(name)
        pos = n.position()
        blotch = n.noise(pos, scale, 5.0, 0.6)
        runs = n.noise(n.scaled(pos, (1, 1, 0.1)), 1.7, 3.0)
        colour = n.mix(n.range(blotch, 0.35, 0.65, 0.0, vary), c, times(c, 0.4))
        colour = n.mix(n.range(runs, 0.5, 0.7, 0.0, vary), colour, times(c, 0.48))
        if metal == 0:
            colour = self._snowed(n, shared, colour, 0.3, 0.6)
        shader = self._surface(n, colour, rough, blotch, 0.15, 0.05, metal)
        return self._finish(m, n, shared, shader, times(c, 0.8))

    def glass(
        self,
        name: str,
        c: Colour = (0.03, 0.04, 0.05, 1),
        warm: Colour = (1.0, 0.62, 0.25, 1),
        share: float = 0.5,
        rough: float = 0.12,
    ) -> bpy.types.Material:
        """Dark panes, some curtained; a `share` of them is lit when the photo's `lit` is > 0."""
        m, n, shared = self._start(name)
        face = n("Attribute", attribute_name="rnd").outputs["Fac"]
        mottle = n.noise(n.uv(), 1.4, 2.0)
        curtain = n.math("MULTIPLY", n.math("GREATER_THAN", face, 0.7), n.range(mottle, 0.3, 0.5))
        tint = n.mix(curtain, n.mix(face, c, times(c, 2.2)), (0.42, 0.4, 0.35, 1))
        on = n.math("MULTIPLY", n.math("LESS_THAN", face, share), shared["lit"])
        power = n.math("MULTIPLY", on, n.range(mottle, 0.2, 0.8, 0.5, 1.4))
        light = n("Emission", warm, power).outputs[0]
        pane = self._surface(n, tint, rough, mottle, 0.06)
        return self._finish(m, n, shared, n("AddShader", pane, light).outputs[0])

    def stained(self, name: str, hue: float) -> bpy.types.Material:
        """Stained glass: dark by day, coloured at night."""
        m, n, shared = self._start(name)
        cells = n("TexVoronoi", feature="F1", ins={"Vector": n.uv(), "Scale": 2.2})
        colour = n.mix(0.75, cells.outputs["Color"], hsv(hue, 0.8, 0.5), "MULTIPLY")
        pane = self._surface(n, n.shade(colour, (0.09, 0.09, 0.11, 1)), 0.2)
        light = n("Emission", colour, n.math("MULTIPLY", shared["lit"], 1.2)).outputs[0]
        return self._finish(m, n, shared, n("AddShader", pane, light).outputs[0])

    def leaf(self, name: str) -> bpy.types.Material:
        """Leaves in the season's hue, varied by leaf and by tree."""
        m, n, shared = self._start(name)
        face = n("Attribute", attribute_name="rnd").outputs["Fac"]
        tree = n("ObjectInfo").outputs["Random"]
        vary = n.math("ADD", n.math("MULTIPLY", face, 0.035), n.math("MULTIPLY", tree, 0.03))
        hue = n.math("ADD", shared["leafhue"], vary)
        value = n.math("MULTIPLY", shared["leafval"], n.range(face, 0.0, 1.0, 0.45, 1.2))
        colour = n("CombineColor", hue, n.range(face, 0.0, 1.0, 0.85, 0.6), value, mode="HSV")
        colour = n.mix(n.math("MULTIPLY", shared["snow"], 0.45), colour.outputs[0], SNOW)
        front, back = n("BsdfDiffuse", colour).outputs[0], n("BsdfTranslucent", colour).outputs[0]
        return self._finish(m, n, shared, n("MixShader", 0.35, front, back).outputs[0])

    def cloth(self, name: str, part: int, rough: float = 0.9) -> bpy.types.Material:
        """Clothes or car paint: a colour drawn per object."""
        m, n, shared = self._start(name)
        seed = n("ObjectInfo").outputs["Random"]

        def draw(k: float) -> Socket:
            return n.math("FRACT", n.math("MULTIPLY", seed, k))

        grey = n.math("POWER", draw(13.7 + part * 3.1), 2.0)
        value = n.math("POWER", draw(29.3 + part * 11.0), 2.2)
        colour = n(
            "CombineColor",
            draw(7.31 + part * 5.77),
            n.math("MULTIPLY", grey, 0.5),
            n.range(value, 0.0, 1.0, 0.02, 0.45),
            mode="HSV",
        ).outputs[0]
        return self._finish(m, n, shared, self._surface(n, colour, rough))

    def ground(self, name: str, kind: str, g: np.random.Generator) -> bpy.types.Material:
        """Paving, gravel, grass or dry earth; the inner kind gives way to open land."""
        m, n, shared = self._start(name)
        pos = n.local()
        broad, middle, fine = n.noise(pos, 0.05), n.noise(pos, 0.9, 5.0), n.noise(pos, 7.0)
        grass = n.mix(n.range(middle, 0.3, 0.7), hsv(0.24, 0.55, 0.32), hsv(0.2, 0.5, 0.46))
        grass = n.mix(n.range(fine, 0.3, 0.7, 0.0, 0.7), grass, hsv(0.16, 0.45, 0.38))
        worn = n.range(n.noise(pos, 0.16, 5.0, 0.65), 0.56, 0.66, 0.0, 0.7)
        grass = n.mix(worn, grass, hsv(0.11, 0.3, 0.5))
        dry = n.mix(n.range(middle, 0.3, 0.7), hsv(0.1, 0.35, 0.68), hsv(0.09, 0.3, 0.5))
        dry = n.mix(n.range(fine, 0.35, 0.65, 0.0, 0.5), dry, hsv(0.1, 0.3, 0.8))
        slabs = n(
            "TexBrick",
            offset=float(g.choice([0.0, 0.5])),
            ins={
                "Vector": pos,
                "Color1": hsv(g.uniform(0.05, 0.12), 0.12, g.uniform(0.5, 0.68)),
                "Color2": hsv(0.1, 0.1, g.uniform(0.45, 0.6)),
                "Mortar": hsv(0.1, 0.15, 0.35),
                "Scale": 1.0,
                "Mortar Size": 0.02,
                "Brick Width": float(g.uniform(0.8, 1.8)),
                "Row Height": float(g.uniform(0.6, 1.2)),
            },
        )
        paving = slabs.outputs[0]
        dirty = n.range(middle, 0.35, 0.7, 0.0, 0.45)
        paving = n.mix(dirty, paving, n.shade(paving, (0.45, 0.45, 0.45, 1)))
        gravel = n.mix(n.range(fine, 0.35, 0.65), hsv(0.1, 0.2, 0.62), hsv(0.09, 0.18, 0.46))
        steppe = n.mix(n.range(broad, 0.4, 0.6), dry, grass)
        # kind: (material near the landmark, its reach in metres, material beyond, mean colour)
        inner, reach, outer, mean = {
            "plaza": (paving, 150.0, grass, (0.22, 0.2, 0.18, 1)),
            "garden": (gravel, 50.0, grass, (0.2, 0.18, 0.14, 1)),
            "meadow": (grass, 5.0, grass, (0.06, 0.09, 0.03, 1)),
            "dry": (dry, 200.0, steppe, (0.3, 0.25, 0.18, 1)),
        }[kind]
        flat = n("VectorMath", n.scaled(pos, (1, 1, 0)), operation="LENGTH").outputs["Value"]
        edge = n.math("ADD", flat, n.math("MULTIPLY", broad, 30.0))
        colour = n.mix(n.range(edge, reach - 1.5, reach + 1.5), inner, outer)
        lying = n.math("MULTIPLY", shared["snow"], n.range(middle, 0.3, 0.45))
        colour = n.mix(lying, colour, (0.82, 0.84, 0.88, 1))
        puddles = n.math("MULTIPLY", shared["wet"], n.range(broad, 0.35, 0.6))
        height = fine
        if kind == "plaza":
            height = n.math("ADD", fine, n.math("MULTIPLY", slabs.outputs[1], -0.5))
        rough = n.range(puddles, 0.0, 1.0, 0.85, 0.12)
        return self._finish(m, n, shared, self._surface(n, colour, rough, height, 0.4), mean)

    def hill(self, name: str, g: np.random.Generator) -> bpy.types.Material:
        """Distant woods and fields."""
        m, n, shared = self._start(name)
        pos = n.local()
        broad, fine = n.noise(pos, 0.012, 5.0), n.noise(pos, 0.12, 5.0, 0.7)
        h = float(g.choice([0.25, 0.2, 0.13]))
        colour = n.mix(n.range(fine, 0.35, 0.65), hsv(h, 0.5, 0.2), hsv(h - 0.03, 0.45, 0.38))
        colour = n.mix(n.range(broad, 0.5, 0.56), colour, hsv(0.13, 0.4, 0.5))
        colour = n.mix(n.math("MULTIPLY", shared["snow"], 0.8), colour, (0.8, 0.82, 0.86, 1))
        shader = self._surface(n, colour, 0.95, fine, 1.0, 3.0)
        return self._finish(m, n, shared, shader, (0.06, 0.09, 0.04, 1))


# ---- palettes ------------------------------------------------------------------------------

Palette = dict[str, Any]


def _stone(g: np.random.Generator, kind: str) -> dict[str, Any]:
    """Draw the masonry arguments of one wall."""

    def blocks(h: float, s: float, v: float, bw: float, bh: float) -> dict[str, Any]:
        second = hsv(h + g.uniform(-0.01, 0.01), s * 0.9, v * g.uniform(0.78, 0.92))
        mortar = hsv(h, s * 0.7, v * 0.62)
        return {"c1": hsv(h, s, v), "c2": second, "mortar": mortar, "bw": bw, "bh": bh}

    u = g.uniform
    if kind == "lime":
        return blocks(u(0.1, 0.13), u(0.12, 0.25), u(0.76, 0.9), u(0.9, 1.4), u(0.4, 0.6))
    if kind == "sand":
        return blocks(u(0.07, 0.1), u(0.25, 0.45), u(0.65, 0.8), u(0.8, 1.3), u(0.35, 0.55))
    if kind == "grey":
        return blocks(0.1, u(0.03, 0.12), u(0.5, 0.68), u(0.7, 1.2), u(0.35, 0.5))
    if kind == "trim":
        return blocks(u(0.09, 0.13), u(0.06, 0.2), u(0.72, 0.92), 1.6, 0.7) | {"bump": 0.25}
    if kind == "brick":
        return {
            "c1": hsv(u(0.015, 0.045), u(0.42, 0.6), u(0.48, 0.62)),
            "c2": hsv(0.025, 0.52, u(0.36, 0.48)),
            "mortar": hsv(0.1, 0.2, 0.6),
            "bw": 0.5,
            "bh": 0.16,
            "patch": 0.35,
        }
    return {
        "c1": hsv(u(0.05, 0.15), u(0.08, 0.4), u(0.8, 0.92)),
        "c2": hsv(0.1, 0.15, 0.86),
        "mortar": hsv(0.1, 0.2, 0.8),
        "bw": 4.0,
        "bh": 2.5,
        "ms": 0.004,
        "bump": 0.15,
        "patch": 0.45,
    }


STONES = {"lime": 0.28, "sand": 0.25, "brick": 0.2, "grey": 0.15, "plaster": 0.12}
KIND_STONES = {
    "lighthouse": {"plaster": 0.7, "grey": 0.3},
    "aqueduct": {"grey": 0.4, "sand": 0.4, "lime": 0.2},
    "arch": {"lime": 0.6, "sand": 0.3, "grey": 0.1},
    "windmill": {"brick": 0.5, "plaster": 0.3, "grey": 0.2},
    "pyramid": {"grey": 0.4, "sand": 0.6},
    "temple": {"lime": 0.5, "sand": 0.4, "grey": 0.1},
    "castle": {"grey": 0.35, "sand": 0.35, "brick": 0.3},
    "mosque": {"lime": 0.4, "sand": 0.35, "plaster": 0.25},
    "amphitheatre": {"sand": 0.55, "lime": 0.3, "brick": 0.15},
    "bridge": {"grey": 0.35, "sand": 0.4, "lime": 0.25},
    "campanile": {"lime": 0.5, "brick": 0.35, "sand": 0.15},
    "citygate": {"brick": 0.6, "sand": 0.2, "grey": 0.2},
    "deco": {"lime": 0.5, "sand": 0.2, "brick": 0.3},
    "gopuram": {"plaster": 0.5, "sand": 0.5},
    "guildhall": {"brick": 0.5, "plaster": 0.3, "sand": 0.2},
    "orthodox": {"plaster": 0.6, "brick": 0.4},
    "opera": {"plaster": 1.0},
    "stupa": {"plaster": 0.7, "grey": 0.3},
    "tenshu": {"plaster": 1.0},
}


def palette(kind: str, g: np.random.Generator, marked: bool = True) -> Palette:
    """Draw the colours and stones of one building; `marked` gives it unique patches."""
    shares = KIND_STONES.get(kind, STONES)
    stone = str(g.choice(list(shares), p=list(shares.values())))
    p: Palette = {"stone": _stone(g, "trim") | {"bw": 1.2, "bh": 0.45}}
    p["wall"] = _stone(g, stone) | {
        "stain": float(g.uniform(0.15, 0.5)),
        "streak": float(g.uniform(0.1, 0.45)),
    }
    p["wall2"] = _stone(g, stone)
    p["trim"] = _stone(g, "trim") | {"streak": 0.45, "patch": 0.7}
    roofs = ["slate", "terracotta", "copper", "lead", "glazed"]
    if kind == "pagoda":
        tone = [(0.1, 0.1, 0.85), (0.01, 0.65, 0.5), (0.06, 0.45, 0.38)][int(g.integers(3))]
        p["wall"] = {
            "c1": hsv(*tone),
            "c2": hsv(0.08, 0.3, 0.5),
            "mortar": hsv(0.08, 0.3, 0.4),
            "bw": 2.4,
            "bh": 5.0,
            "ms": 0.006,
            "bump": 0.1,
            "stain": 0.3,
        }
        roofs = ["glazed", "terracotta", "slate"]
    if kind == "tenshu":
        p["wall"] = _stone(g, "plaster") | {"c1": hsv(0.1, 0.05, 0.9), "c2": hsv(0.1, 0.06, 0.86)}
        p["wall2"] = _stone(g, "grey") | {"bw": 1.5, "bh": 0.9, "ms": 0.03}
        roofs = ["slate", "slate", "copper"]
    if kind == "stave":
        roofs = ["shingle"]
    p["roof"] = roof = str(g.choice(roofs))
    glaze = float(g.choice([0.1, 0.33, 0.55, 0.13]))
    p["roof_colours"] = {
        "slate": (hsv(0.6, 0.15, 0.34), hsv(0.62, 0.2, 0.26)),
        "terracotta": (hsv(0.04, 0.55, 0.58), hsv(0.03, 0.52, 0.45)),
        "copper": (hsv(0.44, 0.3, 0.6), hsv(0.43, 0.35, 0.5)),
        "shingle": (hsv(0.07, g.uniform(0.25, 0.5), 0.27), hsv(0.06, 0.4, 0.2)),
        "lead": (hsv(0.6, 0.05, 0.55), hsv(0.6, 0.05, 0.48)),
        "glazed": (hsv(glaze, 0.5, 0.45), hsv(glaze, 0.5, 0.36)),
    }[roof]
    domes = [
        (0.44, 0.3, 0.62),
        (0.6, 0.08, 0.6),
        (0.12, 0.6, 0.7),
        (0.54, 0.5, 0.5),
        (0.1, 0.1, 0.85),
    ]
    p["dome"] = hsv(*domes[int(g.integers(5))])
    p["planks"] = (g.uniform(0.04, 0.08), g.uniform(0.35, 0.6), g.uniform(0.22, 0.4))
    p["shell"] = hsv(g.uniform(0.08, 0.14), g.uniform(0.02, 0.12), g.uniform(0.84, 0.93))
    p["hue"] = float(g.uniform(0, 1))
    p["post"] = hsv(float(g.choice([0.0, 0.01, 0.03])), g.uniform(0.5, 0.7), g.uniform(0.32, 0.46))
    stripes = [
        (0.0, 0.75, 0.6),
        (0.58, 0.6, 0.4),
        (0.1, 0.1, 0.14),
        (0.35, 0.5, 0.35),
        (0.07, 0.6, 0.6),
    ]
    p["stripe"] = hsv(*stripes[int(g.integers(5))])
    if not marked:
        for name in ("wall", "wall2", "trim", "stone"):
            p[name]["patch"] = 0.0
    return p


SHARED = {"hair", "leaf", "bark", "skin", "glass", "dark", "iron", "gold", "tyre", "white", "lamp"}
# name: (colour, roughness, metal, variation, noise scale)
PLAIN: dict[str, tuple[Colour, float, float, float, float]] = {
    "wood": (hsv(0.07, 0.4, 0.34), 0.85, 0.0, 0.35, 2.5),
    "bark": (hsv(0.08, 0.3, 0.25), 0.9, 0.0, 0.5, 4.0),
    "gold": ((0.75, 0.5, 0.15, 1), 0.3, 1.0, 0.15, 1.5),
    "gold_leaf": ((0.72, 0.48, 0.14, 1), 0.45, 0.7, 0.3, 0.8),
    "water": ((0.012, 0.025, 0.025, 1), 0.06, 0.0, 0.3, 0.25),
    "iron": ((0.03, 0.03, 0.035, 1), 0.5, 0.0, 0.25, 1.5),
    "dark": ((0.015, 0.015, 0.018, 1), 0.7, 0.0, 0.25, 1.5),
    "tyre": ((0.02, 0.02, 0.02, 1), 0.85, 0.0, 0.25, 1.5),
    "white": ((0.7, 0.7, 0.7, 1), 0.5, 0.0, 0.25, 1.5),
    "skin": (hsv(0.06, 0.4, 0.66), 0.7, 0.0, 0.1, 1.5),
    "hair": ((0.05, 0.03, 0.018, 1), 0.8, 0.0, 0.25, 1.5),
}


def resolver(library: Library, p: Palette, tag: str) -> Callable[[str], bpy.types.Material]:
    """Return the function that makes (once) the material of a name, for the building `tag`."""

    def make(name: str, key: str) -> bpy.types.Material:
        if name in PLAIN:
            return library.plain(key, *PLAIN[name])
        if name in ("wall", "wall2", "stone", "trim"):
            return library.masonry(key, **p[name])
        if name == "frieze":
            return library.masonry(key, **{**p["trim"], "stain": 0.6})
        if name == "tile":
            c1, c2 = hsv(p["hue"], 0.45, 0.55), hsv(p["hue"] + 0.06, 0.5, 0.46)
            return library.masonry(
                key, c1, c2, hsv(0.1, 0.1, 0.75), 0.3, 0.3, 0.03, 0.1, 0.1, 0.1, 0.6
            )
        if name == "roof":
            sizes = {
                "slate": (0.45, 0.4),
                "lead": (1.1, 3.0),
                "copper": (1.1, 0.4),
                "shingle": (0.3, 0.45),
            }
            w, h = sizes.get(p["roof"], (0.34, 0.4))
            rolled = p["roof"] in ("terracotta", "glazed")
            rough = 0.45 if p["roof"] == "glazed" else 0.7
            return library.roof(key, *p["roof_colours"], w, h, rolled, rough)
        if name == "dome":
            return library.roof(key, p["dome"], times(p["dome"], 0.8), 1.0, 1.4, False, 0.5)
        if name == "stripe":
            c1, c2, mortar = (times(p["stripe"], x) for x in (1.0, 0.85, 0.8))
            return library.masonry(key, c1, c2, mortar, 4.0, 2.5, 0.004, 0.2, 0.35, 0.15, 0.35)
        if name == "planks":
            h, sat, v = p["planks"]
            c1, c2 = hsv(h, sat, v), hsv(h + 0.01, sat, v * 0.8)
            return library.masonry(key, c1, c2, times(c1, 0.2), 0.28, 7.0, 0.03, 0.3, 0.3, 0.4)
        if name == "shell":
            return library.roof(key, p["shell"], times(p["shell"], 0.9), 1.4, 1.4, False, 0.4)
        if name == "door":
            c1, c2 = hsv(0.06, 0.5, 0.28), hsv(0.07, 0.5, 0.22)
            return library.masonry(key, c1, c2, (0.02, 0.015, 0.01, 1), 0.22, 9.0, 0.02, 0.1, 0.1)
        if name == "louvre":
            c1, c2 = (0.05, 0.045, 0.04, 1.0), (0.04, 0.04, 0.035, 1.0)
            return library.masonry(
                key, c1, c2, (0.005, 0.005, 0.005, 1), 9.0, 0.35, 0.1, 0.1, 0.1, 0.8
            )
        if name == "rafter":
            c1, c2 = hsv(0.05, 0.5, 0.42), hsv(0.05, 0.5, 0.35)
            return library.masonry(key, c1, c2, (0.01, 0.008, 0.006, 1), 0.45, 6.0, 0.09, 0.1, 0.1)
        if name == "post":
            return library.plain(key, p["post"], 0.5)
        if name == "stained":
            return library.stained(key, p["hue"])
        if name == "glass":
            return library.glass(key)
        if name == "lattice":
            return library.glass(key, (0.12, 0.07, 0.04, 1), rough=0.6, share=0.9)
        if name == "face":
            return library.glass(key, (0.72, 0.7, 0.63, 1), (1, 0.92, 0.7, 1), 2.0, 0.5)
        if name == "lamp":
            return library.glass(key, (0.8, 0.8, 0.75, 1), (1.0, 0.75, 0.45, 1), 2.0, 0.4)
        if name == "leaf":
            return library.leaf(key)
        if name == "paint":
            return library.cloth(key, 6, 0.3)
        return library.cloth(key, int(name.removeprefix("cloth")))

    def get(name: str) -> bpy.types.Material:
        common = name in SHARED or name.startswith(("cloth", "paint"))
        key = name if common else f"{tag}:{name}"
        if key not in library.cache:
            library.cache[key] = make(name, key)
        return library.cache[key]

    return get


def landmark_palette(seed: int, label: str, kind: str) -> Palette:
    """Return the palette of one landmark."""
    return palette(kind, rng_for(seed, label, "palette"))
