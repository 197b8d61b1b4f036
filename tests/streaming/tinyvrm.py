"""A VRM model of a few boxes, made here: a head that can sing, blink and look, with a lock of hair
that swings, on a body.

Everything is built as VRM 1 stands, in metres: x to the model's left, y up, z forward. VRM 0 looks
the other way, so there it is all turned about y by half a circle.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from engine.motion.blendshapes import ARKIT
from engine.signals import F32

SKIN, MOUTH, EYE, PUPIL, HAIR, SHIRT, LOCK = (
    (230, 180, 150), (150, 20, 40), (255, 255, 255), (20, 20, 60), (70, 45, 30), (60, 100, 200),
    (200, 60, 170),
)  # fmt: skip
LOCKS = 3  # joints of the lock, the last of which is its tip
LOCK_STEP = np.array([0.0, -0.1, 0.0])
LOOSE = {"stiffness": 0.3, "gravityPower": 0.0, "dragForce": 0.4, "hitRadius": 0.01}

# Bones: parent, place relative to it. On the left what both sides have.
MIDDLE = {
    "hips": (None, (0, 0.9, 0)), "spine": ("hips", (0, 0.1, 0)), "chest": ("spine", (0, 0.15, 0)),
    "neck": ("chest", (0, 0.25, 0)), "head": ("neck", (0, 0.08, 0)),
}  # fmt: skip
LEFT = {
    "Eye": ("head", (0.045, 0.12, 0.06)), "UpperArm": ("chest", (0.14, 0.2, 0)),
    "LowerArm": ("UpperArm", (0.25, 0, 0)), "Hand": ("LowerArm", (0.22, 0, 0)),
    "UpperLeg": ("hips", (0.08, -0.05, 0)), "LowerLeg": ("UpperLeg", (0, -0.4, 0)),
    "Foot": ("LowerLeg", (0, -0.4, 0)),
}  # fmt: skip

# What vowels add to half the mouth's width and height, which are 0.03 and 0.002.
VOWELS = {
    "aa": (0, 0.03), "ih": (0.02, 0.006), "ou": (-0.015, 0.014), "ee": (0.012, 0.014),
    "oh": (-0.008, 0.022),
}  # fmt: skip
OLD_NAMES = {"aa": "a", "ih": "i", "ou": "u", "ee": "e", "oh": "o", "blink": "blink",
             "blinkLeft": "blink_l", "blinkRight": "blink_r"}  # fmt: skip
CORNERS = np.array([(-1, -1, 0), (1, -1, 0), (1, 1, 0), (-1, 1, 0)], np.float32)
FACES = [(0, 1, 2), (0, 2, 3)]
BOX = np.array([(x, y, z) for z in (-1, 1) for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1))])
SIDES = [(4, 5, 6, 7), (1, 0, 3, 2), (5, 1, 2, 6), (0, 4, 7, 3), (7, 6, 2, 3), (0, 1, 5, 4)]
HALVES = [half for a, b, c, d in SIDES for half in ((a, b, c), (a, c, d))]


class Sculptor:
    """Collects the parts of a glTF file."""

    def __init__(self, version: int) -> None:
        self.turn = np.array([-1, 1, -1] if version == 0 else [1, 1, 1], np.float32)
        self.data = b""
        self.model: dict[str, Any] = {
            "asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": []}], "nodes": [],
            "meshes": [], "materials": [], "accessors": [], "bufferViews": [],
            "extensionsUsed": ["KHR_materials_unlit"],
        }  # fmt: skip

    def node(self, name: str, parent: int | None, place: Any, mesh: int | None = None) -> int:
        nodes = self.model["nodes"]
        node: dict[str, Any] = {"name": name, "translation": (self.turn * place).tolist()}
        nodes.append(node if mesh is None else {**node, "mesh": mesh})
        below = self.model["scenes"][0]["nodes"] if parent is None else nodes[parent]
        number = len(nodes) - 1
        below.append(number) if parent is None else below.setdefault("children", []).append(number)
        return number

    def view(self, data: bytes) -> int:
        self.model["bufferViews"].append(
            {"buffer": 0, "byteOffset": len(self.data), "byteLength": len(data)}
        )
        self.data += data + bytes(-len(data) % 4)
        return len(self.model["bufferViews"]) - 1

    def accessor(self, values: np.ndarray, kind: str) -> int:
        values = np.ascontiguousarray(values)
        self.model["accessors"].append(
            {
                "bufferView": self.view(values.tobytes()), "count": len(values), "type": kind,
                "componentType": 5126 if values.dtype == np.float32 else 5123,
                "min": np.atleast_1d(values.min(axis=0)).tolist(),
                "max": np.atleast_1d(values.max(axis=0)).tolist(),
            }
        )  # fmt: skip
        return len(self.model["accessors"]) - 1

    def mesh(
        self,
        points: F32,
        triangles: Any,
        material: int,
        morphs: dict[str, F32] | None = None,
        normals: F32 | None = None,
    ) -> int:
        """morphs: what each adds to the points."""
        primitive: dict[str, Any] = {
            "attributes": {
                "POSITION": self.accessor((points * self.turn).astype(np.float32), "VEC3"),
                "TEXCOORD_0": self.accessor(np.full((len(points), 2), 0.5, np.float32), "VEC2"),
            },
            "indices": self.accessor(np.array(triangles, np.uint16).ravel(), "SCALAR"),
            "material": material,
        }
        if normals is not None:
            turned = (normals * self.turn).astype(np.float32)
            primitive["attributes"]["NORMAL"] = self.accessor(turned, "VEC3")
        mesh: dict[str, Any] = {"primitives": [primitive]}
        if morphs:
            moved = [(move * self.turn).astype(np.float32) for move in morphs.values()]
            primitive["targets"] = [{"POSITION": self.accessor(move, "VEC3")} for move in moved]
            mesh["weights"] = [0.0] * len(morphs)
        self.model["meshes"].append(mesh)
        return len(self.model["meshes"]) - 1

    def skin(self, mesh: int, joints: list[int], places: np.ndarray, bent_by: np.ndarray) -> None:
        """Put a mesh, made where it is in the world, under joints; each point follows one."""
        attributes = self.model["meshes"][mesh]["primitives"][0]["attributes"]
        attributes["JOINTS_0"] = self.accessor(bent_by, "VEC4")
        whole = np.zeros((len(bent_by), 4), np.float32)
        whole[:, 0] = 1
        attributes["WEIGHTS_0"] = self.accessor(whole, "VEC4")
        back = np.tile(np.eye(4, dtype=np.float32), (len(joints), 1, 1))
        back[:, 3, :3] = -places * self.turn  # column by column
        matrices = self.accessor(back.reshape(-1, 16), "MAT4")
        self.model["skins"] = [{"joints": joints, "inverseBindMatrices": matrices}]
        self.model["nodes"][self.node("skin", None, (0, 0, 0), mesh)]["skin"] = 0

    def box(self, size: Any, centre: Any, material: int) -> int:
        points = (BOX * np.array(size) / 2 + centre).astype(np.float32)
        return self.mesh(points, HALVES, material, normals=BOX / np.sqrt(3))

    def patch(
        self, half: Any, centre: Any, material: int, morphs: dict[str, Any] | None = None
    ) -> int:
        """A rectangle that looks forward; a morph adds to its half width and height."""
        points = (CORNERS * (*half, 0) + centre).astype(np.float32)
        moves = {name: CORNERS * (*more, 0) for name, more in (morphs or {}).items()}
        return self.mesh(points, FACES, material, moves)

    def paint(self, colour: tuple[int, int, int], *, texture: bool = False) -> int:
        """An unlit material; as a texture, if wished: a picture inside the file."""
        look: dict[str, Any] = {"metallicFactor": 0}
        if texture:
            _, png = cv2.imencode(".png", np.full((2, 2, 3), colour[::-1], np.uint8))
            self.model["images"] = [
                {"bufferView": self.view(png.tobytes()), "mimeType": "image/png"}
            ]
            self.model["textures"] = [{"source": 0}]
            look["baseColorTexture"] = {"index": 0}
        else:
            linear = (np.array(colour) / 255) ** 2.2
            look["baseColorFactor"] = [*linear.tolist(), 1]
        self.model["materials"].append(
            {"pbrMetallicRoughness": look, "extensions": {"KHR_materials_unlit": {}}}
        )
        return len(self.model["materials"]) - 1

    def toon(self, colour: tuple[int, int, int]) -> int:
        """A material as most models have it (MToon), as bright in its shade as in the light."""
        number = self.paint(colour)
        material = self.model["materials"][number]
        base = material["pbrMetallicRoughness"]["baseColorFactor"]
        material["extensions"] = {
            "VRMC_materials_mtoon": {"specVersion": "1.0", "shadeColorFactor": base[:3]}
        }
        return number

    def glb(self) -> bytes:
        self.model["buffers"] = [{"byteLength": len(self.data)}]
        text = json.dumps(self.model).encode()
        text += b" " * (-len(text) % 4)
        chunks = struct.pack("<II", len(text), 0x4E4F534A) + text
        chunks += struct.pack("<II", len(self.data), 0x004E4942) + self.data
        return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def write_vrm(path: Path, version: int, *, perfect_sync: bool = False) -> Path:
    """A whole model. perfect_sync: with all of ARKit's names, of which a few move something."""
    sculptor = Sculptor(version)
    bones = _skeleton(sculptor)
    faces = _sculpt(sculptor, bones)
    if perfect_sync:
        faces |= dict.fromkeys(ARKIT, ()) | {
            "jawOpen": faces["aa"], "eyeBlinkLeft": faces["blinkLeft"],
        }  # fmt: skip
    lock = _lock(sculptor, bones["head"])
    if version == 0:
        extensions = {"VRM": _vrm0(bones, faces, lock, sculptor)}
    else:
        extensions = {"VRMC_vrm": _vrm1(bones, faces), "VRMC_springBone": _springs1(lock)}
    sculptor.model["extensions"] = extensions
    sculptor.model["extensionsUsed"] += [*extensions, "VRMC_materials_mtoon"]
    path.write_bytes(sculptor.glb())
    return path


