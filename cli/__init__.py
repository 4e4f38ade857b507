"""The command line of digits-edge."""

import gc

# Imports allocate many objects and almost no garbage. Python's default threshold of 700 makes the collector run every
# few modules, 12 ms in all. The thresholds of the older generations stay low, so that large arrays held by reference
# cycles do not accumulate during training. This has to run before the other imports.
gc.set_threshold(50_000, 2, 2)
