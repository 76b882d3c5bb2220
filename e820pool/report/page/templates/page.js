"use strict";
(() => {
  // One map: choose view and scale, walk along bars, tell what is pointed at.
  const set = (map) => {
    const view = map.querySelector("[data-view]");
    const readout = map.querySelector("[data-readout]");
    const hint = readout.textContent;
    const scale = () => map.querySelector("[data-scale]:checked").value;
    const show = () => {
      for (const one of map.querySelectorAll(".view")) {
        one.hidden = one.dataset.key !== view.value || one.dataset.kind !== scale();
      }
      tell(null);
    };
    const tell = (shape) => {
      for (const one of map.querySelectorAll(".cursor")) one.setAttribute("visibility", "hidden");
      if (shape) {
        // A frame of its own: neighbours would cover the shape's.
        const cursor = shape.parentNode.querySelector(".cursor");
        for (const name of ["x", "width"]) cursor.setAttribute(name, shape.getAttribute(name));
        cursor.setAttribute("visibility", "visible");
      }
      readout.textContent = shape ? shape.querySelector("title").textContent : hint;
    };
    const step = (by) => {
      view.selectedIndex = (view.selectedIndex + by + view.length) % view.length;
      show();
    };
    view.addEventListener("change", show);
    for (const one of map.querySelectorAll("[data-scale]")) one.addEventListener("change", show);
    map.querySelector("[data-previous]").addEventListener("click", () => step(-1));
    map.querySelector("[data-next]").addEventListener("click", () => step(1));
    for (const bar of map.querySelectorAll(".bar-picture")) {
      const shapes = [...bar.querySelectorAll(".shape")];
      const go = (at) => {
        const next = shapes[Math.max(0, Math.min(at, shapes.length - 1))];
        for (const one of shapes) one.setAttribute("tabindex", one === next ? 0 : -1);
        next.focus();
      };
      bar.addEventListener("keydown", (event) => {
        const at = shapes.indexOf(event.target);
        const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: shapes.length - 1 }[event.key];
        if (at < 0 || to === undefined) return;
        event.preventDefault();
        go(to);
      });
      bar.addEventListener("focusin", (event) => shapes.includes(event.target) && tell(event.target));
      bar.addEventListener("pointerover", (event) => shapes.includes(event.target) && tell(event.target));
    }
    for (const one of map.querySelectorAll("[data-readout], .controls")) one.hidden = false;
    show();
  };
  for (const map of document.querySelectorAll("[data-map]")) set(map);

  // Paper cannot be unfolded. What rows and cells fold stands under their table too.
  let unfolded = [];
  addEventListener("beforeprint", () => {
    unfolded = [...document.querySelectorAll("details:not([open])")]
      .filter((one) => !one.closest(".verdicts, .matrix"));
    for (const one of unfolded) one.open = true;
  });
  addEventListener("afterprint", () => {
    for (const one of unfolded) one.open = false;
  });
})();
