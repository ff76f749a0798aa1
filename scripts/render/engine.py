"""Renders the photos of some landmarks with Blender; run as a process of its own.

`python -m scripts.render.engine --out DIR --labels castle-01 ...` is started by render_demo.
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
from .kinds import builder, title
from .kit import Kit
from .materials import Globals, Library, landmark_palette, resolver
from .plan import PhotoPlan, rng_for
from .scene import Pool, World, link, to_mesh

Vector = mathutils.Vector
GRID = {"photo": 8, "query": 4}  # pixels between the rays of the visibility pass
MIN_SHARE, MIN_BOX, MAX_HIDDEN = 0.05, 0.08, 0.5  # of the frame, of the frame, of the landmark
MAX_CUT = 0.72  # least share of the distance that shows the whole width


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


def build(seed: int, label: str) -> tuple[Kit, str]:
    """Build a landmark, scaled so that all are of one size class; return it and its note."""
    size = rng_for(seed, label, "size").uniform(26, 35)
    scale = 1.0
    for _ in range(2):  # once to measure it, once to scale: masonry keeps its metric size
        rng = rng_for(seed, label, "landmark")
        kit = Kit(rng)
        with kit.at(scale=scale):
            note = builder(plan.kind_of(label))(kit, rng)
        extent = np.ptp(np.concatenate(kit.vertices), axis=0)
        scale *= size / max(extent[2], 0.75 * extent[:2].max())
    return kit, note


class Studio:
    """Camera, sky and pool of surroundings, before which one landmark at a time is put."""

    def __init__(self, seed: int, size: tuple[int, int], samples: int, hide_landmark: bool) -> None:
        self.seed, self.size, self.hide = seed, size, hide_landmark
        self.scene = _setup(samples)
        shared = Globals()
        self.library = Library(shared)
        self.pool = Pool(seed, self.library)
        self.world = World(self.scene, shared)
        self.camera = link(bpy.data.cameras.new("camera"), "camera")
        self.camera.data.sensor_width = 36.0
        self.scene.camera = self.camera
        self.landmark: bpy.types.Object | None = None
        self.floods: list[bpy.types.Object] = []
        self.near: list[bpy.types.Object] = []

    def load(self, label: str) -> None:
        """Replace the landmark."""
        self._clear()
        if self.landmark is not None:
            bpy.data.meshes.remove(self.landmark.data)  # and the object with it
        for lamp in self.floods:
            bpy.data.lights.remove(lamp.data)
        self.kind = plan.kind_of(label)
        kit, self.note = build(self.seed, label)
        points = np.concatenate(kit.vertices)
        self.points, self.low, self.high = points, points.min(0), points.max(0)
        self.middle = (self.low + self.high) / 2  # the camera looks at its plan position
        materials = resolver(self.library, landmark_palette(self.seed, label, self.kind), label)
        self.landmark = link(to_mesh(kit, label, materials), "landmark")
        self.landmark.hide_render = self.hide
        self.floods = self._floodlights()

    def _floodlights(self) -> list[bpy.types.Object]:
        """Ring of lamps around the landmark; each photo draws how bright each one is."""
        lamps = []
        half = (self.high - self.low)[:2] / 2
        for i in range(10):
            angle = math.tau * i / 10
            light = bpy.data.lights.new("flood", "SPOT")
            light.spot_size, light.spot_blend, light.shadow_soft_size = 1.35, 0.9, 0.6
            light.color = (1.0, 0.78, 0.52)
            out = half * 1.25 + 9
            x, y = self.middle[:2] + out * (math.cos(angle), math.sin(angle))
            lamp = link(light, "flood", (float(x), float(y), 0.6))
            aim = Vector((*self.middle[:2], self.high[2] * 0.55)) - lamp.location
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
        distance = self._place_camera(p)
        self._surround(p)
        view = self._visibility(p)
        if view is None and p.attempt + 1 < plan.MAX_ATTEMPTS:
            return None
        mask, share, hidden = view or self._mask(p)
        self.world.set(p.sky, p.azimuth_rad)
        power = {"night": 1.0, "dusk": 0.25}.get(p.sky.weather, 0.0)
        for lamp, level in zip(self.floods, p.sky.floodlights, strict=True):
            lamp.hide_render = power == 0
            lamp.data.energy = 60_000 * power * level
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
            "title": title(p.label, self.note),
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
        for obj in self.near:
            bpy.data.objects.remove(obj)
        self.near = []

    def _place_camera(self, p: PhotoPlan) -> float:
        """Put the camera where the landmark takes its share of the frame; return the distance.

        Orientation and lens come from the plan alone, the landmark decides the distance.
        """
        half_w, _ = plan.half_frame(p)
        w_px, h_px = sorted(self.size) if p.portrait else sorted(self.size, reverse=True)
        render = self.scene.render
        render.resolution_x, render.resolution_y, render.resolution_percentage = w_px, h_px, 100
        out = np.array([math.sin(p.azimuth_rad), -math.cos(p.azimuth_rad)])
        right = np.array([-out[1], out[0]])
        plan_xy = self.points[:, :2] - self.middle[:2]
        toward, aside = plan_xy @ out, np.abs(plan_xy @ right)
        rise = self.points[:, 2] - p.eye_m
        by_height = np.max(toward + rise / plan.top_slope(p))
        by_width = np.max(toward + aside / (half_w * p.fill))
        # A wide landmark may be cut at the sides.
        d = max(by_height, MAX_CUT * by_width, toward.max() + 6)
        at = Vector((*(self.middle[:2] + out * d), p.eye_m))
        yaw = p.azimuth_rad - math.atan(p.aim_side * half_w)
        tilt = plan.pitch(p)
        if p.zoom > 1:
            yaw -= math.atan(p.detail_side * half_w)
            tilt += math.atan(p.detail_up * plan.half_frame(p)[1])
        self.camera.data.lens = p.focal_mm * p.zoom
        self.camera.location = at
        turn = mathutils.Euler((math.pi / 2 + tilt, 0, yaw))
        turn.rotate_axis("Z", p.roll_rad)
        self.camera.rotation_euler = turn
        return float(d)

    def _surround(self, p: PhotoPlan) -> None:
        """Lay out ground, houses, trees and props in the camera's frame."""
        s, reference = p.surroundings, plan.reference_distance(p)
        half_w = plan.half_frame(p)[0]
        at = self.camera.location
        forward = Vector((-math.sin(p.azimuth_rad), math.cos(p.azimuth_rad), 0))
        right = Vector((math.cos(p.azimuth_rad), math.sin(p.azimuth_rad), 0))

        def put(group: str, index: int, x: float, y: float, turn: float, scale: float) -> None:
            where = at + forward * x + right * y
            mesh = self.pool.mesh(group, index)
            self.near.append(link(mesh, group, (where.x, where.y, 0), turn, scale))

        mesh = self.pool.terrain(s.ground, s.ground_index, s.hill_index)
        centre = at + forward * reference
        self.near.append(link(mesh, "terrain", (centre.x, centre.y, 0), s.terrain_turn_rad))
        for item in s.houses:
            x = min(item.along * reference + 20, 270 + 12 * item.along)
            put("house", item.index, x, item.aside * half_w * x, p.azimuth_rad + item.turn, 1.0)
        for item in s.trees:
            x = item.along * reference
            put("tree", item.index, x, item.aside * half_w * x, item.turn, item.scale)
        for prop in p.props:
            x = max(prop.along * reference, 7.0) if prop.along <= 1 else prop.along
            turn = prop.turn
            if prop.group == "car":
                x, turn = min(x, 0.6 * reference), p.azimuth_rad + 0.2 * (prop.turn / math.pi - 1)
            put(prop.group, prop.index, x, prop.aside * x, turn, prop.scale)

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


