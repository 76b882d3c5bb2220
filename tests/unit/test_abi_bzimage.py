import pytest
import rawbytes

from e820pool.abi.bzimage import parse_bzimage
from e820pool.errors import BadImageError
from e820pool.loading.kernel_file import parse_image

MIB = 1 << 20


def refusal(data):
    with pytest.raises(BadImageError) as caught:
        parse_bzimage(data)
    return str(caught.value)


def test_an_image_says_what_a_loader_needs():
    image = parse_bzimage(
        rawbytes.bzimage(payload=b"P" * 1000, payload_offset=16, setup_sects=7),
    )
    assert image.protocol == 0x020F
    assert image.relocatable is True
    assert image.pref_address == 16 * MIB
    assert image.init_size == 0x3378000
    assert image.kernel_alignment == 2 * MIB
    assert image.xloadflags == 0x7F
    assert image.cmdline_size == 2047
    assert image.initrd_addr_max == 0x7FFFFFFF
    assert image.protected_mode_offset == 8 * 512
    assert image.protected_mode_size == 1016
    assert (image.payload_offset, image.payload_length) == (8 * 512 + 16, 1000)


def test_the_header_is_given_as_long_as_the_image_has_it():
    data = rawbytes.bzimage()
    assert parse_bzimage(data).setup_header == data[0x1F1:0x26C]
    short = rawbytes.bzimage(jump=0x22EB, version=0x0201, kernel_alignment=7)
    image = parse_bzimage(short)
    assert image.setup_header == short[0x1F1:0x224]
    assert image.hdr.kernel_alignment == 0


def test_no_setup_sectors_mean_four():
    image = parse_bzimage(rawbytes.bzimage(setup_sects=0))
    assert image.protected_mode_offset == 5 * 512


@pytest.mark.parametrize(
    ("text", "release"),
    [
        (b"6.1.0-52-cloud-amd64 (a@b) #1 SMP Debian", "6.1.0-52-cloud-amd64"),
        (b"6.18.15+deb13-cloud-amd64 (a@b)", "6.18.15+deb13-cloud-amd64"),
        (b"7.1-rc3", "7.1-rc3"),
        (b"custom build", "custom"),
        (b"", ""),
    ],
)
def test_the_release_is_the_first_word_of_the_version_text(text, release):
    image = parse_bzimage(rawbytes.bzimage(text))
    assert image.version == text.decode()
    assert image.release == release


def test_noise_in_the_version_text_stays_on_one_line():
    image = parse_bzimage(rawbytes.bzimage(b"6.1\n\x1b[31m \xff"))
    assert image.version == "6.1??[31m ?"


@pytest.mark.parametrize(
    ("load_addr", "start"),
    [
        (0, 16 * MIB),
        (MIB, 16 * MIB),
        (16 * MIB, 16 * MIB),
        (16 * MIB + 1, 18 * MIB),
        (18 * MIB, 18 * MIB),
        (1 << 32, 1 << 32),
    ],
)
def test_a_relocatable_image_works_at_its_aligned_load_address(load_addr, start):
    image = parse_bzimage(rawbytes.bzimage(init_size=0x100))
    assert image.kernel_window(load_addr) == (start, start + 0x100)


@pytest.mark.parametrize(
    ("release", "start"),
    [(b"3.10.4-x", 2 * MIB), (b"4.4.0-x", 16 * MIB), (b"9.9.9-x", 16 * MIB)],
)
def test_an_image_before_3_11_runs_below_its_preferred_address(release, start):
    image = parse_image(rawbytes.bzimage(release, init_size=0x100))
    assert image.kernel_window(MIB) == (start, start + 0x100)
    assert image.kernel_window(32 * MIB) == (32 * MIB, 32 * MIB + 0x100)


@pytest.mark.parametrize("load_addr", [0, 64 * MIB])
def test_another_image_works_at_its_preferred_address(load_addr):
    image = parse_bzimage(rawbytes.bzimage(relocatable_kernel=0, init_size=0x100))
    assert image.kernel_window(load_addr) == (16 * MIB, 16 * MIB + 0x100)


def test_an_image_before_2_10_does_not_say_what_it_overwrites():
    image = parse_bzimage(rawbytes.bzimage(version=0x0209))
    with pytest.raises(BadImageError, match=r"protocol 2\.09 does not say its init_s"):
        image.kernel_window(0)


def test_old_images_have_the_limits_of_their_protocol():
    image = parse_bzimage(rawbytes.bzimage(version=0x0202))
    assert image.cmdline_size == 255
    assert image.initrd_addr_max == 0x37FFFFFF


def test_an_image_without_a_payload_field_has_no_payload():
    image = parse_bzimage(rawbytes.bzimage(payload_length=0))
    assert (image.payload_offset, image.payload_length) == (0, 0)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "kernel image of 0 bytes (0x0) is cut"),
        (rawbytes.bzimage()[:0x207], "kernel image of 519 bytes (0x207) is cut"),
        (rawbytes.bzimage()[:0x26B], "its setup_header ends at 0x26c"),
        (rawbytes.bzimage()[: 5 * 512], "its protected-mode part begins at 0xa01"),
        (rawbytes.bzimage()[:-1], "its payload ends at 0xa40"),
        (
            rawbytes.bzimage(boot_flag=0),
            "no bzImage: boot_flag at 0x1fe is 0x0000, not 0xaa55",
        ),
        (rawbytes.bzimage(header=0x12), "0x00000012 at 0x202, not 0x53726448 (HdrS)"),
        (rawbytes.bzimage(version=0x0105), "boot protocol 1.05 (0x0105) is older than"),
        (rawbytes.bzimage(loadflags=0), "loadflags 0x00 without LOADED_HIGH"),
        (rawbytes.bzimage(jump=0x8FEB), "its header ends at 0x291, but a zero page"),
        (
            rawbytes.patched(rawbytes.bzimage(), {0x20E: b"\x00\x08"}),
            "kernel_version points to 0xa00, behind the real-mode part that ends",
        ),
    ],
)
def test_what_is_no_bzimage_is_refused(data, message):
    assert message in refusal(data)
    assert "\n" not in refusal(data)
