"""Adapters: one module a kind of registry, loaded by the `kind` in the configuration.

Each offers `Settings` and `connect(settings)`, as `pilot_plus.ports` describes; `memory` is the reference. What lies in
a registry that has no layout of its own is read and written by `registries.layouts`, which are pure.
"""
