"""Check the bundled models on emulated processors.

They are x86-64 with and without AVX2, and arm64 with and without dot products. On every processor each model is
verified, and answers for test images, or lines made of them. The answers are compared with those of this machine or,
with `--exact`, of exact arithmetic. Debian's qemu-user-static emulates x86-64 with the Python that runs this script,
and arm64 with a Debian root that mmdebstrap and pip create once. The exit code is 1 if a model fails verification, a
clear answer changed, a sample is misclassified or an image prepared from a PNG differs.

Example: python -m endurance.processors --processor Haswell --model edge-int8
"""

import csv
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

import click
import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.checks.verify import verify
from digits_edge.runtime.checks.verify_lines import verify_lines
from digits_edge.runtime.classifier import Classifier
from digits_edge.runtime.datasets import CATALOGUE, load
from digits_edge.runtime.datasets.line_set import LineSet, read_line_set, write_line_set
from digits_edge.runtime.errors import CheckError, DigitsEdgeError, InputError, ModelError, UsageError, did_you_mean
from digits_edge.runtime.files import refuse_existing, user_cache
from digits_edge.runtime.json_record import as_record
from digits_edge.runtime.model.bundled import MODELS, BundledModel, bundled_models
from digits_edge.runtime.preprocessing.pictures import open_picture
from digits_edge.runtime.reader.line_image import line_image, line_levels
from digits_edge.runtime.reader.line_model import LineModel

from .answers import Answers, of_images, of_lines

REPOSITORY = Path(__file__).parents[1]
SAMPLES = REPOSITORY / "samples"
#: Debian packages of the arm64 root, and PyPI packages of its Python.
_DEBIAN_PACKAGES = "python3.11-minimal,libpython3.11-stdlib,libstdc++6,libgomp1,ca-certificates"
_WHEELS = ("numpy", "pillow", "click", "platformdirs", "onnxruntime")
_PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64")
_LINKED = ("runtime", "cli")
NATIVE = "native"
#: Emulation is slow, so a model with more than MAX_PARAMETERS predicts at most MAX_IMAGES test images.
MAX_PARAMETERS, MAX_IMAGES = 1_000_000, 100
#: Models that read numbers read so many lines, which are made with this seed.
LINES, LINES_SEED = 100, 20_261_130
_WORKER = "from endurance.processors import work; work()"


@dataclass(frozen=True)
class Processor:
    """A processor that qemu emulates.

    Attributes:
        name: qemu's name, for `-cpu`.
        instructions: short name of the newest vector instructions for int8.
        part: "CPU part" in `/proc/cpuinfo` for arm64; empty for x86-64.
        features: "Features" in `/proc/cpuinfo` for arm64.
    """

    name: str
    instructions: str
    part: str = ""
    features: str = ""

    @property
    def emulator(self) -> str:
        """Name of the qemu-user-static program."""
        return "qemu-aarch64-static" if self.part else "qemu-x86_64-static"


_ARM = "fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid"
_ARM_DOT = f"{_ARM} atomics fphp asimdhp asimdrdm lrcpc dcpop asimddp"
PROCESSORS = (
    Processor("Nehalem", "SSE4.2"),
    Processor("Denverton", "SSE4.2"),
    Processor("Haswell", "AVX2"),
    Processor("cortex-a53", "NEON", "0xd03", _ARM),
    Processor("cortex-a72", "NEON", "0xd08", _ARM),
    Processor("cortex-a76", "SDOT", "0xd0b", _ARM_DOT),
    Processor("max", "I8MM", "0xd0b", _ARM_DOT),
)


@dataclass(frozen=True)
class Task:
    """Work of a worker for one model.

    Attributes:
        model: bundled name.
        inputs: .npy file of the test images, uint8 (N, 28, 28), or .npz file of the lines.
        samples: whether to predict the sample pictures.
    """

    model: str
    inputs: str
    samples: bool


@dataclass(frozen=True)
class Findings:
    """Results of a worker for one model.

    Attributes:
        model: bundled name.
        problems: problems found by `verify`.
        samples: predicted label of each sample picture by file name; empty if the model does not predict digits.
        prepared: SHA-256 of the images, or line images, prepared from the PNG samples.
        answers: answers to the test images or lines.
    """

    model: str
    problems: list[str]
    samples: dict[str, str | None]
    prepared: str
    answers: Answers


