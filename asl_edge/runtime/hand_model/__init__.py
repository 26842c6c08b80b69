"""The public hand model beside a model of asl-edge: MediaPipe's palm detector and hand landmarks, run by ONNX Runtime.

`asl-edge data hand-model` makes its folder. What the two networks' outputs mean follows the options of MediaPipe's own
graph, `hand_landmark_tracking_cpu` of release 0.10.21 (Apache-2.0); the code here is asl-edge's.
"""
