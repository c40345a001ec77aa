"""Messages between hub and edges, and all that a joiner needs: tokens, certificates, proofs, the data folder.

- `joining`: from a token to an identity in a folder, and from that to a younger one;
- `session`: an edge's life with its hub;
- `edge.proto`: the messages; `methods` calls them, `edge` turns them into values.
"""