@dataclass(frozen=True, eq=False)
class Reference:
    """Expected results for one model.

    Attributes:
        task: task of the workers.
        parameters: number of parameters of the model.
        images: test images, uint8 (1 or N, H, W) each: all together, or line by line.
        labels: names of the classes, or characters.
        texts: right label of each image, or number in each line.
        answers: expected answers.
        prepared: SHA-256 as in `Findings`, computed on this machine.
    """

    task: Task
    parameters: int
    images: list[NDArray[np.uint8]]
    labels: tuple[str, ...]
    texts: tuple[str, ...]
    answers: Answers = field(default_factory=lambda: Answers([], [], []))
    prepared: str = ""


@dataclass(frozen=True)
class Comparison:
    """Findings compared with their reference.

    Attributes:
        errors: number of test images or lines with a wrong answer.
        max_difference: largest difference of a probability; NaN if the worker failed.
        changed: number of clear answers (see `endurance.answers`) that differ.
        problems: failed checks, one line each.
    """

    errors: int
    max_difference: float
    changed: int
    problems: list[str]


Results = dict[str, dict[str, Comparison]]
_T = TypeVar("_T")


@click.command(help=__doc__)
@click.option("--images", type=click.IntRange(1), default=500, show_default=True, help="Number of test images.")
@click.option("--processor", "processors", multiple=True, help="Processor to emulate, by qemu's name; default: all.")
@click.option("--model", "models", multiple=True, help="Bundled model to check, with its precision; default: all.")
@click.option("--data", help="Folder that holds the data sets by name; default: found or downloaded by name.")
@click.option(
    "--root", type=click.Path(path_type=Path), help="Debian root for arm64, created if missing; default: in the cache."
)
@click.option("--exact", is_flag=True, help="Compare int8 models with exact arithmetic; needs the extra `export`.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Markdown file for the tables.")
def main(
    images: int,
    processors: tuple[str, ...],
    models: tuple[str, ...],
    data: str | None,
    root: Path | None,
    exact: bool,
    output: Path | None,
) -> None:
    """Check the bundled models and print the tables."""
    try:
        chosen = _chosen(processors, {processor.name: processor for processor in PROCESSORS}, UsageError)
        bundled = _chosen(models, {model.name: model for model in bundled_models()}, ModelError)
        if output is not None:
            refuse_existing(output, overwrite=True)
        root = (root or user_cache() / "arm64").absolute()
        _require_programs(chosen, root)
        if any(processor.part for processor in chosen):
            _create_root(root)
        with tempfile.TemporaryDirectory() as name:
            results, references = _check(chosen, bundled, images, data, root, Path(name), exact=exact)
    except DigitsEdgeError as error:
        click.echo(f"error: {error}", err=True)
        raise SystemExit(error.exit_code) from error
    tables = _tables(results, references, exact=exact)
    click.echo(tables)
    if output is not None:
        output.write_text(tables, encoding="utf-8")
    problems = [
        f"{processor}, {model}: {problem}"
        for processor, compared in results.items()
        for model, comparison in compared.items()
        for problem in comparison.problems
    ]
    if problems:
        raise SystemExit("\n".join(problems))


def _chosen(names: tuple[str, ...], known: Mapping[str, _T], error: type[DigitsEdgeError]) -> list[_T]:
    """Return the values of the names, in the order of `known`; all values if there are no names."""
    for name in names:
        if name not in known:
            raise error(f"unknown name {name!r}: use one of {', '.join(known)}.{did_you_mean(name, known)}")
    return [value for name, value in known.items() if not names or name in names]


