"""`python -m edge_sidecar`."""

from edge_sidecar.cli import main

main()
