"""Threads share a batch with the result of a single thread, also after a fork and with many callers."""

import multiprocessing
import pickle
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from digits_edge.runtime.classifier import Classifier
from digits_edge.runtime.errors import ModelError
from digits_edge.runtime.model.model_file import INPUT_NAME
from digits_edge.runtime.session.bound_session import CACHED_PART, MIN_PART, BoundSession
from digits_edge.runtime.session.threads import available_threads

IMAGES = np.random.default_rng(0).integers(0, 256, (100, 28, 28), np.uint8)


class Recording:
    """Replacement of onnxruntime's session: returns the sum of each image, and records thread and batch size."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []

    def run(self, names, feed):
        images = feed[INPUT_NAME]
        self.calls.append((threading.current_thread().name, len(images)))
        return [images.sum(axis=(1, 2), dtype=np.float32)[:, np.newaxis]]


@pytest.mark.parametrize("count", [1, 2 * MIN_PART - 1, 2 * MIN_PART, 4 * MIN_PART + 1, 100])
def test_threads_share_the_images_in_order(count):
    session = Recording()
    results = BoundSession(session, "cpu", 4).run(IMAGES[:count])
    np.testing.assert_array_equal(results[:, 0], IMAGES[:count].sum(axis=(1, 2)))
    sizes = [size for _, size in session.calls]
    assert len(sizes) == max(1, min(4, count // MIN_PART)) and sum(sizes) == count
    assert max(sizes) - min(sizes) <= 1
    assert sum(name == threading.current_thread().name for name, _ in session.calls) == 1


@pytest.mark.parametrize(
    ("provider", "threads", "sizes"),
    [
        ("cpu", 1, [CACHED_PART, 100 - CACHED_PART]),
        ("openvino", 1, [CACHED_PART, 100 - CACHED_PART]),
        ("openvino", 4, [100]),
    ],
)
def test_parts_fit_the_cache_with_one_thread_and_openvino(provider, threads, sizes):
    session = Recording()
    results = BoundSession(session, provider, threads).run(IMAGES)
    assert [size for _, size in session.calls] == sizes
    np.testing.assert_array_equal(results[:, 0], IMAGES.sum(axis=(1, 2)))


def test_probabilities_do_not_depend_on_the_number_of_threads(model_path):
    results = [
        Classifier(model_path, provider="cpu", threads=threads).predict_batch(IMAGES) for threads in (1, 2, 3, 8)
    ]
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


def test_error_in_a_part_is_raised(model_path):
    classifier = Classifier(model_path, provider="cpu", threads=4)

    def fail(names, feed):
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("no memory\nleft")
        return [np.zeros((len(feed[INPUT_NAME]), 10), np.float32)]

    class Failing:
        run = staticmethod(fail)

    classifier._run = BoundSession(Failing(), "cpu", 4).run
    with pytest.raises(ModelError, match="no memory"):
        classifier.predict_batch(IMAGES)


def test_many_callers_can_share_a_classifier(model_path):
    with Classifier(model_path, provider="cpu", threads=4) as classifier:
        expected = classifier.predict_batch(IMAGES)
        with ThreadPoolExecutor(16) as callers:
            for probabilities in callers.map(lambda _: classifier.predict_batch(IMAGES), range(64)):
                np.testing.assert_array_equal(probabilities, expected)


def test_many_callers_can_predict_single_images(model_path):
    """Each has the result of its own image, although the buffers are used again."""
    with Classifier(model_path, provider="cpu", threads=1) as classifier:
        expected = classifier.predict_batch(IMAGES)
        with ThreadPoolExecutor(16) as callers:
            rows = list(callers.map(lambda image: classifier.predict_batch(image[np.newaxis]), [*IMAGES] * 4))
        np.testing.assert_allclose(np.concatenate(rows), np.concatenate([expected] * 4), atol=1e-6)
        assert 1 <= len(classifier._run.__self__._single._unused) <= 16


def test_result_of_a_single_image_is_not_overwritten(model_path):
    with Classifier(model_path, provider="cpu") as classifier:
        first = classifier.predict_batch(IMAGES[:1])
        copy = first.copy()
        classifier.predict_batch(IMAGES[1:2])
        np.testing.assert_array_equal(first, copy)


def test_models_share_the_threads_of_the_process(model_path):
    classifiers = [Classifier(model_path, provider="cpu", threads=4) for _ in range(6)]
    with ThreadPoolExecutor(len(classifiers)) as callers:
        list(callers.map(lambda classifier: classifier.predict_batch(IMAGES), classifiers * 5))
    workers = [thread for thread in threading.enumerate() if thread.name.startswith("digits-edge")]
    assert 1 <= len(workers) <= available_threads()


@pytest.mark.skipif(sys.platform != "linux", reason="fork is only safe on Linux")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forked_process_starts_its_own_threads(model_path):
    classifier = Classifier(model_path, provider="cpu", threads=4)
    expected = classifier.predict_batch(IMAGES)
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=lambda: queue.put(classifier.predict_batch(IMAGES)))
    child.start()
    child.join(20)
    if child.is_alive():
        child.kill()
        pytest.fail("the forked process waits for threads of its parent")
    np.testing.assert_array_equal(queue.get(), expected)


@pytest.mark.parametrize("provider", ["cpu", "openvino"])
@pytest.mark.parametrize("threads", [1, 2])
def test_single_image_session_predicts_any_number_of_images(provider, threads):
    """Image by image, with the probabilities of a batch session; also after pickling."""
    try:
        single = Classifier("edge-int8", provider=provider, threads=threads, single_image=True)
    except ModelError as error:
        pytest.skip(str(error))
    with (
        single,
        Classifier("edge-int8", provider=provider, threads=threads) as usual,
        pickle.loads(pickle.dumps(single)) as again,
    ):
        assert single._run.__self__.session.get_inputs()[0].shape == [1, 28, 28]
        for count in (0, 1, 2, 3 * MIN_PART):
            results = single.predict_batch(IMAGES[:count])
            np.testing.assert_allclose(results, usual.predict_batch(IMAGES[:count]), atol=1e-6)
            np.testing.assert_array_equal(results, again.predict_batch(IMAGES[:count]))
