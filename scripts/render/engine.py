"""Renders the photos of one landmark with Blender; run as a process of its own.

`python -m scripts.render.engine --out DIR --label castle-01 ...` is started by render_demo.
"""

from __future__ import annotations

import argparse
import math
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import bpy
import cv2
import mathutils
import numpy as np

from . import manifest, plan, post
from .families import FAMILIES, Built, title
from .kit import Kit
from .materials import Globals, Library, landmark_palette, resolver
from .plan import PhotoPlan, rng_for
from .scene import Pool, World, link, to_mesh

Vector = mathutils.Vector
GRID = {"photo": 8, "query": 4}  # pixels between the rays of the visibility pass
MIN_SHARE, MIN_BOX, MAX_HIDDEN = 0.055, 0.1, 0.55  # of the frame, of the frame, of the landmark


def _setup(samples: int) -> bpy.types.Scene:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    render, cycles = scene.render, scene.cycles
    render.engine, cycles.device = "CYCLES", "CPU"
    render.threads_mode, render.threads = "FIXED", 1
    render.use_persistent_data = True
    render.image_settings.file_format = "OPEN_EXR"
    render.image_settings.color_depth = "16"
    scene.view_settings.view_transform = "Raw"  # linear; post.develop makes the photograph
    cycles.samples, cycles.use_adaptive_sampling = samples, False
    cycles.use_denoising, cycles.denoiser = True, "OPENIMAGEDENOISE"
    cycles.denoising_input_passes = "RGB_ALBEDO_NORMAL"
    cycles.denoising_quality, cycles.denoising_prefilter = "BALANCED", "FAST"
    cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces = 3, 2, 2
    cycles.transmission_bounces, cycles.transparent_max_bounces = 1, 4
    cycles.caustics_reflective = cycles.caustics_refractive = False
    cycles.sample_clamp_indirect, cycles.light_sampling_threshold = 4.0, 0.02
    cycles.pixel_filter_type = "BLACKMAN_HARRIS"
    return scene