def _skeleton(sculptor: Sculptor) -> dict[str, int]:
    bones: dict[str, int] = {}
    for name, (parent, place) in MIDDLE.items():
        bones[name] = sculptor.node(name, bones.get(parent or ""), place)
    for side, sign in (("left", 1), ("right", -1)):
        for name, (parent, (x, y, z)) in LEFT.items():
            above = bones.get(parent, bones.get(side + parent))
            bones[side + name] = sculptor.node(side + name, above, (sign * x, y, z))
    return bones


Faces = dict[str, tuple[tuple[int, int], ...]]  # what each expression moves: nodes and their morphs


def _sculpt(sculptor: Sculptor, bones: dict[str, int]) -> Faces:
    skin, mouth, eye = (
        sculptor.paint(SKIN, texture=True),
        sculptor.paint(MOUTH),
        sculptor.paint(EYE),
    )
    pupil, hair, shirt = (sculptor.paint(colour) for colour in (PUPIL, HAIR, SHIRT))

    def add(bone: str, mesh: int) -> int:
        return sculptor.node(f"part of {bone}", bones[bone], (0, 0, 0), mesh)

    add("head", sculptor.box((0.2, 0.24, 0.22), (0, 0.1, 0), skin))
    add("head", sculptor.box((0.22, 0.06, 0.26), (0, 0.23, 0), hair))
    add("head", sculptor.box((0.22, 0.3, 0.06), (0, 0.1, -0.1), hair))
    add("neck", sculptor.box((0.08, 0.14, 0.08), (0, 0.04, 0), skin))
    add("chest", sculptor.box((0.26, 0.4, 0.16), (0, 0.03, 0), shirt))
    lips = add("head", sculptor.patch((0.03, 0.002), (0, 0.04, 0.112), mouth, VOWELS))
    faces: Faces = {name: ((lips, i),) for i, name in enumerate(VOWELS)}
    for side, sign in (("left", 1), ("right", -1)):
        arm = sculptor.box((0.25, 0.08, 0.08), (sign * 0.125, 0, 0), shirt)
        add(side + "UpperArm", arm)
        add(side + "LowerArm", sculptor.box((0.22, 0.06, 0.06), (sign * 0.11, 0, 0), skin))
        add("head", sculptor.patch((0.028, 0.018), (sign * 0.045, 0.12, 0.112), eye))
        add(side + "Eye", sculptor.patch((0.01, 0.014), (0, 0, 0.06), pupil))
        lid = np.array([(0, -0.036, 0), (0, -0.036, 0), (0, 0, 0), (0, 0, 0)], np.float32)
        points = (CORNERS * (0.03, 0.001, 0) + (sign * 0.045, 0.139, 0.128)).astype(np.float32)
        closing = add("head", sculptor.mesh(points, FACES, skin, {"blink": lid}))
        faces[f"blink{side.title()}"] = ((closing, 0),)
    return faces | {"blink": faces["blinkLeft"] + faces["blinkRight"]}


