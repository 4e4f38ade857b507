"""Shared fixtures and settings of all tests."""

import gc
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from digits_edge.runtime.files import lock

# One worker runs per core, so threads of TensorFlow and of numpy's BLAS would only compete. Both read these variables
# when they are imported, which is later.
if "PYTEST_XDIST_WORKER" in os.environ:
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")


def pytest_collection_finish() -> None:
    """Collect garbage rarely, and not among the imported modules: this takes a fifth of the time of a training."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


# No deadline, because the machine may be busy. CI always uses the same examples; other runs search for new ones, and
# have fewer.
CI = "CI" in os.environ
settings.register_profile("project", deadline=None, derandomize=CI, max_examples=100 if CI else 40)
settings.load_profile("project")


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Folder of the real data sets, one subfolder each; the test is skipped if it does not exist."""
    beside_the_repository = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("DIGITS_EDGE_DATA") or beside_the_repository)
    if not folder.is_dir():
        pytest.skip(f"no data sets in {folder}: set DIGITS_EDGE_DATA to the folder that contains mnist/")
    return folder


@pytest.fixture(scope="session", autouse=True)
def cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Use a temporary cache folder instead of the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIGITS_EDGE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def make_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], object]], Path]:
    """A function that makes a file once for all workers of a run.

    Its arguments are the file's name and a function that writes it to a path; it returns the file's path. Tests must
    not change the file.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "made_once"
    folder.mkdir(exist_ok=True)

    def make(name: str, write: Callable[[Path], object]) -> Path:
        path = folder / name
        with (folder / f"{name}.lock").open("wb") as stream:
            while not lock(stream):
                time.sleep(0.02)
            if not path.exists():
                unfinished = folder / f"unfinished.{name}"
                write(unfinished)
                unfinished.rename(path)
        return path

    return make


@pytest.fixture(scope="session")
def line_runs(make_once: Callable) -> Path:
    """Folder with a `finished` and an `interrupted` run of a tiny sequence model, which tests must not change."""
    pytest.importorskip("keras", reason="training needs the extra [train]")
    from tests.line_runs import write_line_runs

    return make_once("line-runs", write_line_runs)


@pytest.fixture(scope="session")
def line_run(line_runs: Path) -> Path:
    """Run folder of a tiny sequence model, which tests must not change."""
    return line_runs / "finished"


@pytest.fixture(scope="session")
def line_model(make_once: Callable, line_run: Path) -> Path:
    """Model file of the tiny sequence model, in fp32."""
    pytest.importorskip("tf2onnx", reason="the conversion needs the extra [export]")
    from digits_edge.export import export_lines, read_line_source

    return make_once("line-model.onnx", lambda path: export_lines(read_line_source(line_run), path, precision="fp32"))


@pytest.fixture(scope="session")
def photograph_model(make_once: Callable) -> Path:
    """A model file of colour photographs, 32×32×3, with the classes tomato, leaf and sky: red, green and blue."""
    pytest.importorskip("onnx", reason="building a model needs onnx")
    from tests.other_models import write_photographs

    return make_once("photographs-fp32.onnx", write_photographs)


@pytest.fixture(scope="session")
def position_model(make_once: Callable) -> Path:
    """A model file of objects, 64×64 grey, with five independent sigmoids: the rows that the object covers."""
    pytest.importorskip("onnx", reason="building a model needs onnx")
    from tests.other_models import write_positions

    return make_once("positions-fp32.onnx", write_positions)


@pytest.fixture(scope="session")
def letter_model(make_once: Callable) -> Path:
    """A model file of 26 handwritten letters, 32×32 grey; the prediction depends on the amount of ink."""
    pytest.importorskip("onnx", reason="building a model needs onnx")
    from tests.other_models import write_letters

    return make_once("letters-fp32.onnx", write_letters)


@pytest.fixture(scope="session")
def sequence_model(make_once: Callable) -> Path:
    """A model file that reads the even digits of `tests.drawn_numbers`."""
    pytest.importorskip("onnx", reason="building a model needs onnx")
    from tests.sequence_models import write_sequence_model

    return make_once("templates-fp32.onnx", write_sequence_model)
