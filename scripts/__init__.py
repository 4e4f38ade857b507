"""Commands for maintainers, which run from a clone and are not part of the package."""
