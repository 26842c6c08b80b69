"""The registry of networks. Importing this package registers asl-edge's own."""

from asl_edge.training.networks import alexnet as alexnet
from asl_edge.training.networks import alexnet_edge as alexnet_edge
from asl_edge.training.networks import alexnet_edge_landmarks as alexnet_edge_landmarks
from asl_edge.training.networks.registry import Builder, Network, build, check, get, names, register

__all__ = ["Builder", "Network", "build", "check", "get", "names", "register"]
