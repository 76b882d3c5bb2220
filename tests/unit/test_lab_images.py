"""The cache of kernel images, in a folder of its own."""

import hashlib
import json
import tarfile
from io import BytesIO

import pytest

from e820pool.errors import LabError
from e820pool.lab import fetch
from e820pool.lab.cache import cache_folder, write_atomically
from e820pool.lab.fetch import KernelPackage
from e820pool.lab.images import (
    KernelImage,
    cached_images,
    find_image,
    write_manifest,
)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "e820pool" / "images"


def put(release, content=b"kernel", config=b"CONFIG_X86=y\n"):
    names = f"image-{release}", f"config-{release}"
    for name, data in zip(names, (content, config), strict=True):
        (cache_folder("images") / name).write_bytes(data)
    return KernelImage(
        release=release,
        version=f"{release}.0-1-cloud-amd64",
        package=f"linux-image-{release}_1_amd64",
        image=names[0],
        image_sha256=hashlib.sha256(content).hexdigest(),
        config=names[1],
        config_sha256=hashlib.sha256(config).hexdigest(),
    )


def test_an_empty_cache_says_how_to_fill_it():
    assert cached_images() == ()
    with pytest.raises(LabError, match=r"\(there: none\): run 'e820pool kernels fetch"):
        find_image("6.1")


def test_images_are_found_by_release_version_and_as_the_newest():
    images = [put(release) for release in ("6.12", "6.1", "7.3", "5.10")]
    write_manifest(images)
    assert [one.release for one in cached_images()] == ["5.10", "6.1", "6.12", "7.3"]
    assert find_image("6.1").read() == b"kernel"
    assert find_image("6.12.0-1-cloud-amd64").read_config() == "CONFIG_X86=y\n"
    assert find_image("newest").release == "7.3"
    with pytest.raises(LabError, match=r"there: 5\.10, 6\.1, 6\.12, 7\.3"):
        find_image("4.4")


def test_an_image_that_changed_on_disk_is_not_booted(cache):
    write_manifest([put("6.1")])
    (cache / "image-6.1").write_bytes(b"another")
    with pytest.raises(LabError, match=r"image-6\.1 is not what was fetched"):
        find_image("6.1").read()
    (cache / "image-6.1").unlink()
    with pytest.raises(LabError, match="fetch it again"):
        find_image("6.1").read()


@pytest.mark.parametrize("bad", ["", "[]", "{}", '{"images": [{"release": "6.1"}]}'])
def test_a_damaged_manifest_says_what_to_do(cache, bad):
    cache.mkdir(parents=True)
    (cache / "manifest.json").write_text(bad)
    with pytest.raises(LabError, match="remove it and fetch the images again"):
        cached_images()


