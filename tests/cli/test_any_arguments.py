"""Property test: any command line gives a documented exit code and no traceback."""

from contextlib import redirect_stderr, redirect_stdout
from io import BytesIO, StringIO, TextIOWrapper

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digits_edge.cli.main import run

WORDS = st.text(
    st.characters(codec="utf-8", exclude_characters="/"), max_size=8
)  # no slash, so outputs stay in the test folder
PATHS = st.one_of(
    st.sampled_from(["seven.png", "blank.png", "test.csv", "none", "*.png", ".", "~", "/dev/null"]), WORDS
)
NUMBERS = st.one_of(st.sampled_from(["1", "2", "0", "-1", "1e9", "nan", "99999999999999999999"]), WORDS)
MODELS = st.one_of(st.sampled_from(["seven.png", "none.onnx", "edge", "--json"]), WORDS)
PROVIDERS = st.one_of(st.sampled_from(["auto", "cpu", "CPU", "CPUExecutionProvider", "cuda", "tensorrt"]), WORDS)


def options(**values):
    """Any of these options, with or without a value, in any order."""
    named = [
        st.tuples(st.just(f"--{name.replace('_', '-')}"), value) if value is not None else st.just((f"--{name}",))
        for name, value in values.items()
    ]
    return st.lists(st.one_of(*named), max_size=3).map(lambda chosen: [word for option in chosen for word in option])


COMMAND_LINES = st.one_of(
    st.tuples(
        st.just(["predict"]),
        st.lists(PATHS, max_size=3),
        options(model=MODELS, provider=PROVIDERS, threads=NUMBERS, top=NUMBERS, json=None, other=WORDS),
    ),
    st.tuples(
        st.just(["read"]),
        st.lists(PATHS, max_size=3),
        options(
            model=MODELS, provider=PROVIDERS, length=NUMBERS, pattern=WORDS, check=WORDS, region=NUMBERS, json=None
        ),
    ),
    st.tuples(
        st.just(["batch-predict"]),
        st.lists(PATHS, max_size=2),
        options(output=PATHS, model=MODELS, provider=PROVIDERS, batch_size=NUMBERS, overwrite=None, json=None),
    ),
    st.tuples(
        st.just(["benchmark", "--seconds", "0", "--repeats", "1", "--cold-starts", "0", "--batch-size", "1"]),
        st.lists(PATHS, max_size=1),
        options(model=MODELS, provider=PROVIDERS, threads=NUMBERS, batch_size=WORDS, json=None),
    ),
    st.tuples(st.just(["models"]), st.lists(PATHS, max_size=1), options(json=None, help=None, other=WORDS)),
    st.tuples(st.lists(WORDS, max_size=3)),
).map(lambda parts: [word for part in parts for word in part])


@pytest.mark.usefixtures("seven", "blank", "digits_csv")
@pytest.mark.parametrize("examples", [40, pytest.param(150, marks=pytest.mark.slow)])
def test_any_arguments_give_a_documented_exit_code(examples):
    @settings(max_examples=examples)
    @given(arguments=COMMAND_LINES)
    def check(arguments):
        stdout, stderr = TextIOWrapper(BytesIO(), "utf-8"), StringIO()
        with redirect_stdout(stdout), redirect_stderr(stderr):
            code = run(arguments)
        assert code in range(5)
        assert "Traceback" not in stderr.getvalue()
        assert "this is a bug" not in stderr.getvalue()
        assert (code == 0) or stderr.getvalue().endswith("\n")

    check()