class Studio:
    """One landmark in its scene."""

    def __init__(
        self, seed: int, label: str, size: tuple[int, int], samples: int, hide_landmark: bool
    ) -> None:
        self.seed, self.label, self.size, self.hide = seed, label, size, hide_landmark
        self.kind = plan.kind_of(label)
        self.scene = _setup(samples)
        shared = Globals()
        library = Library(shared)
        rng = rng_for(seed, label, "landmark")
        kit = Kit(rng)
        self.built: Built = FAMILIES[self.kind](kit, rng)
        materials = resolver(library, landmark_palette(seed, label, self.kind), label)
        self.landmark = link(to_mesh(kit, label, materials), "landmark")
        self.landmark.hide_render = hide_landmark
        self.pool = Pool(seed, library)
        self.world = World(self.scene, shared)
        self.camera = link(bpy.data.cameras.new("camera"), "camera")
        self.camera.data.sensor_width = 36.0
        self.scene.camera = self.camera
        self.floods = self._floodlights()
        self.near: list[bpy.types.Object] = []
        self.props: list[bpy.types.Object] = []

    def _floodlights(self) -> list[bpy.types.Object]:
        lamps = []
        radius, height = self.built.radius_m, self.built.height_m
        for i in range(9):
            angle, d = -math.pi / 2 + (i - 4) * 0.6, radius * 1.7 + 4
            light = bpy.data.lights.new("flood", "SPOT")
            light.spot_size, light.spot_blend, light.shadow_soft_size = 1.35, 0.9, 0.6
            light.color = (1.0, 0.78, 0.52)
            at = (d * math.cos(angle), d * math.sin(angle) + radius * 0.3, 0.6)
            lamp = link(light, "flood", at)
            aim = Vector((0, radius * 0.3, height * 0.6)) - lamp.location
            lamp.rotation_euler = aim.to_track_quat("-Z", "Y").to_euler()
            lamps.append(lamp)
        return lamps

    # ---- one photo -------------------------------------------------------------------------

    def render(self, p: PhotoPlan) -> tuple[np.ndarray, dict[str, Any]] | None:
        """Render a photo: linear image (height, width, 3) and its record, or None if too
        little of the landmark shows (the caller draws again)."""
        started, cpu = time.time(), time.process_time()
        self._clear()
        detail = p.zoom > 1
        self._surround(p)
        distance = self._place_camera(p)
        self._place_props(p, distance)
        view = self._visibility(p)
        if view is None and p.attempt + 1 < plan.MAX_ATTEMPTS:
            return None
        mask, share, hidden = view or self._mask(p)
        self.world.set(p.sky, p.azimuth_rad, distance)
        power = {"night": 1.0, "dusk": 0.25}.get(p.sky.weather, 0.0)
        for lamp, level in zip(self.floods, p.sky.floodlights, strict=True):
            lamp.hide_render = power == 0
            lamp.data.energy = 120 * power * level * (self.built.radius_m * 1.35 + 4) ** 2
        self.scene.cycles.seed = p.number + 100 * p.attempt
        linear = self._shoot()
        scene = {
            "kind": self.kind,
            "azimuth_deg": round(math.degrees(p.azimuth_rad), 1),
            "focal_mm": round(float(self.camera.data.lens), 1),
            "distance_m": round(distance, 1),
            "eye_m": round(float(self.camera.location.z), 2),
            "sun_elevation_deg": round(p.sky.sun_elevation_deg, 1),
            "weather": p.sky.weather,
            "season": p.sky.season,
            "ground": p.surroundings.ground,
            "occluded": p.occluded,
            "detail": detail,
            "night": p.sky.weather == "night",
            "visible_share": round(share, 3),
            "hidden_share": round(hidden, 3),
            "attempt": p.attempt,
        }
        record = {
            "id": p.key,
            "file": p.file,
            "label": p.label,
            "title": title(p.label, self.built),
            "width": linear.shape[1],
            "height": linear.shape[0],
            "scene": scene,
        }
        if p.role == "query":
            scene["challenge"] = list(p.challenge)
            record["box"] = _box(mask, pad=4)
        took = f"{time.time() - started:.1f} s, CPU {time.process_time() - cpu:.1f} s"
        print(f"{p.key} {p.sky.weather} share {share:.2f} attempt {p.attempt}: {took}", flush=True)
        return linear, record

    def _clear(self) -> None:
        for obj in self.near + self.props:
            bpy.data.objects.remove(obj)
        self.near, self.props = [], []

    def _surround(self, p: PhotoPlan) -> None:
        s, r = p.surroundings, self.built.radius_m
        mesh = self.pool.terrain(s.ground, s.ground_index, s.hill_index)
        self.near.append(link(mesh, "terrain"))
        for group, items in (("house", s.houses), ("tree", s.trees)):
            for item in items:
                d = r * 1.3 + item.gap
                at = (d * math.cos(item.angle), d * math.sin(item.angle) + r * 0.4, 0)
                turn = item.angle - math.pi / 2 + item.turn
                mesh = self.pool.mesh(group, item.index)
                self.near.append(link(mesh, group, at, turn, item.scale))

    def _clear_view(self, at: Vector, target: Vector) -> tuple[Vector, Vector, float]:
        """Hide surroundings between camera and landmark; return forward, right, distance."""
        forward = (target - at) * Vector((1, 1, 0))
        distance = forward.length
        forward.normalize()
        right = Vector((forward.y, -forward.x, 0))
        for obj in self.near[1:]:
            v = (obj.location - at) * Vector((1, 1, 0))
            along, aside = v.dot(forward), abs(v.dot(right))
            if obj.name.startswith("house"):
                blocks = -24 < along < distance and aside < 24 + max(along, 0) * 0.42
            else:
                blocks = 0 < along < distance * 0.85 and aside < along * 0.28
            # ray_cast looks at hide_viewport, the render at hide_render.
            obj.hide_render = obj.hide_viewport = bool(blocks or v.length < 9)
        return forward, right, distance

    def _place_camera(self, p: PhotoPlan) -> float:
        """Frame the landmark, then back off until it is what the camera sees first."""
        r, h = self.built.radius_m, self.built.height_m
        w_px, h_px = self.size
        if p.portrait_draw < (0.6 if h > 1.8 * r else 0.12):
            w_px, h_px = h_px, w_px
        render = self.scene.render
        render.resolution_x, render.resolution_y, render.resolution_percentage = w_px, h_px, 100
        # Blender's sensor width lies along the longer side.
        half_w, half_h = (
            18 * w_px / max(w_px, h_px) / p.focal_mm,
            18 * h_px / max(w_px, h_px) / p.focal_mm,
        )
        angle = min(2 * math.atan(half_h) * p.fill, 1.25)
        d = max(h / math.tan(angle) + r * 0.4, r * 2 / (2 * half_w * p.fill) + r * 0.4, r * 2)
        out = Vector((math.sin(p.azimuth_rad), -math.cos(p.azimuth_rad), 0))
        at = out * d + Vector((0, r * 0.25, p.eye_m))
        rise = math.tan(math.atan((h - p.eye_m) / d) * p.aim_up)
        target = Vector((p.aim_side * r, r * 0.25, p.eye_m + d * rise))
        self.camera.data.lens = p.focal_mm * p.zoom
        if p.zoom > 1:
            target = Vector((p.detail_side * r, 0, h * p.detail_up))
        for _ in range(10):
            self._clear_view(at, target)
            if self._sees_first(at, target):
                break
            at = at + out * r * 0.15
        self.camera.location = at
        turn = (target - at).to_track_quat("-Z", "Y").to_euler()
        turn.rotate_axis("Z", p.roll_rad)
        self.camera.rotation_euler = turn
        self.target = target
        return float((target - at).length)

    def _sees_first(self, at: Vector, target: Vector) -> bool:
        graph = bpy.context.evaluated_depsgraph_get()
        ahead = (target - at).normalized()
        nearest = math.inf
        for dx in (-0.15, 0, 0.15):
            for dz in (-0.1, 0):
                ray = (ahead + Vector((dx, 0, dz))).normalized()
                hit, where, _, _, obj, _ = self.scene.ray_cast(graph, at, ray)
                if not hit or obj.name == "terrain":
                    continue
                if obj.name != "landmark":
                    return False
                nearest = min(nearest, (where - at).length)
        return nearest > 0.5 * self.built.radius_m

    def _place_props(self, p: PhotoPlan, distance: float) -> None:
        at = self.camera.location.copy()
        forward, right, _ = self._clear_view(at, self.target)
        for prop in p.props:
            along = max(prop.along * distance, 13.0) if prop.along <= 1 else prop.along
            where = at + forward * along + right * (prop.aside * along)
            if prop.group == "car":
                turn = math.atan2(right.y, right.x) + 0.2 * (prop.turn / math.pi - 1)
            else:
                turn = prop.turn
            mesh = self.pool.mesh(prop.group, prop.index)
            self.props.append(link(mesh, "prop", (where.x, where.y, 0), turn, prop.scale))

    # ---- visibility ------------------------------------------------------------------------

    def _mask(self, p: PhotoPlan) -> tuple[np.ndarray, float, float]:
        """Ray-cast the frame: landmark mask (height, width), its share, and the share hidden."""
        render, cam = self.scene.render, self.camera
        w, h = render.resolution_x, render.resolution_y
        cols, rows = w // GRID[p.role], h // GRID[p.role]
        bpy.context.view_layer.update()
        graph = bpy.context.evaluated_depsgraph_get()
        world = cam.matrix_world
        at = world.translation.copy()
        corners = [world.to_3x3() @ c for c in cam.data.view_frame(scene=self.scene)]
        top_right, bottom_right, _, top_left = corners
        seen = np.zeros((rows, cols), np.uint8)
        whole = np.zeros((rows, cols), np.uint8)
        inverse = self.landmark.matrix_world.inverted()
        local = inverse @ at
        for i in range(rows):
            down = (bottom_right - top_right) * ((i + 0.5) / rows)
            for j in range(cols):
                ray = top_left + (top_right - top_left) * ((j + 0.5) / cols) + down
                if not self.landmark.ray_cast(local, inverse.to_3x3() @ ray)[0]:
                    continue
                whole[i, j] = 1
                hit = self.scene.ray_cast(graph, at, ray.normalized())
                seen[i, j] = hit[0] and hit[4].name == "landmark"
        hidden = 1 - seen.sum() / max(whole.sum(), 1)
        mask = cv2.resize(seen, (w, h), interpolation=cv2.INTER_NEAREST)
        mask = post.distort(mask, p.distortion, cv2.INTER_NEAREST)
        return mask, float(mask.mean()), float(hidden)

    def _visibility(self, p: PhotoPlan) -> tuple[np.ndarray, float, float] | None:
        mask, share, hidden = self._mask(p)
        if share < MIN_SHARE or hidden > MAX_HIDDEN:
            return None
        x0, y0, x1, y1 = _box(mask, 0)
        if (x1 - x0) * (y1 - y0) < MIN_BOX * mask.size:
            return None
        return mask, share, hidden

    def _shoot(self) -> np.ndarray:
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/linear.exr"
            self.scene.render.filepath = path
            bpy.ops.render.render(write_still=True)
            image = bpy.data.images.load(path, check_existing=False)
            image.colorspace_settings.name = "Non-Color"
            w, h = image.size  # the file is read here and below, not at load
            flat = np.empty(w * h * 4, np.float32)
            image.pixels.foreach_get(flat)
        bpy.data.images.remove(image)
        return flat.reshape(h, w, 4)[::-1, :, :3]


