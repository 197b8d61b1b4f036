"""Compiled networks: one ONNX file, opened by one of several runtimes behind one call."""

from kernels.graphs.opening import BACKENDS, BackendUnavailable, Graph, open_graph

__all__ = ["BACKENDS", "BackendUnavailable", "Graph", "open_graph"]
