"""Golden values in exact arithmetic: images that amplify a rounding, and processors whose sums saturate."""

import numpy as np
import pytest

from digits_edge.export import exact_golden
from digits_edge.export.exact_golden import with_exact
from digits_edge.runtime.errors import CheckError
from digits_edge.runtime.model.golden import GoldenValues


@pytest.mark.parametrize(("changed", "share", "kept"), [(1, 0.25, 7), (2, 0.25, 6), (3, 0.25, None), (1, 0.0, None)])
def test_few_images_that_amplify_a_rounding_are_left_out(
    monkeypatch: pytest.MonkeyPatch, changed: int, share: float, kept: int | None
) -> None:
    images = np.arange(8 * 784, dtype=np.uint32).astype(np.uint8).reshape(8, 28, 28)
    probabilities = np.tile(np.array([[0.75, 0.25]], np.float32), (8, 1))
    predicted = probabilities.copy()
    predicted[:changed] += np.array([-0.05, 0.05], np.float32)
    monkeypatch.setattr(exact_golden, "exact_probabilities", lambda graph, images: probabilities)
    golden = GoldenValues(images, probabilities, 0.1)
    if kept is None:
        with pytest.raises(CheckError, match=r"differ from exact arithmetic by 0\.05"):
            with_exact(golden, None, predicted, max_difference=0.03, max_share_left_out=share)
        return
    found = with_exact(golden, None, predicted, max_difference=0.03, max_share_left_out=share)
    np.testing.assert_array_equal(found.images, images[changed:])
    assert found.exact is not None
    assert found.exact.shape == found.probabilities.shape == (kept, 2)


def test_outputs_that_are_not_numbers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    probabilities = np.full((2, 2), 0.5, np.float32)
    monkeypatch.setattr(exact_golden, "exact_probabilities", lambda graph, images: probabilities)
    golden = GoldenValues(np.zeros((2, 28, 28), np.uint8), probabilities, 0.1)
    with pytest.raises(CheckError, match="differ from exact arithmetic"):
        with_exact(golden, None, np.full((2, 2), np.nan, np.float32), max_difference=0.03)
