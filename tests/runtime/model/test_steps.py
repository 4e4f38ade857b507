"""Input and preprocessing in the metadata of a model file."""

import json
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digits_edge.runtime.errors import ModelError, UsageError
from digits_edge.runtime.model.image_input import MAX_SIDE, ImageInput
from digits_edge.runtime.model.model_file import Metadata
from digits_edge.runtime.model.steps import (
    STEPS,
    CenterCropStep,
    DigitStep,
    ObjectStep,
    PadStep,
    ResizeStep,
    default_steps,
    named_steps,
    reads_ink,
)

SIDES = st.integers(1, MAX_SIDE)
ANY_STEP = st.one_of(
    SIDES.flatmap(lambda size: st.builds(DigitStep, st.integers(1, size), st.just(size))),
    SIDES.flatmap(lambda size: st.builds(ObjectStep, st.integers(1, size), st.just(size))),
    st.builds(ResizeStep, SIDES, SIDES, st.sampled_from(["stretch", "contain", "cover"])),
    st.builds(CenterCropStep, SIDES, SIDES),
    st.builds(PadStep, SIDES, SIDES, st.integers(0, 255)),
)
POLARITIES = st.sampled_from(["white-on-black", "as-photographed"])
INPUTS = st.builds(ImageInput, SIDES, SIDES, st.sampled_from([1, 3]), POLARITIES)
METADATA = Metadata("m", "1", "cnn", "fp32", ("a", "b"), 1)


@given(steps=st.lists(ANY_STEP, max_size=4).map(tuple), image=INPUTS, output=st.sampled_from(["softmax", "sigmoid"]))
def test_input_steps_and_output_are_equal_after_parsing(steps, image, output):
    written = replace(METADATA, input=image, preprocessing=steps, output=output)
    assert Metadata.from_json(written.to_json()) == written


@pytest.mark.parametrize(("name", "step"), [("mnist", DigitStep()), ("fashion-mnist", ObjectStep())])
def test_a_file_of_schema_1_names_its_format(name, step):
    values = json.loads(METADATA.to_json())
    for new in ("input", "preprocessing", "output"):
        del values[new]
    read = Metadata.from_json(json.dumps(values | {"schema_version": 1, "preprocessing": name}))
    assert (read.input, read.preprocessing, read.output) == (ImageInput(), (step,), "softmax")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"preprocessing": [{"step": "sharpen"}]}, "step 'sharpen' is from a newer version; upgrade digits-edge"),
        ({"preprocessing": [{"height": 3, "width": 3}]}, "not digits-edge metadata"),
        ({"preprocessing": [{"step": "resize", "height": 3}]}, "not digits-edge metadata"),
        ({"preprocessing": [{"step": "pad", "height": 3, "width": 0}]}, "a side of 0 pixels"),
        ({"preprocessing": "mnist"}, "not digits-edge metadata"),
        ({"preprocessing": [7]}, "not digits-edge metadata"),
        ({"input": asdict(ImageInput()) | {"channels": 2}}, "not digits-edge metadata"),
        ({"input": asdict(ImageInput()) | {"height": 10**9}}, "use sides from 1 to 1024"),
        ({"output": "tanh"}, "not digits-edge metadata"),
        ({"schema_version": 1, "preprocessing": "svhn"}, "not digits-edge metadata"),
        ({"schema_version": 3}, "upgrade digits-edge"),
    ],
)
def test_invalid_input_records_are_rejected_in_one_line(change, message):
    with pytest.raises(ModelError, match=message) as caught:
        Metadata.from_json(json.dumps(json.loads(METADATA.to_json()) | change))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("missing", ["input", "preprocessing", "output"])
def test_a_file_of_schema_2_must_state_its_input(missing):
    values = json.loads(METADATA.to_json())
    del values[missing]
    with pytest.raises(ModelError, match=f"{missing} missing"):
        Metadata.from_json(json.dumps(values))


@pytest.mark.parametrize(
    "make",
    [
        lambda: DigitStep(ink=30, size=28),
        lambda: ObjectStep(side=30, size=28),
        lambda: ResizeStep(0, 3),
        lambda: PadStep(3, 3, 256),
        lambda: ImageInput(0, 3),
        lambda: ImageInput(3, MAX_SIDE + 1),
        lambda: named_steps("digit", ImageInput(3, 4)),
    ],
)
def test_impossible_sizes_are_refused(make):
    with pytest.raises(UsageError):
        make()


def test_usual_steps_of_handwriting_and_photographs():
    assert default_steps(ImageInput(), digits=True) == (DigitStep(),)
    assert default_steps(ImageInput(64, 64), digits=True) == (DigitStep(46, 64),)
    assert not reads_ink(default_steps(ImageInput(64, 64), digits=False))
    assert not reads_ink(default_steps(ImageInput(28, 32), digits=True))
    assert len(set(STEPS)) == 6
