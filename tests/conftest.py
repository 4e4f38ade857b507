"""What the tests share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# A worker for each core: TensorFlow's own threads would only wait for each other. It reads this when it is loaded.
if "PYTEST_XDIST_WORKER" in os.environ:
    for kind in ("INTRAOP", "INTEROP"):
        os.environ.setdefault(f"TF_NUM_{kind}_THREADS", "1")


# a loaded machine is no bug; and CI judges a change by the same examples every time, other runs look for new ones
settings.register_profile("project", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("project")


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder that holds the real data sets by name; without it the test is skipped."""
    beside_the_repository = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("DIGITS_EDGE_DATA") or beside_the_repository)
    if not folder.is_dir():
        pytest.skip(f"no data sets at {folder}: set DIGITS_EDGE_DATA to the folder that holds mnist/")
    return folder


@pytest.fixture(scope="session", autouse=True)
def cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What tests find out about this machine stays out of the home of whoever runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIGITS_EDGE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
