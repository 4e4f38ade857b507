"""Find performance regressions between two results of `digits-edge benchmark --peers`.

    python -m benchmarks.regression OLD.csv NEW.csv --most 1.10

Each time of digits-edge is divided by that of onnxruntime alone with the same model, threads and batch size in the same
file, which cancels the speed of the machine. This measures what the package adds to onnxruntime. To find out whether a
model file became slower, compare with an engine that does not run it: `--floor tf.function`. The exit code is 1 if
anything takes more than `--most` times as long as before. Files of `benchmarks.record` contain no other engine and are
refused.
"""

import argparse
import sys
from pathlib import Path

from digits_edge.measure.engine_spec import BASELINE_ENGINE
from digits_edge.measure.regression import changes
from digits_edge.measure.results import read_results
from digits_edge.runtime.errors import DigitsEdgeError

MOST = 1.10


def main() -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.regression", description=__doc__.splitlines()[0])
    parser.add_argument("old", type=Path, help="earlier results")
    parser.add_argument("new", type=Path, help="later results")
    parser.add_argument("--most", type=float, default=MOST, help="allowed factor  [default: %(default)s]")
    parser.add_argument(
        "--floor", default=BASELINE_ENGINE, metavar="ENGINE", help="engine to divide by  [default: %(default)s]"
    )
    options = parser.parse_args()
    if not options.most >= 1:
        parser.error(f"--most {options.most:g}: use 1 or more")
    try:
        found = changes(read_results(options.old), read_results(options.new), floor=options.floor)
    except DigitsEdgeError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    worse = sorted((change for change in found if change.factor > options.most), key=lambda change: -change.factor)
    for change in worse:
        print(
            f"{change.model} by {change.engine}, {change.threads} thread(s), batch {change.batch_size}: "
            f"{change.before:.3f}× → {change.after:.3f}× the time of {options.floor}, {change.factor:.2f}× slower"
        )
    print(f"{len(found)} compared, {len(worse)} more than {options.most:g}× slower")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
