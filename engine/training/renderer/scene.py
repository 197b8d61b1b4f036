"""The Blender side of `cycles.py`: runs in a Python that has bpy, imports nothing of Cantar.

python scene.py FOLDER: reads scene.npz there, then for each line on its input the geometry in
frame.npz, and answers with `painted` when painted.npy (linear light [H, W, 4]) is written.
"""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path
from typing import Any

import bpy
import numpy as np

WORLD = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], np.float32)  # ours (y up) to Blender's (z up)
SOFT = (0.35, 0.9, 0.25, 0.3)  # radians across each lamp: key, fill, two rims
# Light that comes round goes through hair here, not past it: rims of the rasteriser's strength
# would bleach it.
GAIN = (1.05, 1.2, 0.12, 0.10)
THICK = np.array([2.6, 1.2])  # lashes, brows: times as they are; a picture has few pixels for them
SCATTER = (1.0, 0.36, 0.2)  # red light goes deepest into skin
DEPTH = 0.002  # metres
MODELLED = 0.35  # how far shade reaches towards the lamps: soft lamps alone leave a nose flat
GLOW = {"teeth": 0.15, "tongue": 0.1}  # mouths are as deep as they are: no lamp reaches in
WITHIN = (0.009, (1.0, 0.32, 0.26))  # watts and colour of the light between teeth and tongue

INSIDE = ("teeth_upper", "tongue")

#           roughness  scatter  coat  specular
LOOKS = {
    "skin": (0.47, 0.70, 0.00, 0.42),
    "eye": (0.20, 0.10, 1.00, 0.50),
    "teeth": (0.25, 0.50, 0.40, 0.50),
    "tongue": (0.34, 0.50, 0.15, 0.50),
    "garment": (0.85, 0.00, 0.00, 0.20),
    "device": (0.38, 0.00, 0.00, 0.50),
}


