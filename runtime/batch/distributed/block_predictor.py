"""`BlockPredictor`: classifies blocks in a worker process and writes the shards."""

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
    """Classifies blocks with one open model and writes their shards and records."""

    def __init__(self, folder: OutputFolder, run: Manifest) -> None:
        """Open the model stored in the output folder, because other machines may not have the model file.

        Args:
            folder: output folder of the run.
            run: settings of the run.

        Raises:
            ModelError: the model cannot be opened here, or this machine has another version of the package.
        """
        if (installed := version("digits-edge")) != run.package:
            raise ModelError(
                f"a worker has digits-edge {installed}, expected {run.package}; "
                "install the same version on all machines"
            )
        self._run, self._folder = run, folder
        with tempfile.TemporaryDirectory() as temporary:
            path = Path(temporary, "model.onnx")
            path.write_bytes(folder.read_model())
            self._classifier = Classifier(path, provider=run.provider, threads=1)

    def answer(self, block: SourceBlock) -> Record:
        """Classify a block, write its shard and then its record, and return the record."""
        predict = self._predict_pictures if block.pictures else self._predict_rows
        shard, counts = predict(block)
        counts["bad"] = len(block.bad)
        record = Record(block.source, block.first, block.last, counts, block.ends, block.bad, block.failed)
        self._folder.write(record, self._run, shard)
        return record

    def _predict_pictures(self, block: SourceBlock) -> tuple[bytes | None, dict[str, int]]:
        size = self._run.batch_size
        prepared = dict(zip(block.rows.tolist(), block.prepared, strict=True))
        pictures = [prepared.get(row) for row in range(block.first, block.last + 1)]
        batches = [pictures[start : start + size] for start in range(0, len(pictures), size)]
        found: list[Prediction | None] = [each for batch in batches for each in predictions(self._classifier, batch)]
        statuses = Counter(each.status for each in found if each is not None)
        counts = {"answered": statuses.total()}
        counts |= {status: statuses[status] for status in ("blank", "several", "uncertain")}
        return shard_of_pictures(block.pictures, found, self._run.file_format), counts

    def _predict_rows(self, block: SourceBlock) -> tuple[bytes | None, dict[str, int]]:
        probabilities = self._probabilities(block)
        counts = {"answered": len(probabilities)}
        if block.labels is not None:
            errors = int(np.count_nonzero(probabilities.argmax(axis=1) != block.labels))
            counts |= {"labelled": len(probabilities), "errors": errors}
        if not len(probabilities):
            return None, counts
        return shard_of_rows(block.name, block.rows, probabilities, self._run.file_format), counts

    def _probabilities(self, block: SourceBlock) -> FloatArray:
        """Run the model in batches of the run's batch size; float32 (n, C)."""
        size = self._run.batch_size
        starts = range(0, max(len(block.images), 1), size)
        batches = (block.images[start : start + size] for start in starts)
        return np.concatenate([self._classifier.predict_batch(batch, pixel_range=255) for batch in batches])
