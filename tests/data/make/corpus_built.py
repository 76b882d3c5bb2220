"""Find images: fetched ones, and those built from source, which no archive has.

A built one is a folder in the cache, built/RELEASE, with the files bzImage, config and
built.json. Nothing but the corpus knows of them; what `e820pool kernels build` keeps
beside them has no built.json.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from e820pool.abi.bzimage import parse_bzimage
from e820pool.lab.cache import cache_folder
from e820pool.lab.images import cached_images, find_image


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltImage:
    """Stand for KernelImage; ``folder`` has bzImage, config and built.json.

    built.json says where the image is from, as `built` of specs/corpus.md.
    """

    folder: Path

    @property
    def release(self):
        return self.folder.name

    @property
    def version(self):
        return parse_bzimage(self.read()).release

    @property
    def origin(self):
        text = (self.folder / "built.json").read_text(encoding="utf-8")
        return {"package": None, "built": json.loads(text)}

    @property
    def image_sha256(self):
        return hashlib.sha256(self.read()).hexdigest()

    def read(self):
        return (self.folder / "bzImage").read_bytes()

    def read_config(self):
        return (self.folder / "config").read_text(encoding="utf-8")


def images():
    """Return all images by their releases; of a release, the archive's counts."""
    records = cache_folder("built").glob("*/built.json")
    built = [BuiltImage(folder=record.parent) for record in records]
    return {image.release: image for image in [*built, *cached_images()]}


def image_of(release):
    """Return the image of a release; LabError if there is none."""
    found = images().get(release)
    return found or find_image(release)


def origin(image):
    """Return what kernels.jsonl says of where an image is from."""
    if isinstance(image, BuiltImage):
        return image.origin
    return {"package": image.package}
