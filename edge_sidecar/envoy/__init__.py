"""Envoy: the program, its processes, its admin socket."""
