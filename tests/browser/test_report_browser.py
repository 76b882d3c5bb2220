"""The report in a real browser: it renders, unfolds, switches, and stays in width."""

import pytest

# The ratio of WCAG 2 between the text and the nearest ground of each element.
CONTRASTS = """() => {
  const lightness = (text) => {
    const parts = text.match(/[\\d.]+/g).map(Number);
    const [r, g, b] = parts.slice(0, 3).map((part) => {
      const share = part / 255;
      return share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (one) => {
    for (let at = one; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (!colour.endsWith(", 0)")) return colour;
    }
    return getComputedStyle(document.body).backgroundColor;
  };
  return [...document.querySelectorAll("p, td, th, dt, dd, code, summary, .badge, a")]
    .filter((one) => one.textContent.trim())
    .map((one) => {
      const pair = [lightness(getComputedStyle(one).color), lightness(ground(one))];
      return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    });
}"""

# What the Tab key reaches, without words for it.
UNNAMED = """() => [...document.querySelectorAll(
    'a, button, select, input, summary, [tabindex="0"]')].filter((one) => {
  const label = one.closest("label")?.textContent ?? "";
  const own = one.getAttribute("aria-label") ?? one.textContent;
  return !`${own}${label}`.trim();
}).map((one) => one.outerHTML)"""


def shown(page, selector):
    return page.locator(f"{selector} >> visible=true")


@pytest.mark.parametrize("width", [400, 1600])
def test_the_page_renders_within_its_width(opened, width):
    page = opened(width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator(".chapter > h2").count() == 5
    bar = shown(page, ".bar-picture").first.bounding_box()
    assert bar["width"] > 0.7 * width - 150
    chart = page.locator(".plot").first.bounding_box()
    assert chart["x"] >= 0
    assert chart["x"] + chart["width"] <= width
    # Letters of a picture keep their size however narrow it is.
    assert page.locator(".tick").first.bounding_box()["height"] >= 10


CLIPPED = """() => [...document.querySelectorAll(".scroll")].filter((one) =>
  one.scrollWidth > one.clientWidth).map((one) => one.getAttribute("aria-label"))"""


def test_no_table_is_clipped_on_a_common_screen(opened_default):
    assert opened_default(1280).evaluate(CLIPPED) == []


def test_the_costs_are_read_on_a_telephone_without_scrolling(opened_default):
    page = opened_default(390)
    clipped = page.evaluate(CLIPPED)
    assert "Costs of each encoding" not in clipped
    row = page.locator(".costs tbody tr").first
    label = "one => getComputedStyle(one, '::before').content"
    assert "Entries" in row.locator("td").first.evaluate(label)


def test_words_stand_out_from_their_ground_light_and_dark(opened):
    page = opened()
    grounds = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        ratios = page.evaluate(CONTRASTS)
        assert len(ratios) > 300
        assert min(ratios) >= 4.5
        grounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert grounds == ["rgb(255, 255, 255)", "rgb(20, 23, 27)"]


@pytest.mark.parametrize("table", [".verdicts", ".matrix"])
def test_findings_unfold_by_keyboard_to_their_source(opened, table):
    page = opened()
    details = page.locator(f"{table} details", has=page.locator("cite")).first
    source = details.locator("cite").first
    assert not source.is_visible()
    details.locator("summary").focus()
    page.keyboard.press("Enter")
    assert source.is_visible()
    assert "kaslr.c process_e820_entries()" in source.inner_text()
    page.keyboard.press("Space")
    assert not source.is_visible()


def test_an_unfolded_matrix_still_fits_a_phone(opened):
    page = opened(400)
    for one in page.locator("summary").all():
        one.evaluate("one => one.click()")
    assert page.evaluate("document.documentElement.scrollWidth") <= 400


def test_the_scale_is_switched_by_keyboard(opened):
    page = opened()
    view = shown(page, ".view").first
    assert view.get_attribute("data-kind") == "true"
    page.locator("[data-scale]:checked").first.focus()
    page.keyboard.press("ArrowRight")
    view = shown(page, ".view").first
    assert (view.get_attribute("data-key"), view.get_attribute("data-kind")) == (
        "whole",
        "log",
    )
    # By logarithm each of the twelve has a shape of its own.
    assert (
        view.locator(".bar-picture >> nth=1").locator(".look-deposited").count() == 12
    )


def test_a_close_up_is_chosen_by_name_and_by_step(opened):
    page = opened()
    choice = page.locator("[data-view]").first
    assert choice.locator("option").count() == 1 + 1 + 12
    choice.select_option(label="Deposit 3: 24 KiB at 1114 MiB")
    view = shown(page, ".view").first
    assert "Deposit 3" in view.inner_text()
    deposit = view.locator(".look-deposited")
    assert deposit.bounding_box()["width"] > 300
    page.locator("[data-next]").first.click()
    assert "Deposit 4" in shown(page, ".view").first.inner_text()


def test_arrow_keys_walk_along_a_bar_and_tell_each_range(opened):
    page = opened()
    bar = shown(page, ".bar-picture").first
    readout = page.locator("[data-readout]").first
    bar.locator("[tabindex='0']").focus()
    told = [readout.inner_text()]
    for key in ("ArrowRight", "End", "Home"):
        page.keyboard.press(key)
        told.append(readout.inner_text())
    assert told[0] == told[3] != told[1]
    assert told[0].startswith("[mem 0x0-0x9d7ff] 630 KiB, usable; from ")
    # One stop of the Tab key for the whole bar.
    assert bar.locator("[tabindex='0']").count() == 1


def test_pointing_at_a_deposit_tells_range_size_type_and_source(opened):
    page = opened()
    page.locator("[data-view]").first.select_option("1")
    shown(page, ".bar-picture .look-deposited").first.hover()
    assert page.locator("[data-readout]").first.inner_text() == (
        "[mem 0x44c00000-0x44c01fff] 8 KiB, reserved, deposited by owner 0x0; from "
        "zero page entry 21, deposit 1"
    )


def test_whatever_takes_the_focus_has_a_name(opened):
    assert opened().evaluate(UNNAMED) == []


def test_without_scripts_everything_is_there(opened):
    page = opened(java_script_enabled=False)
    assert page.locator(".controls >> visible=true").count() == 0
    assert page.locator(".view >> visible=true").count() > 20
    page.locator(".verdicts summary").first.click()
    assert page.locator(".verdicts cite").first.is_visible()


def test_paper_has_all_findings_and_no_controls(opened):
    page = opened(720)
    page.emulate_media(media="print")
    assert shown(page, ".controls").count() == 0
    assert shown(page, ".once cite").count() >= 1
    assert shown(page, ".limits cite").count() == 2
    assert shown(page, ".view[data-kind=log]").count() >= 1
    assert page.pdf(format="A4").startswith(b"%PDF-")
    # What was folded for the screen is folded again.
    assert page.locator("details[open]").count() == 0