def _check(
    processors: list[Processor],
    models: list[BundledModel],
    count: int,
    data: str | None,
    root: Path,
    folder: Path,
    *,
    exact: bool,
) -> tuple[Results, dict[str, Reference]]:
    """Run a worker on this machine and on each processor.

    Args:
        processors: processors to emulate.
        models: models to check.
        count: number of test images.
        data: as for `digits_edge.runtime.datasets.load`.
        root: Debian root for arm64.
        folder: empty folder for the workers.
        exact: whether exact arithmetic is the reference for int8 models.

    Returns:
        Comparisons by processor and model, and the references by model.
    """
    references = {
        model.name: (_test_images if model.is_classifier else _test_lines)(model, count, data, folder)
        for model in models
    }
    tasks = [reference.task for reference in references.values()]
    native = list(_run(None, tasks, root, folder))
    for found, model in zip(native, models, strict=True):
        _progress(NATIVE, found.model, "done")
        known, answers = references[model.name], found.answers
        if exact and model.precision == "int8":
            _progress("exact arithmetic", model.name)
            answers = _exact(model, known)
        references[model.name] = replace(known, answers=answers, prepared=found.prepared)
    results = {NATIVE: {found.model: _compared(found, references[found.model]) for found in native}}
    for processor in processors:
        results[processor.name] = compared = {}
        try:
            for found in _run(processor, tasks, root, folder):
                compared[found.model] = comparison = _compared(found, references[found.model])
                _progress(processor.name, found.model, *(comparison.problems or ["ok"]))
        except CheckError as error:
            # the worker can also fail after the last task, while it ends
            failed = next((task.model for task in tasks if task.model not in compared), tasks[-1].model)
            compared[failed] = Comparison(0, np.nan, 0, [str(error)])
            _progress(processor.name, failed, str(error))
    return results, references


def _test_images(model: BundledModel, count: int, data: str | None, folder: Path) -> Reference:
    """Return the reference of a classifier without its results, and save its test images for the workers."""
    with Classifier(model.name, provider="cpu", threads=1) as classifier:
        labels = classifier.labels
    name = model.figures["test"]["name"]
    parameters = int(model.figures["parameters"])
    if parameters > MAX_PARAMETERS:
        count = min(count, MAX_IMAGES)
    dataset = load(name, "test", data=data)
    images, truth = dataset.images[:count], dataset.labels_for(len(labels), model.name)[:count]
    file = folder / f"{model.name}.npy"
    np.save(file, images)
    task = Task(model.name, str(file), labels == CATALOGUE["mnist"].class_names)
    return Reference(task, parameters, [images], labels, tuple(labels[place] for place in truth.tolist()))


def _test_lines(model: BundledModel, count: int, data: str | None, folder: Path) -> Reference:
    """Return the reference of a sequence model without its results, and save lines made of MNIST's test images."""
    try:
        from digits_edge.train.numbers.lines import NumberLines
        from digits_edge.train.numbers.settings import LineSettings
    except ImportError as error:
        raise UsageError("models that read numbers need the extra `train`: pip install '.[train]'") from error

    digits = load("mnist", "test", data=data)
    source = NumberLines(LINES_SEED, LineSettings(fonts=0), images=digits.images, labels=digits.labels)
    made = source.block(0, min(count, LINES))
    lines = LineSet.of(model.name, [line.image for line in made], [line.text for line in made])
    file = folder / f"{model.name}.npz"
    with file.open("wb") as stream:
        write_line_set(stream, lines)
    labels = LineModel(model.name, "cpu", 1).metadata.labels
    images = [image[np.newaxis] for image in lines.images]
    return Reference(Task(model.name, str(file), False), int(model.figures["parameters"]), images, labels, lines.texts)


def _exact(model: BundledModel, reference: Reference) -> Answers:
    try:
        import onnx
        import onnx_ir as ir
    except ImportError as error:
        raise UsageError("--exact needs the extra `export`: install it with `pip install '.[export]'`") from error
    from digits_edge.export.precision.exact import exact_probabilities

    graph = ir.from_proto(onnx.load(MODELS / model.file))
    found = [exact_probabilities(graph, images) for images in reference.images]
    if model.is_classifier:
        return of_images(np.concatenate(found), reference.labels)
    return of_lines([columns[0] for columns in found], reference.labels)


def _compared(found: Findings, reference: Reference) -> Comparison:
    changed = found.answers.changed(reference.answers)
    problems = [*found.problems]
    if changed:
        problems.append(f"{changed} of {len(reference.texts)} answers changed, though clear")
    if found.prepared != reference.prepared:
        problems.append("images prepared from the PNG samples differ")
    if found.samples:
        with (SAMPLES / "labels.csv").open(encoding="utf-8", newline="") as stream:
            truth = {row["file"]: row["label"] for row in csv.DictReader(stream)}
        wrong = [name for name, label in truth.items() if found.samples.get(name) != label]
        problems += [f"sample {name} is classified as {found.samples.get(name)}" for name in wrong]
    errors = sum(text != right for text, right in zip(found.answers.texts, reference.texts, strict=True))
    return Comparison(errors, found.answers.difference(reference.answers), changed, problems)


