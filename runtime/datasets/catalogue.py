"""Catalogue of the data sets known by name: files, mirrors, checksums, classes, preprocessing steps and licence."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from digits_edge.runtime.datasets.dataset import Dataset, content_sha256
from digits_edge.runtime.model.image_input import ImageInput, Polarity
from digits_edge.runtime.model.steps import DigitStep, ObjectStep, PreprocessingStep, default_steps

SPLITS = ("train", "test")
DIGITS = tuple("0123456789")


@dataclass(frozen=True)
class KnownFile:
    """One file of a split.

    Attributes:
        name: file name on the mirrors.
        sha256: SHA-256 of the uncompressed content, in hex.
    """

    name: str
    sha256: str


@dataclass(frozen=True)
class KnownSet:
    """A catalogue entry.

    Attributes:
        name: name of the data set and of its folder.
        class_names: names of the labels 0 to 9.
        licence: SPDX identifier, or "unknown".
        contents: `Dataset.sha256` of each split; empty if copies of the data set differ.
        files: files of each split.
        mirrors: base URLs ending in "/"; empty if users download the data set themselves.
        preprocessing: steps that convert a picture to an image of the data set.
    """

    name: str
    class_names: tuple[str, ...] = DIGITS
    licence: str = "unknown"
    contents: tuple[str, ...] = ()
    files: Mapping[str, tuple[KnownFile, ...]] = field(default_factory=dict)
    mirrors: tuple[str, ...] = ()
    preprocessing: tuple[PreprocessingStep, ...] = (DigitStep(),)


def _idx_files(
    train_images: str, train_labels: str, test_images: str, test_labels: str
) -> dict[str, tuple[KnownFile, ...]]:
    """Return the four files of a data set published in the idx format, given the SHA-256 of their contents."""
    return {
        "train": (
            KnownFile("train-images-idx3-ubyte.gz", train_images),
            KnownFile("train-labels-idx1-ubyte.gz", train_labels),
        ),
        "test": (
            KnownFile("t10k-images-idx3-ubyte.gz", test_images),
            KnownFile("t10k-labels-idx1-ubyte.gz", test_labels),
        ),
    }


_MNIST = KnownSet(
    name="mnist",
    licence="CC-BY-SA-3.0",
    contents=(
        "edc0d1098aa497be14ace79ddd5171e5a3dcf9c4d196c015389203eb3ba1f59b",
        "c3f9adf9c66efb572b1f9326c3a511b45910c7173b97be66ceceeeeaef6b802b",
    ),
    files=_idx_files(
        train_images="ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        train_labels="65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        test_images="0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        test_labels="ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
    mirrors=(
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
    ),
)

_FASHION_MNIST = KnownSet(
    name="fashion-mnist",
    class_names=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    licence="MIT",
    contents=(
        "16d82e2b505296aa2b78bd5ea0992634f30419a4c97def7c907d154a35ac6157",
        "9f1ec356a747bfe4ebab3cfb722d3694c9ca737e2570f6f90cf31d7b6fd689d4",
    ),
    files=_idx_files(
        train_images="c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        train_labels="bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        test_images="5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        test_labels="0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
    # The publisher's bucket over HTTPS (its website has no HTTPS), then the copy that Keras uses.
    mirrors=(
        "https://fashion-mnist.s3.eu-central-1.amazonaws.com/",
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    ),
    preprocessing=(ObjectStep(),),
)

_KAGGLE = KnownSet(name="kaggle", licence="CC-BY-SA-3.0")  # Digit Recognizer; users download it themselves

CATALOGUE = {known.name: known for known in (_MNIST, _FASHION_MNIST, _KAGGLE)}


def identified(name: str, sha256: str) -> KnownSet:
    """Find the catalogue entry for some content by its hash, otherwise by its name.

    Args:
        name: name of the folder or file.
        sha256: `Dataset.sha256` of the content.

    Returns:
        The catalogue entry that has this hash. For an unknown hash: an entry with this name, the licence "unknown" and
        the class names of the catalogue entry of that name (a subset of Fashion-MNIST has its classes) or the digits.

    Example:
        >>> identified("renamed", CATALOGUE["mnist"].contents[0]).name
        'mnist'
        >>> identified("mnist", "0" * 64).licence
        'unknown'
    """
    for known in CATALOGUE.values():
        if sha256 in known.contents:
            return known
    named = CATALOGUE.get(name, KnownSet(name))
    return replace(named, licence="unknown") if named.contents else named


def dataset_of(
    name: str,
    images: NDArray[np.uint8],
    labels: NDArray[np.unsignedinteger] | None,
    class_names: tuple[str, ...] | None = None,
    *,
    polarity: Polarity | None = None,
) -> Dataset:
    """Create the `Dataset` of some content; the catalogue gives what it knows of it.

    Args:
        name: name of the folder or file.
        images: uint8, (N, H, W) or (N, H, W, 3).
        labels: class indices, (N,), or None.
        class_names: names of the classes; None or the digits for those of the catalogue, or the digits.
        polarity: None for white on black if the images are grey and either 28×28 or of single characters, as those of
            data sets of handwriting, and as photographed otherwise.

    Example:
        >>> data = dataset_of("pets", np.zeros((2, 32, 32, 3), np.uint8), None, ("cat", "dog"))
        >>> data.image.polarity, [step.step for step in data.preprocessing]
        ('as-photographed', ['resize', 'center_crop'])
    """
    sha256 = content_sha256(images, labels)
    known = identified(name, sha256)
    names = known.class_names if class_names is None or class_names == DIGITS else class_names
    characters = images.ndim == 3 and (images.shape[1:] == (28, 28) or all(len(each) == 1 for each in names))
    image = ImageInput(
        images.shape[1],
        images.shape[2],
        1 if images.ndim == 3 else 3,
        polarity or ("white-on-black" if characters else "as-photographed"),
    )
    is_as_known = image == ImageInput() and names == known.class_names
    steps = known.preprocessing if is_as_known else default_steps(image, digits=characters)
    return Dataset(known.name, images, labels, names, known.licence, sha256, image, steps)
