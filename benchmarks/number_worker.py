"""A process that reads numbers with one engine, for `benchmarks.numbers`: `python number_worker.py ENGINE [ARGUMENT]`.

Engines: `digits-edge MODEL`, `rapidocr`, `tesseract`. Each line of standard input is a JSON object with the `path` of a
picture and whether it is a `page`, with lines to find, or one line. Each line of output has the texts of the lines from
top to bottom, the lowest confidence, the processor time in milliseconds, and the peak memory in MB.

It imports only the engine, because RapidOCR may be in an environment of its own, without digits-edge.
"""

import csv
import io
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

#: Lines and confidences of a picture, from top to bottom.
Found = list[tuple[str, float]]
Read = Callable[[str, bool], Found]
_DIGITS = "0123456789"


def own(model: str) -> tuple[Read, str]:
    """The reader of this project."""
    from importlib.metadata import version

    from digits_edge.runtime import Reader

    reader = Reader(model, provider="cpu", threads=1)

    def read(path: str, page: bool) -> Found:
        return [(line.text, line.confidence) for line in reader.read(path).lines]

    return read, f"digits-edge {version('digits-edge')}"


def rapidocr() -> tuple[Read, str]:
    """RapidOCR with the model of its package; a line is recognized without detection, masked to digits."""
    from importlib.metadata import version

    import cv2
    import numpy as np
    from rapidocr import RapidOCR

    engine = RapidOCR(
        params={
            "Global.log_level": "error",
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
    )
    cv2.setNumThreads(1)
    engine(np.full((48, 96, 3), 255, np.uint8), use_det=False, use_cls=False, use_rec=True)  # loads the model
    recognizer = engine.text_rec if getattr(engine, "text_rec", None) is not None else engine._load_rec_model()
    characters = recognizer.postprocess_op.character
    allowed = np.array([place == 0 or character in _DIGITS for place, character in enumerate(characters)])
    decode = recognizer.postprocess_op.__call__

    class Masked:
        """The decoder of the columns, with the probabilities of other characters than digits set to zero."""

        def __call__(self, columns: Any, *arguments: Any, **options: Any) -> Any:
            return decode(np.where(allowed, columns, 0), *arguments, **options)

    recognizer.postprocess_op = Masked()

    def read(path: str, page: bool) -> Found:
        result = engine(path, use_det=page, use_cls=False, use_rec=True)
        if result.txts is None:
            return []
        found = list(zip(result.txts, map(float, result.scores), strict=True))
        if page and result.boxes is not None:
            found = _in_lines(found, result.boxes)
        return [(text, score) for text, score in found if text]

    return read, f"rapidocr {version('rapidocr')} (PP-OCRv6 small)"


def _in_lines(found: Found, boxes: Any) -> Found:
    """The texts with those beside each other joined to lines, from top to bottom."""
    pieces = sorted(
        (
            (float(box[:, 1].mean()), float(box[:, 0].min()), float(box[:, 1].max() - box[:, 1].min()), text, score)
            for (text, score), box in zip(found, boxes, strict=True)
        ),
        key=lambda piece: piece[0],
    )
    lines: list[list[Any]] = []
    for piece in pieces:
        if lines and abs(piece[0] - lines[-1][0][0]) < 0.5 * max(piece[2], lines[-1][0][2]):
            lines[-1].append(piece)
        else:
            lines.append([piece])
    joined = []
    for line in lines:
        line.sort(key=lambda piece: piece[1])
        joined.append(("".join(piece[3] for piece in line), min(piece[4] for piece in line)))
    return joined


def tesseract() -> tuple[Read, str]:
    """Tesseract's command, one process for each picture, with digits only."""
    os.environ["OMP_THREAD_LIMIT"] = "1"
    shown = subprocess.run(["tesseract", "--version"], capture_output=True, text=True, check=True).stdout

    def read(path: str, page: bool) -> Found:
        command = ["tesseract", path, "-", "--psm", "6" if page else "7"]
        command += ["-c", f"tessedit_char_whitelist={_DIGITS}", "tsv"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        lines: dict[tuple[str, ...], Found] = {}
        for row in csv.DictReader(io.StringIO(done.stdout), delimiter="\t", quoting=csv.QUOTE_NONE):
            if row["level"] == "5" and (row["text"] or "").strip():
                place = row["block_num"], row["par_num"], row["line_num"]
                lines.setdefault(place, []).append((row["text"].strip(), float(row["conf"]) / 100))
        return [("".join(text for text, _ in words), min(score for _, score in words)) for words in lines.values()]

    return read, shown.splitlines()[0]


def main() -> None:
    """Open the engine, and read pictures until standard input ends."""
    engines: dict[str, Callable[..., tuple[Read, str]]] = {
        "digits-edge": own,
        "rapidocr": rapidocr,
        "tesseract": tesseract,
    }
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # libraries print to standard output
    read, version = engines[sys.argv[1]](*sys.argv[2:])
    print(json.dumps({"version": version}), file=output, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        start_s = _processor_s()
        found = read(request["path"], request["page"])
        values = {"lines": [text for text, _ in found], "confidence": min((c for _, c in found), default=0.0)}
        values |= {"ms": 1000 * (_processor_s() - start_s), "memory_mb": _peak_mb()}
        print(json.dumps(values), file=output, flush=True)


def _processor_s() -> float:
    """Processor time of this process and of its children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _peak_mb() -> float:
    """The largest peak of this process and of its children, in MB; Linux reports kB."""
    kinds = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
    return max(resource.getrusage(kind).ru_maxrss for kind in kinds) / 1000


if __name__ == "__main__":
    main()
