"""`python -m pilot_plus.cli` is `pilot-plus`."""

from pilot_plus.cli.main import main

main()