def turned(points: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(points @ WORLD.T, np.float32)


class Scene:
    """Built once; `place` moves it."""

    def __init__(self, data: dict[str, np.ndarray]) -> None:
        bpy.ops.wm.read_factory_settings(use_empty=True)
        self.data, self.scene = data, bpy.context.scene
        self._settings()
        self._camera()
        self._lamps()
        self.within = self._light_within()
        self.colour = self._picture("colour")
        self.surface = self._picture("surface")
        self.meshes = [self._mesh(index) for index in range(len(data["parts"]) - 1)]
        each = int(data["hair_points"])
        hairs = np.full(len(data["hair_radius"]) // each, each)
        glossy = self._hair_material()
        self.hair = self._curves("hair", hairs, data["hair_radius"], data["hair_colour"], glossy)
        strands = np.diff(data["strand_starts"])
        colours = data["strand_colour"]
        thick = THICK[data["strand_kind"]] * data["strand_radius"]
        self.strands = self._curves("strands", strands, thick, colours, self._lash_material())

    def place(self, points: np.ndarray, normals: np.ndarray, hairs: np.ndarray) -> None:
        """Move everything: points and normals [V, 3] of the rig, hairs [N K, 3]."""
        ends = self.data["ends"]
        for mesh, first, last in zip(self.meshes, ends, ends[1:], strict=False):
            mesh.vertices.foreach_set("co", turned(points[first:last]).ravel())
            mesh.update()
            # Blender's own have edges where the rig's triangles turn: dark flakes on cloth and skin
            mesh.normals_split_custom_set_from_vertices(turned(normals[first:last]))
        parts = [str(part) for part in self.data["parts"]]
        palate = [points[ends[k] : ends[k + 1]].mean(0) for k in map(parts.index, INSIDE)]
        self.within.location = turned(np.mean(palate, 0))
        for curves, where in ((self.hair, hairs), (self.strands, points[ends[-2] :])):
            curves.attributes["position"].data.foreach_set("vector", turned(where).ravel())
            curves.update_tag()

    def paint(self, out: Path) -> None:
        """Trace the picture; write its linear light."""
        exr = out.with_suffix(".exr")
        self.scene.render.filepath = str(exr)
        bpy.ops.render.render(write_still=True)
        image = bpy.data.images.load(str(exr))
        image.colorspace_settings.name = "Non-Color"
        size = int(self.data["size"])
        light = np.empty(size * size * 4, np.float32)
        image.pixels.foreach_get(light)
        bpy.data.images.remove(image)
        np.save(out, light.reshape(size, size, 4)[::-1])

    # ---- what is built once ---------------------------------------------------------------------

    def _settings(self) -> None:
        scene, size = self.scene, int(self.data["size"])
        scene.render.engine = "CYCLES"
        scene.cycles.device = "CPU"
        scene.cycles.samples = int(self.data["samples"])
        scene.cycles.use_denoising = True
        scene.cycles.denoiser = "OPENIMAGEDENOISE"
        scene.cycles.seed = 1  # what is held must not flicker
        scene.cycles.max_bounces = 5
        scene.cycles.transmission_bounces = 5
        scene.cycles.caustics_reflective = scene.cycles.caustics_refractive = False
        scene.render.film_transparent = True
        scene.render.use_persistent_data = True
        scene.render.resolution_x = scene.render.resolution_y = size
        scene.render.resolution_percentage = 100
        scene.render.image_settings.file_format = "OPEN_EXR"
        scene.render.image_settings.color_mode = "RGBA"
        scene.render.image_settings.color_depth = "32"

    def _camera(self) -> None:
        focal, _, row, _, middle, far = map(float, self.data["camera"])
        size = int(self.data["size"])
        camera = bpy.data.cameras.new("camera")
        camera.sensor_width = 36.0
        camera.lens = 36.0 * focal / size
        camera.shift_y = (row - size / 2) / size
        camera.clip_start = 0.05
        seen = bpy.data.objects.new("camera", camera)
        seen.location = turned(np.array([0.0, middle, far]))
        seen.rotation_euler = (math.pi / 2, 0.0, 0.0)
        self.scene.collection.objects.link(seen)
        self.scene.camera = seen

    def _lamps(self) -> None:
        colours = self.data["lamp_colours"]
        lamps = zip(self.data["lamps"], colours, SOFT, GAIN, strict=True)
        for towards, colour, soft, gain in lamps:
            strength = float(colour.max())
            lamp = bpy.data.lights.new("lamp", "SUN")
            lamp.energy = math.pi * gain * strength  # so that white, square on, reflects `strength`
            lamp.color = (colour / strength).tolist()
            lamp.angle = soft
            placed = bpy.data.objects.new("lamp", lamp)
            x, y, z = map(float, turned(towards))
            placed.rotation_euler = (math.acos(z), 0.0, math.atan2(y, x) + math.pi / 2)
            self.scene.collection.objects.link(placed)
        self.scene.world = self._sky()

    def _light_within(self) -> Any:
        lamp = bpy.data.lights.new("within", "POINT")
        lamp.energy, lamp.color = WITHIN
        lamp.shadow_soft_size = 0.008
        placed = bpy.data.objects.new("within", lamp)
        self.scene.collection.objects.link(placed)
        return placed

    def _sky(self) -> Any:
        world = bpy.data.worlds.new("world")
        world.use_nodes = True
        nodes, links = world.node_tree.nodes, world.node_tree.links
        place = nodes.new("ShaderNodeTexCoord")
        split = nodes.new("ShaderNodeSeparateXYZ")
        links.new(place.outputs["Generated"], split.inputs[0])
        ramp = nodes.new("ShaderNodeValToRGB")
        scale = nodes.new("ShaderNodeMath")
        scale.operation = "MULTIPLY_ADD"
        scale.inputs[1].default_value = scale.inputs[2].default_value = 0.5
        links.new(split.outputs[2], scale.inputs[0])
        links.new(scale.outputs[0], ramp.inputs[0])
        above, below = self.data["ambient"][0], self.data["ambient"][1]
        ramp.color_ramp.elements[0].color = (*map(float, below), 1.0)
        ramp.color_ramp.elements[1].color = (*map(float, above), 1.0)
        links.new(ramp.outputs[0], nodes["Background"].inputs[0])
        return world

    def _picture(self, name: str) -> Any:
        image = bpy.data.images.load(str(self.data[name]))
        image.colorspace_settings.name = "Non-Color"
        return image

    def _mesh(self, index: int) -> Any:
        data, name = self.data, str(self.data["parts"][index])
        first, last = data["ends"][index : index + 2]
        own = data["part"] == index
        triangles = data["triangles"][own] - first
        mesh = bpy.data.meshes.new(name)
        mesh.from_pydata(np.zeros((last - first, 3)).tolist(), [], triangles.tolist())
        places = data["corners"][own].reshape(-1, 2) * [1, -1] + [0, 1]
        layer = mesh.uv_layers.new(name="UV")
        layer.data.foreach_set("uv", places.astype(np.float32).ravel())
        mesh.polygons.foreach_set("use_smooth", np.ones(len(triangles), bool))
        mesh.materials.append(self._material(name.split("_")[0]))
        placed = bpy.data.objects.new(name, mesh)
        placed.shadow_terminator_shading_offset = MODELLED
        self.scene.collection.objects.link(placed)
        return mesh

    def _material(self, kind: str) -> Any:
        rough, scatter, coat, specular = LOOKS[kind]
        material = bpy.data.materials.new(kind)
        material.use_nodes = True
        nodes, links = material.node_tree.nodes, material.node_tree.links
        shader = nodes["Principled BSDF"]
        picture = nodes.new("ShaderNodeTexImage")
        picture.image = self.colour
        power = nodes.new("ShaderNodeVectorMath")  # textures hold square roots of albedo
        power.operation = "MULTIPLY"
        for k in range(2):
            links.new(picture.outputs["Color"], power.inputs[k])
        links.new(power.outputs[0], shader.inputs["Base Color"])
        shader.inputs["Roughness"].default_value = rough
        shader.inputs["Specular IOR Level"].default_value = specular
        shader.inputs["Coat Weight"].default_value = coat
        shader.inputs["Coat Roughness"].default_value = 0.03
        if scatter:
            shader.inputs["Subsurface Weight"].default_value = scatter
            shader.inputs["Subsurface Radius"].default_value = SCATTER
            shader.inputs["Subsurface Scale"].default_value = DEPTH
        if kind in GLOW:
            links.new(power.outputs[0], shader.inputs["Emission Color"])
            shader.inputs["Emission Strength"].default_value = GLOW[kind]
        if kind == "skin":
            self._gloss(nodes, links, shader, rough)
        return material

    def _gloss(self, nodes: Any, links: Any, shader: Any, rough: float) -> None:
        """Roughness of the skin from the surface picture's second channel."""
        surface = nodes.new("ShaderNodeTexImage")
        surface.image = self.surface
        split = nodes.new("ShaderNodeSeparateColor")
        links.new(surface.outputs["Color"], split.inputs[0])
        line = nodes.new("ShaderNodeMath")
        line.operation = "MULTIPLY_ADD"
        line.inputs[1].default_value = -0.24
        line.inputs[2].default_value = rough + 0.12
        links.new(split.outputs[1], line.inputs[0])
        links.new(line.outputs[0], shader.inputs["Roughness"])

    def _hair_material(self) -> Any:
        material = bpy.data.materials.new("hair")
        material.use_nodes = True
        nodes, links = material.node_tree.nodes, material.node_tree.links
        nodes.remove(nodes["Principled BSDF"])
        shader = nodes.new("ShaderNodeBsdfHairPrincipled")
        shader.parametrization = "COLOR"
        shader.inputs["Roughness"].default_value = 0.28
        shader.inputs["Radial Roughness"].default_value = 0.5
        shader.inputs["IOR"].default_value = 1.25  # less white shine than bare keratin has
        links.new(shader.outputs[0], nodes["Material Output"].inputs[0])
        self._tinted(nodes, links, shader.inputs["Color"])
        return material

    def _lash_material(self) -> Any:
        """Paint, not glass: so few hairs, made so thick, would glow red."""
        material = bpy.data.materials.new("lash")
        material.use_nodes = True
        nodes, links = material.node_tree.nodes, material.node_tree.links
        nodes["Principled BSDF"].inputs["Roughness"].default_value = 0.6
        self._tinted(nodes, links, nodes["Principled BSDF"].inputs["Base Color"])
        return material

    def _tinted(self, nodes: Any, links: Any, where: Any) -> None:
        tint = nodes.new("ShaderNodeAttribute")
        tint.attribute_name = "tint"
        links.new(tint.outputs["Color"], where)

    def _curves(
        self, name: str, counts: np.ndarray, radius: np.ndarray, colour: np.ndarray, material: Any
    ) -> Any:
        curves = bpy.data.hair_curves.new(name)
        curves.add_curves(counts.tolist())
        width = curves.attributes.get("radius") or curves.attributes.new("radius", "FLOAT", "POINT")
        width.data.foreach_set("value", radius.astype(np.float32))
        tint = curves.attributes.new("tint", "FLOAT_COLOR", "POINT")
        full = np.concatenate([colour, np.ones((len(colour), 1))], 1)
        tint.data.foreach_set("color", full.astype(np.float32).ravel())
        curves.materials.append(material)
        self.scene.collection.objects.link(bpy.data.objects.new(name, curves))
        return curves


def main() -> None:
    folder = Path(sys.argv[1])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Blender talks all the time
    with np.load(folder / "scene.npz") as stored:
        scene = Scene({name: stored[name] for name in stored.files})
    for _ in sys.stdin:
        with np.load(folder / "frame.npz") as frame:
            scene.place(frame["points"], frame["normals"], frame["hairs"])
        scene.paint(folder / "painted.npy")
        print("painted", file=answers, flush=True)


if __name__ == "__main__":
    main()