def _run(processor: Processor | None, tasks: list[Task], root: Path, folder: Path) -> Iterator[Findings]:
    """Run a worker on an emulated processor, or natively if `processor` is None.

    Raises:
        CheckError: the worker failed.
    """
    command, path = [sys.executable], [str(REPOSITORY)]
    if processor is not None:
        command = [processor.emulator, "-cpu", processor.name, sys.executable]
    if processor is not None and processor.part:
        _describe(processor, root)
        command = [processor.emulator, "-cpu", processor.name, "-L", str(root), str(root / "usr/bin/python3.11")]
        path.append(str(root / "site"))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path), "PYTHONDONTWRITEBYTECODE": "1"}
    (folder / "tasks.json").write_text(json.dumps([asdict(task) for task in tasks]))
    with tempfile.TemporaryFile() as errors:
        # its working folder also receives the core file of a crash
        worker = subprocess.Popen(
            (*command, "-c", _WORKER), cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=errors
        )
        assert worker.stdout is not None
        with worker:
            for line in worker.stdout:
                yield as_record(Findings, json.loads(line))
        if worker.returncode:
            errors.seek(0)
            lines = errors.read().decode(errors="replace").splitlines() or ["no message"]
            raise CheckError(f"the worker ended with exit code {worker.returncode}: {lines[-1]}")


def work() -> None:
    """Program of a worker: run the tasks of `tasks.json` and print the findings of each as a JSON line."""
    is_classifier = {model.name: model.is_classifier for model in bundled_models()}
    for values in json.loads(Path("tasks.json").read_text()):
        task = Task(**values)
        found = _classified(task) if is_classifier[task.model] else _read(task)
        print(json.dumps(asdict(found)), flush=True)


def _classified(task: Task) -> Findings:
    """The findings for a classifier."""
    with Classifier(task.model, provider="cpu", threads=1) as classifier:
        samples, prepared = {}, hashlib.sha256()
        for path in _samples():
            image = classifier.prepare(path).image
            if _is_the_same_everywhere(path):
                prepared.update(image.tobytes())
            if task.samples:
                samples[path.name] = classifier.predict(image).label
        probabilities = classifier.predict_batch(np.load(task.inputs))
        answers = of_images(probabilities, classifier.labels)
        return Findings(task.model, list(verify(classifier).problems), samples, prepared.hexdigest(), answers)


def _read(task: Task) -> Findings:
    """The findings for a sequence model."""
    model, prepared = LineModel(task.model, "cpu", 1), hashlib.sha256()
    for path in filter(_is_the_same_everywhere, _samples()):
        prepared.update(line_image(line_levels(open_picture(path))).tobytes())
    columns = [model.columns(image) for image in read_line_set(Path(task.inputs)).images]
    answers = of_lines(columns, model.metadata.labels)
    return Findings(task.model, list(verify_lines(model).problems), {}, prepared.hexdigest(), answers)


def _samples() -> list[Path]:
    return sorted(path for path in SAMPLES.iterdir() if path.suffix in (".png", ".jpg"))


def _is_the_same_everywhere(picture: Path) -> bool:
    """Whether all decoders return the same pixels; those of JPEG may differ."""
    return picture.suffix == ".png"


def _require_programs(processors: list[Processor], root: Path) -> None:
    programs = {processor.emulator for processor in processors}
    if any(processor.part for processor in processors) and not root.exists():
        programs.add("mmdebstrap")
    if missing := sorted(program for program in programs if shutil.which(program) is None):
        raise UsageError(f"{', '.join(missing)} not found: install the Debian packages qemu-user-static and mmdebstrap")
    if platform.machine() not in ("x86_64", "AMD64") and "qemu-x86_64-static" in programs:
        raise UsageError("x86-64 is emulated with this Python, which is not for x86-64: choose arm64 with --processor")


