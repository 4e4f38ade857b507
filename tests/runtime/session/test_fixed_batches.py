"""Batches of fixed shapes: few sizes, reused buffers, and the same probabilities for all numbers of images."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digits_edge.runtime import Classifier
from digits_edge.runtime.session.bound_session import BoundSession
from digits_edge.runtime.session.fixed_batches import MAX_SHAPE, MAX_VALUES, FixedBatches, batch_shape, largest_shape
from digits_edge.runtime.session.precision import find_model
from digits_edge.runtime.session.providers import open_session

IMAGES = np.random.default_rng(0).integers(0, 256, (200, 28, 28), np.uint8)


@pytest.fixture(scope="module")
def session():
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        find_model("edge-fp32", "cpu").read_bytes(), options, providers=["CPUExecutionProvider"]
    )


@pytest.fixture(scope="module")
def expected(session):
    return session.run(None, {"image": IMAGES})[0]


@pytest.fixture(scope="module")
def batches(session):
    return FixedBatches(session, largest=64)


@given(st.integers(1, 10**6))
def test_shapes_are_powers_of_two_that_are_less_than_half_empty(images):
    shape = batch_shape(images)
    assert shape.bit_count() == 1 and images <= shape < 2 * images


@given(st.integers(1, 2**40))
def test_largest_shape_is_a_power_of_two_within_the_limits(values):
    shape = largest_shape(values)
    assert shape.bit_count() == 1 and 1 <= shape <= MAX_SHAPE
    assert shape == 1 or shape * values <= MAX_VALUES


@given(st.lists(st.tuples(st.integers(0, 199), st.integers(1, 200)), min_size=1, max_size=4))
def test_probabilities_do_not_depend_on_the_number_of_images_or_on_earlier_calls(batches, expected, calls):
    for start, count in calls:
        results = batches.run(IMAGES[start : start + count])
        np.testing.assert_allclose(results, expected[start : start + count], atol=1e-6)


def test_few_shapes_are_used_and_none_exceeds_the_largest(session):
    batches = FixedBatches(session, largest=64)
    for count in (1, 3, 4, 33, 64, 65, 130, 199):
        assert batches.run(IMAGES[:count]).shape == (count, 10)
    assert batches.shapes == [1, 2, 4, 8, 64]


def test_results_stay_valid_after_later_calls(session, expected):
    batches = FixedBatches(session)
    first = batches.run(IMAGES[:5])
    batches.run(IMAGES[100:108])
    np.testing.assert_allclose(first, expected[:5], atol=1e-6)


def test_many_callers_can_share_the_buffers(session, expected):
    batches = FixedBatches(session)
    with ThreadPoolExecutor(8) as callers:
        jobs = {start: callers.submit(batches.run, IMAGES[start : start + 7]) for start in range(0, 190, 3)}
        for start, job in jobs.items():
            np.testing.assert_allclose(job.result(), expected[start : start + 7], atol=1e-6)


def test_images_that_are_not_contiguous_are_predicted(session, expected):
    images = IMAGES.transpose(0, 2, 1).copy().transpose(0, 2, 1)
    np.testing.assert_allclose(FixedBatches(session).run(images[::2]), expected[::2], atol=1e-6)


def test_input_is_bound_for_each_call():
    """onnxruntime copies an input to its device when it is bound: one bound once would be predicted for ever.

    The CPU provider reads the caller's memory and does not show this, so the device is simulated here;
    `tests/providers` runs the same on a real one.
    """

    class Device:
        def get_inputs(self):
            return [type("Input", (), {"shape": ["N", 2, 2]})]

        def get_outputs(self):
            return [type("Output", (), {"shape": ["N", 1]})]

        def io_binding(self):
            return self

        def bind_ortvalue_input(self, name, value):
            self.copied = value.numpy().copy()

        def bind_ortvalue_output(self, name, value):
            self.output = value

        def synchronize_inputs(self):
            pass

        synchronize_outputs = synchronize_inputs

        def run_with_iobinding(self, binding):
            sums = self.copied.sum(axis=(1, 2), dtype=np.float32)[:, np.newaxis]
            self.output.update_inplace(sums)

    batches = FixedBatches(Device())
    for value in (1, 2, 3):
        assert batches.run(np.full((3, 2, 2), value, np.uint8)).tolist() == [[4 * value]] * 3


@pytest.mark.parametrize(
    ("provider", "fixed"), [("cpu", False), ("openvino", False), ("webgpu", True), ("cuda:1", True)]
)
def test_accelerators_use_fixed_shapes_and_processors_do_not(session, provider, fixed):
    bound = BoundSession(session, provider, 1)
    bound.run(IMAGES[:3])
    assert (bound.__dict__.get("_batches") is not None) == fixed


def test_session_for_single_images_has_no_padding():
    single = open_session(find_model("edge-fp32", "cpu").read_bytes(), "cpu", 1, single_image=True).session
    results = BoundSession(single, "webgpu", 1, single_image=True).run(IMAGES[:3])
    assert results.shape == (3, 10)


def test_models_of_other_images_and_outputs_run_in_fixed_shapes(photograph_model, position_model):
    for path, channels in ((photograph_model, (3,)), (position_model, ())):
        with Classifier(path, provider="cpu", threads=1) as classifier:
            shape = classifier.metadata.input.shape
            assert shape[2:] == channels
            images = np.random.default_rng(1).integers(0, 256, (5, *shape), np.uint8)
            batches = FixedBatches(classifier._run.__self__.session)
            np.testing.assert_allclose(batches.run(images), classifier.predict_batch(images), atol=1e-6)