def _box(mask: np.ndarray, pad: int) -> list[int]:
    """Return the half-open box [x0, y0, x1, y1] of a mask, padded and clipped to the frame."""
    h, w = mask.shape
    rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return [0, 0, w, h]
    x0, x1, y0, y1 = cols[0] - pad, cols[-1] + 1 + pad, rows[0] - pad, rows[-1] + 1 + pad
    return [int(max(x0, 0)), int(max(y0, 0)), int(min(x1, w)), int(min(y1, h))]


def render_landmark(args: argparse.Namespace) -> int:
    """Render what is missing of one landmark; return how many photos were made."""
    out = Path(args.out)
    todo = [
        (role, i)
        for role, count in (("photo", args.photos), ("query", args.queries))
        for i in range(count)
        if not manifest.is_done(out, plan.draw_photo(args.seed, args.label, role, i).key)
    ]
    if not todo:
        return 0
    studio = Studio(args.seed, args.label, tuple(args.size), args.samples, args.hide_landmark)
    for role, number in todo:
        for attempt in range(plan.MAX_ATTEMPTS):
            p = plan.draw_photo(args.seed, args.label, role, number, attempt)
            made = studio.render(p)
            if made is not None:
                break
        linear, record = made
        g = rng_for(args.seed, args.label, role, number, p.attempt, "develop")
        photo = post.develop(linear, g, p.distortion, p.sky.weather)
        data, quality = post.encode(photo, p.jpeg_quality)
        record["scene"]["jpeg_quality"] = quality
        manifest.save_photo(out, data, record)
    return len(todo)


def main() -> None:
    """Parse the arguments that render_demo passes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", required=True)
    parser.add_argument("--label", required=True)
    for name in ("photos", "queries", "seed", "samples"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--size", type=int, nargs=2, required=True)
    parser.add_argument("--hide-landmark", action="store_true")
    render_landmark(parser.parse_args())


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
