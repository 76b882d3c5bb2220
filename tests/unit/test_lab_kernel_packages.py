"""Package names as the archive has them, in November 2026."""

from e820pool.lab.fetch import newest_by_release

NAMES = (
    "linux-image-5.10.0-30-cloud-amd64",
    "linux-image-5.10.0-32-cloud-amd64",
    "linux-image-5.10.0-32-cloud-amd64-dbg",
    "linux-image-5.10.0-32-cloud-amd64-unsigned",
    "linux-image-6.1.0-9-cloud-amd64",
    "linux-image-6.1.0-50-cloud-amd64",
    "linux-image-6.12.90+deb12-cloud-amd64",
    "linux-image-6.12.90+deb12.1-cloud-amd64",
    "linux-image-6.12.86+deb13-cloud-amd64",
    "linux-image-6.19.14+deb13-cloud-amd64",
    "linux-binary-6.19.14+deb13-cloud-amd64",
    "linux-binary-7.3.4+deb13-cloud-amd64",
    "linux-base-7.3.4+deb13-cloud-amd64",
    "linux-base-7.3.4+deb13-amd64",
    "linux-image-7.3.4+deb13-cloud-amd64",
    "linux-image-cloud-amd64",
)


def test_the_newest_of_each_release_is_taken_in_order():
    newest = newest_by_release(reversed(NAMES))
    assert [kernel.version for kernel in newest.values()] == [
        "5.10.0-32-cloud-amd64",
        "6.1.0-50-cloud-amd64",
        "6.12.90+deb12.1-cloud-amd64",
        "6.19.14+deb13-cloud-amd64",
        "7.3.4+deb13-cloud-amd64",
    ]
    assert list(newest) == ["5.10", "6.1", "6.12", "6.19", "7.3"]


def test_a_split_kernel_is_got_from_the_packages_that_hold_its_files():
    newest = newest_by_release(NAMES)
    assert newest["7.3"].packages == (
        "linux-binary-7.3.4+deb13-cloud-amd64",
        "linux-base-7.3.4+deb13-cloud-amd64",
    )
    # The archive does not keep the configuration of every version.
    assert newest["6.19"].packages == ("linux-binary-6.19.14+deb13-cloud-amd64",)
    assert newest["6.1"].packages == ("linux-image-6.1.0-50-cloud-amd64",)


def test_names_of_other_packages_give_no_kernel():
    assert newest_by_release(["linux-base-7.3.4+deb13-cloud-amd64", "linux-doc"]) == {}
