"""The data sets known by name: their files, mirrors, sums, classes and licence. A new one is an entry here."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

SPLITS = ("train", "test")
DIGITS = tuple("0123456789")


@dataclass(frozen=True)
class KnownFile:
    """One file of a split: its name on the mirrors, and the sha256 in hex of what is in it uncompressed."""

    name: str
    sha256: str


@dataclass(frozen=True)
class KnownSet:
    """What is known about a data set.

    Attributes:
        name: what users call it, and the folder it lies in.
        class_names: of the labels 0 to 9.
        licence: SPDX identifier, or "unknown".
        contents: `Dataset.sha256` of its splits; empty where copies differ.
        files: by split, what is needed of it.
        mirrors: URLs, each ended by "/", that `KnownFile.name` is appended to; empty where users fetch it themselves.
    """

    name: str
    class_names: tuple[str, ...] = DIGITS
    licence: str = "unknown"
    contents: tuple[str, ...] = ()
    files: Mapping[str, tuple[KnownFile, ...]] = field(default_factory=dict)
    mirrors: tuple[str, ...] = ()


def _idx_files(
    train_images: str, train_labels: str, test_images: str, test_labels: str
) -> dict[str, tuple[KnownFile, ...]]:
    """Name the four files of a set published as MNIST is, given the sums of their contents."""
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
    # The publisher's bucket over https (its website address has none), then the copy Keras uses.
    mirrors=(
        "https://fashion-mnist.s3.eu-central-1.amazonaws.com/",
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    ),
)

_KAGGLE = KnownSet(name="kaggle", licence="CC-BY-SA-3.0")  # each user's own copy of the Digit Recognizer

CATALOGUE = {known.name: known for known in (_MNIST, _FASHION_MNIST, _KAGGLE)}


def identified(name: str, sha256: str) -> KnownSet:
    """Tell what is known about content by its hash, else by the name it came under.

    Args:
        name: of the folder or file.
        sha256: `Dataset.sha256`.

    Returns:
        The catalogue's entry where the content is its; otherwise one of this name that claims no licence, with the
        classes of the catalogue's set of that name (a part of Fashion-MNIST has its classes) or the digits.
    """
    for known in CATALOGUE.values():
        if sha256 in known.contents:
            return known
    named = CATALOGUE.get(name, KnownSet(name))
    return replace(named, licence="unknown") if named.contents else named
