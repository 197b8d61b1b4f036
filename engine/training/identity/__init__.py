"""An identity from a video: python -m engine.training.identity my_video.mp4 --name me

video → watching (landmarks, matte) → fitting (pose, 52 coefficients, personal shape) → shaping (a
rig in that shape) → picturing (pairs) → the renderer's own training and shipping → a pack
"""