def render_landmarks(args: argparse.Namespace) -> None:
    """Render what is missing of the landmarks, one after the other."""
    studio = None
    for label in args.labels:
        todo = [
            (role, i)
            for role, count in (("photo", args.photos), ("query", args.queries))
            for i in range(count)
            if not manifest.is_done(args.out, plan.draw_photo(args.seed, label, role, i).key)
        ]
        if not todo:
            continue
        if studio is None:
            studio = Studio(args.seed, tuple(args.size), args.samples, args.hide_landmark)
        studio.load(label)
        for role, number in todo:
            _render_photo(args, studio, label, role, number)


def _render_photo(
    args: argparse.Namespace, studio: Studio, label: str, role: str, number: int
) -> None:
    for attempt in range(plan.MAX_ATTEMPTS):
        p = plan.draw_photo(args.seed, label, role, number, attempt)
        made = studio.render(p)
        if made is not None:
            break
    linear, record = made
    g = rng_for(args.seed, label, role, number, p.attempt, "develop")
    photo = post.develop(linear, g, p.distortion, p.sky.weather)
    data, quality = post.encode(photo, p.jpeg_quality)
    record["scene"]["jpeg_quality"] = quality
    manifest.save_photo(args.out, data, record)


def _pin(worker: int) -> None:
    """Keep the process on one core: with two, Cycles' second thread spins and doubles the cost."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[worker % len(cores)]})


def main() -> None:
    """Parse the arguments that render_demo passes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--labels", nargs="+", required=True)
    for name in ("photos", "queries", "seed", "samples"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--size", type=int, nargs=2, required=True)
    parser.add_argument("--hide-landmark", action="store_true")
    parser.add_argument("--worker", type=int, default=0)
    args = parser.parse_args()
    _pin(args.worker)
    render_landmarks(args)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
