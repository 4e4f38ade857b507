"""Checks and measurements on this machine: verification, parity, accuracy, latency, occlusion maps, and the doctor."""
