"""`python -m digits_edge.cli`: the command line where its script is not on the path."""

from digits_edge.cli.main import main

main()