def _create_root(root: Path) -> None:
    """Create the Debian root for arm64, or update its Python packages.

    Raises:
        InputError: mmdebstrap or pip failed.
    """
    if not root.exists():
        unfinished = root.with_name(f"{root.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.parent.mkdir(parents=True, exist_ok=True)
        packages = ("--variant=extract", "--architectures=arm64", f"--include={_DEBIAN_PACKAGES}")
        _call("mmdebstrap", *packages, "bookworm", str(unfinished))
        unfinished.rename(root)
    site = root / "site"
    wheels = {name: version(name) for name in _WHEELS}
    if not all((site / f"{name}-{number}.dist-info").is_dir() for name, number in wheels.items()):
        shutil.rmtree(site, ignore_errors=True)
        platforms = [f"--platform={name}" for name in _PLATFORMS]
        python = ("--python-version=3.11", "--implementation=cp", "--only-binary=:all:")
        pinned = [f"{name}=={number}" for name, number in wheels.items()]
        _call(sys.executable, "-m", "pip", "install", "--target", str(site), *platforms, *python, *pinned)
    (site / "digits_edge").mkdir(exist_ok=True)
    for name in _LINKED:
        link = site / "digits_edge" / name
        link.unlink(missing_ok=True)
        link.symlink_to(REPOSITORY / name)


def _call(*command: str) -> None:
    try:
        subprocess.run(command, stdout=sys.stderr, check=True)
    except subprocess.CalledProcessError as error:
        raise InputError(f"`{' '.join(command)}` failed with exit code {error.returncode}; see above") from error


def _describe(processor: Processor, root: Path) -> None:
    """Write the files in which onnxruntime looks up an ARM processor; with those of this machine it crashes.

    qemu's `-L` resolves an absolute path in the root if it exists there.
    """
    cpuinfo = {
        "processor": "0",
        "BogoMIPS": "108.00",
        "Features": processor.features,
        "CPU implementer": "0x41",
        "CPU architecture": "8",
        "CPU variant": "0x0",
        "CPU part": processor.part,
        "CPU revision": "3",
    }
    files = {
        "proc/cpuinfo": "".join(f"{key}\t: {value}\n" for key, value in cpuinfo.items()),
        "sys/devices/system/cpu/possible": "0\n",
        "sys/devices/system/cpu/present": "0\n",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def _progress(*words: str) -> None:
    click.echo(": ".join(words), err=True)


def _tables(results: Results, references: Mapping[str, Reference], *, exact: bool) -> str:
    """Three tables in Markdown: problems, errors, largest differences."""
    known = {processor.name: processor.instructions for processor in PROCESSORS}
    lines = ["| processor | instruction set | clear answers changed | problems |", "|---|---|---:|---:|"]
    for name, compared in results.items():
        changed = sum(comparison.changed for comparison in compared.values())
        problems = sum(len(comparison.problems) for comparison in compared.values())
        lines.append(f"| {name} | {known.get(name, 'this machine')} | {changed} | {problems} |")
    header = f"| model | {' | '.join(results)} |\n|---|{'---:|' * len(results)}"
    lines += [
        "",
        "Errors (number of images or lines in brackets):",
        "",
        header,
        *_rows(results, references, lambda comparison: str(comparison.errors)),
    ]
    against = "exact arithmetic (int8) and this machine (fp32)" if exact else "this machine"
    lines += ["", f"Largest difference of a probability from {against}:", "", header]
    lines += _rows(results, references, lambda found: f"{found.max_difference:.0e}" if found.max_difference else "0")
    if any(reference.parameters > MAX_PARAMETERS for reference in references.values()):
        lines += ["", f"A model with more than {MAX_PARAMETERS:,} parameters predicts at most {MAX_IMAGES} images."]
    return "\n".join(lines) + "\n"


def _rows(results: Results, references: Mapping[str, Reference], cell: Callable[[Comparison], str]) -> Iterator[str]:
    """Yield a row for each model with a cell for each processor; a dash if its worker failed."""
    for model, reference in references.items():
        comparisons = [compared.get(model) for compared in results.values()]
        cells = ["–" if found is None or np.isnan(found.max_difference) else cell(found) for found in comparisons]
        yield f"| {model} ({len(reference.texts)}) | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
