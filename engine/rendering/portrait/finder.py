"""Finds faces in one picture. Runs by itself, in the environment that `make portrait` made.

An encoded picture comes on stdin; JSON goes to stdout: {"faces": [[[x, y, z] × 478] …] in shares of
the picture's width (z too) and height, "matte": [h, w, base64 of h·w bytes] how much is person}.
Imports nothing of Cantar: mediapipe's pins and ours cannot share an environment.
"""

import base64
import json
import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["GLOG_minloglevel"] = "3"  # noqa: SIM112

import cv2
import mediapipe
import numpy as np

SURE = 0.4  # how sure the detector must be that there is a face
MOST = 4  # faces that are looked for


def main() -> None:
    encoded = np.frombuffer(sys.stdin.buffer.read(), np.uint8)
    rgb = np.ascontiguousarray(np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))[..., ::-1])
    solutions = mediapipe.solutions
    with solutions.face_mesh.FaceMesh(
        static_image_mode=True,
        refine_landmarks=True,
        max_num_faces=MOST,
        min_detection_confidence=SURE,
    ) as mesh:
        found = mesh.process(rgb).multi_face_landmarks or []
    faces = [[[p.x, p.y, p.z] for p in face.landmark] for face in found]
    with solutions.selfie_segmentation.SelfieSegmentation(model_selection=0) as person:
        share = person.process(rgb).segmentation_mask
    small = cv2.resize(share, (256, 256), interpolation=cv2.INTER_AREA)
    matte = np.clip(small * 255 + 0.5, 0, 255).astype(np.uint8)
    packed = [*matte.shape, base64.b64encode(matte.tobytes()).decode()]
    print(json.dumps({"faces": faces, "matte": packed}))


if __name__ == "__main__":
    main()