def _lock(sculptor: Sculptor, head: int) -> list[int]:
    """Its joints, beside the head, one below the other; they bend the skin of the boxes there."""
    place = np.array([0.14, 0.18, 0.0])
    at = [np.sum([step for _, step in MIDDLE.values()], axis=0) + place]  # in the world
    joints = [sculptor.node("lock 0", head, place)]
    for number in range(1, LOCKS):
        joints.append(sculptor.node(f"lock {number}", joints[-1], LOCK_STEP))
        at.append(at[-1] + LOCK_STEP)
    parts = at[:-1]  # one above each joint but the tip
    points = np.concatenate([BOX * (0.015, 0.05, 0.015) + place + (0, -0.05, 0) for place in parts])
    sides = np.concatenate([np.array(HALVES) + 8 * number for number in range(len(parts))])
    normals = np.tile(BOX / np.sqrt(3), (len(parts), 1))
    mesh = sculptor.mesh(points, sides, sculptor.toon(LOCK), normals=normals)
    bent_by = np.zeros((len(points), 4), np.uint16)
    bent_by[:, 0] = np.repeat(np.arange(len(parts)), len(BOX))
    sculptor.skin(mesh, joints, np.array(at), bent_by)
    return joints


def _springs1(lock: list[int]) -> dict[str, Any]:
    joints = [{"node": node, "gravityDir": [0, -1, 0], **LOOSE} for node in lock]
    return {"specVersion": "1.0", "springs": [{"name": "lock", "joints": joints}]}


