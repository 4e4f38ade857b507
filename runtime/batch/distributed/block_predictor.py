"""What an actor does: `BlockPredictor` holds a `Classifier` and turns blocks into shards."""

import tempfile
from collections import Counter
from importlib.metadata import version
from pathlib import Path

import numpy as np

from digits_edge.runtime.batch.distributed.output_folder import OutputFolder
from digits_edge.runtime.batch.distributed.reading import SourceBlock
from digits_edge.runtime.batch.distributed.record import Manifest, Record
from digits_edge.runtime.batch.distributed.shard import shard_of_pictures, shard_of_rows
from digits_edge.runtime.batch.pictures import predictions
from digits_edge.runtime.classifier import Classifier, FloatArray
from digits_edge.runtime.errors import ModelError
from digits_edge.runtime.prediction import Prediction


class BlockPredictor:
    """Answers blocks with one classifier, opened once, and writes them."""

    def __init__(self, folder: OutputFolder, run: Manifest) -> None:
        """Open the model that lies in the folder while a run is under way: another machine may not have it.

        Args:
            folder: where the answers go.
            run: what is answered, and by what.

        Raises:
            ModelError: the model cannot be opened here, or this machine has another version of the package.
        """
        if (here := version("digits-edge")) != run.package:
            raise ModelError(f"a machine has digits-edge {here}, not {run.package}; install the same on all")
        self._run, self._folder = run, folder
        with tempfile.TemporaryDirectory() as own:
            path = Path(own, "model.onnx")
            path.write_bytes(folder.read_model())
            self._classifier = Classifier(path, provider=run.provider, threads=1)

    def answer(self, block: SourceBlock) -> Record:
        """Answer a block; its shard is written, and then the record that is returned."""
        answer = self._pictures if block.pictures else self._rows
        shard, counts = answer(block)
        counts["bad"] = len(block.bad)
        record = Record(block.source, block.first, block.last, counts, block.ends, block.bad, block.failed)
        self._folder.write(record, self._run, shard)
        return record

    def _pictures(self, block: SourceBlock) -> tuple[bytes | None, dict[str, int]]:
        found = self._found(block)
        of_status = Counter(each.status for each in found if each is not None)
        counts = {"answered": of_status.total(), "blank": of_status["blank"], "uncertain": of_status["uncertain"]}
        return shard_of_pictures(block.pictures, found, self._run.file_format), counts

    def _rows(self, block: SourceBlock) -> tuple[bytes | None, dict[str, int]]:
        answers = self._answers(block)
        counts = {"answered": len(answers)}
        if block.labels is not None:
            errors = int(np.count_nonzero(answers.argmax(axis=1) != block.labels))
            counts |= {"labelled": len(answers), "errors": errors}
        if not len(answers):
            return None, counts
        return shard_of_rows(block.name, block.rows, answers, self._run.file_format), counts

    def _answers(self, block: SourceBlock) -> FloatArray:
        """In batches of the size that one machine alone would take."""
        size = self._run.batch_size
        starts = range(0, max(len(block.images), 1), size)
        return np.concatenate([self._classifier.predict_batch(block.images[start : start + size]) for start in starts])

    def _found(self, block: SourceBlock) -> list[Prediction | None]:
        size = self._run.batch_size
        images = dict(zip(block.rows.tolist(), block.images, strict=True))
        of_all = [images.get(row) for row in range(block.first, block.last + 1)]
        starts = range(0, len(of_all), size)
        return [each for start in starts for each in predictions(self._classifier, of_all[start : start + size])]
