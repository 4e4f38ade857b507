"""The packages of `digits_edge`, found in this folder; everything else about the build is in pyproject.toml."""

from setuptools import find_packages, setup

SIDES = ("cli", "export", "measure", "runtime", "train")

setup(packages=[f"digits_edge.{name}" for name in find_packages(include=[*SIDES, *(f"{side}.*" for side in SIDES)])])