def _springs0(lock: list[int]) -> dict[str, Any]:
    loose = {"stiffiness" if name == "stiffness" else name: x for name, x in LOOSE.items()}
    down = {"x": 0, "y": -1, "z": 0}
    group = {"bones": lock[:1], "center": -1, "gravityDir": down, "colliderGroups": [], **loose}
    return {"boneGroups": [group], "colliderGroups": []}


def _materials0(materials: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What VRM 0 says of each material: as glTF has it, or MToon."""
    described = []
    for number, material in enumerate(materials):
        colour = material["pbrMetallicRoughness"].get("baseColorFactor", [1, 1, 1, 1])
        toon = "VRMC_materials_mtoon" in material.pop("extensions", {})
        if not toon:
            material["extensions"] = {"KHR_materials_unlit": {}}
        gamma = [*(np.array(colour[:3]) ** (1 / 2.2)).tolist(), 1]
        described.append(
            {
                "name": str(number), "shader": "VRM/MToon" if toon else "VRM_USE_GLTFSHADER",
                "renderQueue": 2000, "floatProperties": {}, "textureProperties": {},
                "vectorProperties": {"_Color": gamma, "_ShadeColor": gamma} if toon else {},
                "keywordMap": {}, "tagMap": {},
            }
        )  # fmt: skip
    return described


def _vrm1(bones: dict[str, int], faces: Faces) -> dict[str, Any]:
    made = {
        name: {"morphTargetBinds": [{"node": n, "index": i, "weight": 1} for n, i in moved]}
        for name, moved in faces.items()
    }
    ranges = ("HorizontalInner", "HorizontalOuter", "VerticalDown", "VerticalUp")
    whole = {"inputMaxValue": 90, "outputScale": 90}
    return {
        "specVersion": "1.0",
        "meta": {
            "name": "Boxes", "authors": ["Cantar"], "licenseUrl": "https://vrm.dev/licenses/1.0/",
        },
        "humanoid": {"humanBones": {name: {"node": node} for name, node in bones.items()}},
        "lookAt": {"type": "bone", "offsetFromHeadBone": [0, 0.12, 0.06],
                   **{f"rangeMap{name}": whole for name in ranges}},
        "expressions": {
            "preset": {name: face for name, face in made.items() if name in OLD_NAMES},
            "custom": {name: face for name, face in made.items() if name not in OLD_NAMES},
        },
    }  # fmt: skip


def _vrm0(
    bones: dict[str, int], faces: Faces, lock: list[int], sculptor: Sculptor
) -> dict[str, Any]:
    nodes = sculptor.model["nodes"]
    groups = [
        {
            "name": OLD_NAMES.get(name, name[0].upper() + name[1:]),  # as tools of VRM 0 spell them
            "presetName": OLD_NAMES.get(name, "unknown"),
            "binds": [{"mesh": nodes[n]["mesh"], "index": i, "weight": 100} for n, i in moved],
        }
        for name, moved in faces.items()
    ]
    ranges = ("HorizontalInner", "HorizontalOuter", "VerticalDown", "VerticalUp")
    return {
        "specVersion": "0.0",
        "meta": {"title": "Boxes", "author": "Cantar", "version": "1"},
        "humanoid": {"humanBones": [{"bone": name, "node": n} for name, n in bones.items()]},
        "firstPerson": {"lookAtTypeName": "Bone",
                        **{f"lookAt{name}": {"xRange": 90, "yRange": 90} for name in ranges}},
        "blendShapeMaster": {"blendShapeGroups": groups},
        "secondaryAnimation": _springs0(lock),
        "materialProperties": _materials0(sculptor.model["materials"]),
    }  # fmt: skip
