"""Compares how pictures of every kind are decoded here with what a browser and ImageMagick show of them.

    python scripts/benchmarks/decoding.py

Prints the table of docs/decoding.md: for each kind of picture the pixel in its middle here, in Chromium and in
ImageMagick, and the largest difference of any channel of any pixel to the one that reads the format. Needs `chromium`
and ImageMagick's `convert` on the path; one that is missing has an empty column. Takes half a minute.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if not __package__:  # run by path: put the repository root where Python put this file's folder
    sys.path[0] = str(ROOT)

import numpy as np
from PIL import Image, ImageCms

from scripts.benchmarks.odd_pictures import HEIGHT, WIDTH, OddPicture, odd_pictures
from trainables.data.decoding import read_upright

SECONDS = 60
"""How long another program may take."""
CELL = 64
"""Side of the square in which the browser shows a picture, in pixels."""
NOT_IN_BROWSERS = (".tif", ".pgm", ".jp2")


def main() -> int:
    """Prints the table."""
    pictures = list(odd_pictures())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for picture in pictures:
            (folder / picture.name).write_bytes(picture.content)
        browser = in_browser(folder, pictures)
        print("| kind | file | here | Chromium | ImageMagick | largest difference |")
        print("|---|---|---|---|---|---|")
        for picture in pictures:
            print(row(picture, folder, browser.get(picture.name)))
    return 0


def row(picture: OddPicture, folder: Path, shown: np.ndarray | None) -> str:
    """A line of the table."""
    ours = np.asarray(read_upright(str(folder / picture.name), HEIGHT)[0])
    other = in_imagemagick(folder / picture.name)
    differences = []
    for program, pixels in (("Chromium", shown), ("ImageMagick", other)):
        if pixels is not None:
            largest = "size" if pixels.shape != ours.shape else np.abs(ours.astype(int) - pixels).max()
            differences.append(f"{largest} ({program})")
    cells = [picture.kind, picture.name, *map(middle, (ours, shown, other)), ", ".join(differences)]
    return f"| {' | '.join(cells)} |"


def middle(pixels: np.ndarray | None) -> str:
    """The pixel a quarter from the left in the middle row."""
    return "" if pixels is None else " ".join(map(str, pixels[len(pixels) // 2, pixels.shape[1] // 4]))


def in_browser(folder: Path, pictures: Sequence[OddPicture]) -> dict[str, np.ndarray]:
    """What Chromium shows of the pictures on a white page, by file name; nothing where there is no Chromium."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        return {}
    names = [picture.name for picture in pictures if not picture.name.endswith(NOT_IN_BROWSERS)]
    cells = "".join(
        f'<img src="{name}" style="position:absolute;left:0;top:{CELL * place}px">' for place, name in enumerate(names)
    )
    (folder / "page.html").write_text(f'<body style="margin:0;background:white">{cells}')
    command = [
        program, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--force-color-profile=srgb",
        f"--user-data-dir={folder / 'profile'}", f"--window-size={CELL},{CELL * len(names)}",
        f"--screenshot={folder / 'screen.png'}", (folder / "page.html").as_uri(),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=SECONDS)
    with Image.open(folder / "screen.png") as screen:
        pixels = np.asarray(screen.convert("RGB"))
    return {name: pixels[CELL * place :][:HEIGHT, :WIDTH] for place, name in enumerate(names)}


def in_imagemagick(path: Path) -> np.ndarray | None:
    """What ImageMagick makes of the first picture in a file, in sRGB over white; None if it makes nothing of it."""
    program = shutil.which("/usr/bin/convert") or shutil.which("convert")
    if program is None:
        return None
    profile = path.parent / "srgb.icc"
    profile.write_bytes(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    command = [
        program, f"{path}[0]", "-auto-orient", "-profile", str(profile), "-colorspace", "sRGB", "-background", "white",
        "-alpha", "remove", "-alpha", "off", "-depth", "8", "ppm:-",
    ]  # fmt: skip
    done = subprocess.run(command, check=False, capture_output=True, timeout=SECONDS)
    if done.returncode or not done.stdout:
        return None
    with Image.open(io.BytesIO(done.stdout)) as picture:
        return np.asarray(picture.convert("RGB"))


if __name__ == "__main__":
    sys.exit(main())
