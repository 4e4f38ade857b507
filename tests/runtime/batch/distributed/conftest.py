"""Test tables and pictures, and the engine's steps run one after the other without Ray."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

arrow = pytest.importorskip("pyarrow", reason="needs the extra ray")
parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra ray")
pytest.importorskip("ray", reason="needs the extra ray")

from digits_edge.runtime.batch.distributed import reading  # noqa: E402
from digits_edge.runtime.batch.distributed.block_predictor import BlockPredictor  # noqa: E402
from digits_edge.runtime.batch.distributed.output_folder import OutputFolder  # noqa: E402
from digits_edge.runtime.batch.distributed.reading import divide, read, work_left  # noqa: E402
from digits_edge.runtime.batch.distributed.record import Manifest, Named, Record  # noqa: E402
from digits_edge.runtime.batch.distributed.source import Source, find_sources  # noqa: E402
from digits_edge.runtime.classifier import Classifier  # noqa: E402
from digits_edge.runtime.model.image_input import ImageInput  # noqa: E402
from digits_edge.runtime.model.steps import DigitStep  # noqa: E402
from digits_edge.runtime.preprocessing.steps import PictureForm  # noqa: E402

HEADER = "label," + ",".join(f"pixel{index}" for index in range(784))
#: Rows of a table, and of a block.
ROWS, ROWS_PER_BLOCK, PICTURES_PER_BLOCK = 200, 20, 4
IMAGES = np.random.default_rng(8).integers(0, 256, (ROWS, 28, 28), np.uint8)
DIGIT_FORM = PictureForm((DigitStep(),), ImageInput())
LABELS = (np.arange(ROWS) % 10).astype(np.uint8)


def write_csv(path: Path, images: np.ndarray, labels: np.ndarray) -> None:
    rows = np.column_stack([labels, images.reshape(-1, 784)])
    path.write_text("\n".join([HEADER, *(",".join(map(str, row)) for row in rows.tolist())]) + "\n")


def write_parquet(path: Path, images: np.ndarray, labels: np.ndarray, rows_per_group: int) -> None:
    table = arrow.table({"image": [image.tobytes() for image in images], "label": labels})
    parquet.write_table(table, path, row_group_size=rows_per_group)


def write_picture(path: Path, number: int) -> None:
    """Write a picture of a stroke whose position depends on `number`."""
    pixels = np.full((40, 40), 255, np.uint8)
    pixels[8:32, 6 + number : 10 + number] = 0
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="module")
def shared_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two tables of `ROWS` rows, an empty table, and a subfolder of 11 pictures, one of them damaged.

    Tests must not change it.
    """
    folder = tmp_path_factory.mktemp("shared") / "archive"
    (folder / "pictures").mkdir(parents=True)
    write_csv(folder / "a.csv", IMAGES, LABELS)
    write_parquet(folder / "b.parquet", IMAGES[::-1], LABELS[::-1], rows_per_group=6)
    (folder / "c-empty.csv").write_text(HEADER + "\n")
    for number in range(10):
        write_picture(folder / "pictures" / f"{number}.png", number)
    (folder / "pictures" / "damaged.png").write_bytes(b"not a picture")
    return folder


@pytest.fixture
def archive(shared_archive: Path, tmp_path: Path) -> Path:
    """A copy of `shared_archive` that a test may change."""
    return shutil.copytree(shared_archive, tmp_path / "archive")


@pytest.fixture(scope="module", autouse=True)
def small_blocks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "ROWS_PER_BLOCK", ROWS_PER_BLOCK)
        patch.setattr(reading, "PICTURES_PER_BLOCK", PICTURES_PER_BLOCK)
        yield


def manifest_of(sources: list[Source], **changed: object) -> Manifest:
    with Classifier("edge-int8", provider="cpu") as classifier:
        digest = str(classifier.path)
    values = {"model": "edge-int8", "digest": digest, "provider": "cpu", "file_format": "parquet", "batch_size": 128}
    values["package"] = version("digits-edge")
    named = tuple(Named(source.name, source.patterns, source.version) for source in sources)
    return Manifest(**(values | changed), sources=named)  # type: ignore[arg-type]


class Steps:
    """The engine's steps without Ray, which only schedules them."""

    def __init__(self, archive: Path, target: Path) -> None:
        self.archive, self.folder = archive, OutputFolder.of(str(target))

    def begin(self, **changed: object) -> list[Record]:
        self.sources = find_sources([str(self.archive)])
        self.run = manifest_of(self.sources, **changed)
        with Classifier("edge-int8", provider="cpu") as classifier:
            model = classifier.path.read_bytes()
        return self.folder.begin(self.run, model, overwrite=False)

    def predict(self, records: list[Record]) -> Iterator[Record]:
        """Classify the unprocessed blocks one by one."""
        predictor = BlockPredictor(self.folder, self.run)
        for work in work_left(self.sources, records):
            for piece in divide(work):
                with closing(read(piece, DIGIT_FORM)) as blocks:
                    yield from map(predictor.answer, blocks)

    def run_all(self, **changed: object) -> Manifest:
        """Run all steps and return the manifest."""
        records = self.begin(**changed)
        return self.folder.finish(self.run, [*records, *self.predict(records)])


@pytest.fixture
def steps(archive: Path, tmp_path: Path) -> Steps:
    return Steps(archive, tmp_path / "out")


@pytest.fixture
def local_probabilities() -> Callable[[np.ndarray], np.ndarray]:
    """A function that returns the probabilities of a single classifier, in batches of 128."""

    def probabilities(images: np.ndarray) -> np.ndarray:
        with Classifier("edge-int8", provider="cpu", threads=1) as classifier:
            return np.concatenate(
                [classifier.predict_batch(images[start : start + 128]) for start in range(0, len(images), 128)]
            )

    return probabilities


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def records_of(folder: Path) -> list[dict[str, object]]:
    return json.loads((folder / "_manifest.json").read_text())["records"]
