"""Has it become slower? Two files of `digits-edge benchmark --peers`, compared by ratio.

    python -m benchmarks.regression OLD.csv NEW.csv --most 1.10

Each time of ours is divided by that of onnxruntime alone with the same model, threads and batch size in the same file,
so that machine and day cancel. That judges what this package adds to onnxruntime; whether a model file has itself
become slower is judged against an engine that does not run it: `--floor tf.function`. Exit code 1 where anything takes
more than `--most` times as long as before. The files of `benchmarks.record` have no floor in them: they cannot be
compared so, and are refused.
"""

import argparse
import sys
from pathlib import Path

from digits_edge.measure.engine_spec import FLOOR
from digits_edge.measure.regression import changes
from digits_edge.measure.results import read_results
from digits_edge.runtime.errors import DigitsEdgeError

MOST = 1.10


def main() -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.regression", description=__doc__.splitlines()[0])
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--most", type=float, default=MOST, help="times as long, at most  [default: %(default)s]")
    parser.add_argument("--floor", default=FLOOR, metavar="ENGINE", help="to which times are compared [%(default)s]")
    options = parser.parse_args()
    if not options.most >= 1:
        parser.error(f"--most {options.most:g} calls what has not changed worse; name 1 or more")
    try:
        found = changes(read_results(options.old), read_results(options.new), floor=options.floor)
    except DigitsEdgeError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    worse = sorted((change for change in found if change.factor > options.most), key=lambda change: -change.factor)
    for change in worse:
        print(
            f"{change.model} by {change.engine}, {change.threads} thread(s), batch {change.batch_size}: "
            f"{change.before:.3f} → {change.after:.3f} times {options.floor}, {change.factor:.2f} times as long"
        )
    print(f"{len(found)} compared, {len(worse)} more than {options.most:g} times as slow as before")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
