"""Entry point of `python -m digits_edge.cli`."""

from digits_edge.cli.main import main

main()