def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def no_space(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", no_space)
    with pytest.raises(LabError, match="No space left"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [one.name for one in tmp_path.iterdir() if "file" in one.name] == ["file"]


class Archive:
    """Stand for apt: the one seam that needs the network."""

    def __init__(self, _folder):
        pass

    def update(self):
        pass

    def names(self, _pattern):
        return (
            "linux-image-6.1.0-50-cloud-amd64",
            "linux-binary-7.3.4+deb13-cloud-amd64",
            "linux-base-7.3.4+deb13-cloud-amd64",
        )

    def download(self, packages, folder):
        for package in packages:
            (folder / f"{package}_1_amd64.deb").write_bytes(package.encode())
        return tuple(sorted(folder.glob("*.deb")))


def test_fetching_keeps_image_configuration_and_where_they_are_from(monkeypatch):
    unpacked = []

    def unpack(package):
        unpacked.append(package.name)
        if "base" in package.name:
            return {"config": b"CONFIG_KHO=n\n"}
        return {"image": package.name.encode()}

    monkeypatch.setattr(fetch, "IsolatedApt", Archive)
    monkeypatch.setattr(fetch, "_unpack", unpack)
    said = []
    (image,) = fetch.fetch_images(("newest",), progress=lambda *told: said.append(told))
    assert (image.release, image.version) == ("7.3", "7.3.4+deb13-cloud-amd64")
    assert image.package == "linux-binary-7.3.4+deb13-cloud-amd64_1_amd64"
    assert find_image("7.3").read_config() == "CONFIG_KHO=n\n"
    assert said == [
        ("reading the archive's package lists", 0, 2),
        ("fetching 7.3.4+deb13-cloud-amd64", 1, 2),
    ]
    # What is there is not fetched again, and without asking the archive at all.
    monkeypatch.setattr(fetch, "IsolatedApt", None)
    assert fetch.fetch_images(("7.3",)) == (image,)
    assert len(unpacked) == 2


def test_a_release_that_the_archive_lacks_is_named_with_those_it_has(monkeypatch):
    monkeypatch.setattr(fetch, "IsolatedApt", Archive)
    with pytest.raises(LabError, match=r"no cloud kernel of '4\.4': it has 6\.1, 7\.3"):
        fetch.fetch_images(("4.4",))


def test_the_image_and_configuration_are_told_from_other_files():
    def member(name, size=10):
        info = tarfile.TarInfo(name)
        info.size = size
        return fetch._what(info)

    assert member("./boot/vmlinuz-6.1.0-50-cloud-amd64") == "image"
    assert member("./usr/lib/modules/7.3.4/vmlinuz") == "image"
    assert member("./boot/config-6.1.0-50-cloud-amd64") == "config"
    assert member("./usr/lib/modules/7.3.4/config") == "config"
    assert member("./boot/System.map-6.1.0") == ""
    assert member("./lib/modules/6.1/kernel/fs/configfs/configfs.ko") == ""
    assert member("./boot/vmlinuz-6.1.0", 1 << 40) == ""


def test_a_package_that_cannot_be_unpacked_is_a_lab_error(tmp_path):
    broken = tmp_path / "broken.deb"
    broken.write_bytes(b"no archive")
    with pytest.raises(LabError, match=r"broken\.deb cannot be unpacked"):
        fetch._unpack(broken)


def test_packages_without_an_image_are_refused(monkeypatch):
    monkeypatch.setattr(fetch, "IsolatedApt", Archive)
    monkeypatch.setattr(fetch, "_unpack", lambda _: {})
    kernel = KernelPackage(release="6.1", version="v", packages=("linux-image-v",))
    with pytest.raises(LabError, match="linux-image-v hold no kernel image"):
        fetch._fetch(kernel)


def test_the_manifest_is_json_that_says_its_schema(cache):
    write_manifest([put("6.1")])
    record = json.load(BytesIO((cache / "manifest.json").read_bytes()))
    assert record["schema"] == 1
    assert record["images"][0]["image_sha256"] == hashlib.sha256(b"kernel").hexdigest()


@pytest.mark.parametrize("damage", ["image", "config", "gone", "manifest"])
def test_a_damaged_cache_is_mended_by_a_fetch(monkeypatch, cache, damage):
    write_manifest([put("6.1"), put("6.12")])
    match damage:
        case "image" | "config":
            (cache / f"{damage}-6.1").write_bytes(b"ker")
        case "gone":
            (cache / "image-6.1").unlink()
        case _:
            (cache / "manifest.json").write_bytes(b'{"sch')
    fetched = []

    def again(kernel):
        fetched.append(kernel.release)
        return put(kernel.release)

    packages = [
        KernelPackage(release=name, version=f"{name}.0-1-cloud-amd64", packages=("x",))
        for name in ("6.1", "6.12")
    ]
    monkeypatch.setattr(fetch, "list_available", lambda: packages)
    monkeypatch.setattr(fetch, "_fetch", again)
    (image,) = fetch.fetch_images(["6.1"])
    assert image.read() == b"kernel"
    assert fetched == ["6.1"]
    assert find_image("6.1").read_config()
    # What is whole stays as it is.
    fetch.fetch_images(["6.1"])
    assert fetched == ["6.1"]
