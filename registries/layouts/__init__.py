"""Layouts: conventions by which service records lie in registries that have none of their own. All pure.

A layout module has one frozen class that fulfils `registries.layouts.layout.Layout`; which layouts a registry knows
is a table in its adapter.
"""
