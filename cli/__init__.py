"""The command line of digits-edge."""
