"""A batch that threads share is answered as by one, and neither forks nor many callers stop it."""

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
    """In place of onnxruntime's session: the sum of each image, and who was asked how many."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    def run(self, names, feed):
        images = feed[INPUT_NAME]
        self.asked.append((threading.current_thread().name, len(images)))
        return [images.sum(axis=(1, 2), dtype=np.float32)[:, np.newaxis]]


@pytest.mark.parametrize("count", [1, 2 * MIN_PART - 1, 2 * MIN_PART, 4 * MIN_PART + 1, 100])
def test_threads_share_the_images_and_keep_their_order(count):
    session = Recording()
    answers = BoundSession(session, "cpu", 4).run(IMAGES[:count])
    np.testing.assert_array_equal(answers[:, 0], IMAGES[:count].sum(axis=(1, 2)))
    sizes = [size for _, size in session.asked]
    assert len(sizes) == max(1, min(4, count // MIN_PART)) and sum(sizes) == count
    assert max(sizes) - min(sizes) <= 1
    assert sum(name == threading.current_thread().name for name, _ in session.asked) == 1


@pytest.mark.parametrize(
    ("provider", "threads", "sizes"),
    [
        ("cpu", 1, [CACHED_PART, 100 - CACHED_PART]),
        ("openvino", 1, [CACHED_PART, 100 - CACHED_PART]),
        ("openvino", 4, [100]),
        ("cuda", 4, [100]),
    ],
)
def test_one_thread_and_other_providers_get_what_their_caches_hold(provider, threads, sizes):
    session = Recording()
    answers = BoundSession(session, provider, threads).run(IMAGES)
    assert [size for _, size in session.asked] == sizes
    np.testing.assert_array_equal(answers[:, 0], IMAGES.sum(axis=(1, 2)))


def test_answers_do_not_depend_on_the_number_of_threads(model_path):
    answers = [
        Classifier(model_path, provider="cpu", threads=threads).predict_batch(IMAGES) for threads in (1, 2, 3, 8)
    ]
    for others in answers[1:]:
        np.testing.assert_array_equal(others, answers[0])


def test_an_error_in_any_part_is_raised(model_path):
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


def test_many_callers_may_share_one(model_path):
    with Classifier(model_path, provider="cpu", threads=4) as classifier:
        expected = classifier.predict_batch(IMAGES)
        with ThreadPoolExecutor(16) as callers:
            for answers in callers.map(lambda _: classifier.predict_batch(IMAGES), range(64)):
                np.testing.assert_array_equal(answers, expected)


def test_many_models_share_the_threads_of_their_process(model_path):
    classifiers = [Classifier(model_path, provider="cpu", threads=4) for _ in range(6)]
    with ThreadPoolExecutor(len(classifiers)) as callers:
        list(callers.map(lambda classifier: classifier.predict_batch(IMAGES), classifiers * 5))
    helpers = [thread for thread in threading.enumerate() if thread.name.startswith("digits-edge")]
    assert 1 <= len(helpers) <= available_threads()


@pytest.mark.skipif(sys.platform != "linux", reason="others do not fork safely")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_starts_threads_of_its_own(model_path):
    classifier = Classifier(model_path, provider="cpu", threads=4)
    expected = classifier.predict_batch(IMAGES)
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    child = context.Process(target=lambda: answers.put(classifier.predict_batch(IMAGES)))
    child.start()
    child.join(20)
    if child.is_alive():
        child.kill()
        pytest.fail("the forked process waits for threads that it has not")
    np.testing.assert_array_equal(answers.get(), expected)


@pytest.mark.parametrize("provider", ["cpu", "openvino"])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_session_for_one_image_answers_any_number(provider, threads):
    """Image by image, with the answers that a session for batches gives; a pickled one too."""
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
            answers = single.predict_batch(IMAGES[:count])
            np.testing.assert_allclose(answers, usual.predict_batch(IMAGES[:count]), atol=1e-6)
            np.testing.assert_array_equal(answers, again.predict_batch(IMAGES[:count]))
