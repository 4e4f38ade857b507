"""Checks and figures on this machine: parity, accuracy, latency, and what is installed."""
