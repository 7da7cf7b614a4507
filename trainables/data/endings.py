"""Which files are pictures: by their ending, and where that says nothing by what they hold; the rest is counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import PurePath

from PIL import Image

SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".jfif", ".jpe", ".avif", ".apng", ".dib"),
    *(".jp2", ".j2k", ".j2c", ".jpx", ".mpo", ".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".tga", ".ico", ".pcx", ".dds"),
    *(".psd", ".qoi", ".sgi", ".rgb", ".bw"),
)
"""File name endings that count as a picture, in any case: what Pillow reads without another program."""
ENDINGS = f"{' '.join(SUFFIXES[:13])} and {len(SUFFIXES) - 13} more"
"""The common ones of them, for messages."""
Image.MAX_IMAGE_PIXELS = None  # `decoding` refuses what takes too much memory
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "JPEG2000", "QOI", "PSD", "PPM")
"""Formats whose first bytes cannot be mistaken, by which a file with another ending, or with none, is recognized."""
NEEDS = {
    **dict.fromkeys((".heic", ".heif", ".hif"), "HEIF: convert to JPEG"),
    **dict.fromkeys((".jxl",), "JPEG XL: convert to JPEG"),
    **dict.fromkeys((".svg", ".svgz", ".eps", ".ai", ".wmf", ".emf"), "a drawing: convert to PNG"),
    **dict.fromkeys((".pdf", ".ps"), "a document: convert its pages to PNG"),
    **dict.fromkeys((".dcm", ".dicom", ".nii", ".nrrd", ".mha"), "a medical volume: convert to PNG"),
    **dict.fromkeys((".npy", ".npz", ".mat", ".h5"), "an array: convert to PNG"),
    **dict.fromkeys(
        (".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".raw", ".pef", ".srw"),
        "a camera's raw file: convert to JPEG",
    ),
    **dict.fromkeys((".zip", ".tar", ".gz", ".tgz", ".7z", ".rar", ".bz2", ".xz"), "an archive: unpack it"),
    **dict.fromkeys((".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg"), "a film: take frames"),
}
"""Endings of files that show something, but that are not read; with what can be done."""
NO_PICTURE = "no picture"
HIDDEN = "hidden"
UNNAMED = "pictures that no row names"
BESIDE = "pictures in no class folder"


@dataclass
class LeftOut:
    """The files that are not used: how many there are of each ending, for which reason, and one of them."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Reason and ending to the number of files."""
    examples: dict[tuple[str, str], str] = field(default_factory=dict)

    def add(self, path: str, reason: str) -> None:
        """Notes one file."""
        suffix = PurePath(path).suffix.lower() or "no ending"
        self.counts[reason, suffix] += 1
        self.examples.setdefault((reason, suffix), path)

    def add_file(self, path: str) -> None:
        """Notes one file that `is_picture` refuses."""
        name = path.rpartition("/")[2]
        reason = HIDDEN if name.startswith(".") else NEEDS.get(PurePath(path).suffix.lower(), NO_PICTURE)
        self.add(path, reason)

    @property
    def total(self) -> int:
        """How many files in all."""
        return self.counts.total()

    @property
    def is_missed(self) -> bool:
        """Whether one of them shows something, so that its owner may have meant it to be used."""
        return any(reason not in (NO_PICTURE, HIDDEN) for reason, _ in self.counts)

    def lines(self) -> list[str]:
        """One line for each reason: files by ending, the commonest first, and an example."""
        reasons: dict[str, list[tuple[int, str]]] = {}
        for (reason, suffix), count in self.counts.most_common():
            reasons.setdefault(reason, []).append((count, suffix))
        lines = []
        for reason, kinds in reasons.items():
            some = ", ".join(f"{count:,} {suffix}" for count, suffix in kinds[:6])
            more = f" and {sum(count for count, _ in kinds[6:]):,} more" if len(kinds) > 6 else ""
            example = self.examples[reason, kinds[0][1]]
            lines.append(f"{some}{more} ({reason}), such as {example if example.isprintable() else repr(example)}")
        return lines


def is_shown_picture(path: str) -> bool:
    """Whether a file is to be read as a picture, and is not hidden."""
    return not path.rpartition("/")[2].startswith(".") and is_picture(path)


def is_picture(path: str) -> bool:
    """Whether a file is to be read as a picture: by its ending, or by its first bytes where the ending is another."""
    suffix = PurePath(path).suffix.lower()
    if suffix in SUFFIXES:
        return True
    if suffix in NEEDS and suffix not in (".heic", ".heif", ".hif"):  # a raw file looks like a TIFF from outside
        return False
    try:
        with Image.open(path, formats=FORMATS):
            return True
    except Exception:  # whatever Pillow's plugins raise for what is no picture
        return False
