"""The command line of digits-edge."""

import gc

# Imports make many objects and no garbage, and Python's own 700 has it looked for every few modules, for 12 ms in all.
# Here, because it has to come before them. Of the older generations it is looked for as often as ever, or large arrays
# that cycles hold would pile up in a training.
gc.set_threshold(50_000, 2, 2)
