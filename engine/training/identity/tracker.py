"""Follows faces through a video. Runs by itself, in the environment that `make portrait` made.

stdin: per picture HEAD (width, height, 1 where it follows none before), then its RGB bytes. stdout:
per picture how many faces there are, the largest one's landmarks [478, 3] in shares of the
picture's width, height and width, and a matte [SIDE, SIDE] of how much is person. Imports nothing
of Cantar: mediapipe's pins and ours cannot share an environment.
"""

import os
import struct
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["GLOG_minloglevel"] = "3"  # noqa: SIM112

HEAD = struct.Struct("<iii")
SIDE = 256  # pixels of the matte
POINTS = 478
MOST = 3  # faces that are looked for
SURE = 0.4  # how sure the detector must be that there is a face


def main() -> None:
    import cv2
    import mediapipe
    import numpy as np

    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever else is said is no answer
    solutions = mediapipe.solutions
    mesh = None
    person = solutions.selfie_segmentation.SelfieSegmentation(model_selection=0)
    while head := sys.stdin.buffer.read(HEAD.size):
        width, height, fresh = HEAD.unpack(head)
        rgb = np.frombuffer(sys.stdin.buffer.read(3 * width * height), np.uint8)
        rgb = rgb.reshape(height, width, 3)
        if fresh or mesh is None:
            if mesh is not None:
                mesh.close()
            mesh = solutions.face_mesh.FaceMesh(
                refine_landmarks=True, max_num_faces=MOST, min_detection_confidence=SURE
            )
        found = mesh.process(rgb).multi_face_landmarks or []
        faces = [np.array([[p.x, p.y, p.z] for p in one.landmark], np.float32) for one in found]
        faces.sort(key=lambda points: -float(np.ptp(points[:, 1])))
        share = person.process(rgb).segmentation_mask
        small = cv2.resize(share, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        answers.write(struct.pack("<i", len(faces)))
        answers.write((faces[0] if faces else np.zeros((POINTS, 3), np.float32)).tobytes())
        answers.write(np.clip(small * 255 + 0.5, 0, 255).astype(np.uint8).tobytes())
        answers.flush()


if __name__ == "__main__":
    main()
