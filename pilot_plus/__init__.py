"""Pilot Plus: one hub that watches every registry of a company and gives each caller the part that it may see.

The words that every module uses (the whole list stands in `docs/glossary.md`):

- a *registry* is a system that holds service records; a *layout* is the convention by which they lie in one that
  has none of its own;
- a *source* is what the hub reads from, a *sink* what it writes to; an *update* is what a source says;
- an *instance* is one reachable copy of a *service*, whole and canonical; its *origin* is where its truth lives;
- the *catalog* is an immutable value: services, instances, the state of every source; a *view* is a pure function
  from a catalog to what somebody sees;
- a *zone* is an area of network and trust in a *cluster*; a *viewer* looks from a zone, and sees its *horizon*.

Data flows from `registries` through `ingest` into `catalog`, and out of it through `views`, `servers` and `sync`.
"""
