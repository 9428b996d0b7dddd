"use strict";
// What every page with charts does: it says what fails, and readies drawn charts for fingers and paper.
const element = (id) => document.getElementById(id);

const fail = (reason) => {
  element("failed").hidden = false;
  element("failed").textContent = `The charts could not be drawn: ${reason}. The tables are complete.`;
};
addEventListener("error", (event) => fail(event.message));
addEventListener("unhandledrejection", (event) => fail(event.reason));

Bokeh.logger.set_level("warn");

/** Readies the charts, of which `hosts` are the places, and notes that all of them are drawn. */
const ready = (roots, hosts, views) => {
  // A finger that goes up or down scrolls the page; one that goes across, and two of them, move a chart that can be moved.
  for (const plot of roots) views.get(plot).canvas_view.touch_action.replace(".bk-events { touch-action: pan-y; }");
  // On paper, which is not as wide as the screen that a chart was laid out for, a picture takes its place.
  addEventListener("beforeprint", () => {
    for (const [place, plot] of roots.entries()) hosts[place].append(views.get(plot).export("png").canvas);
  });
  addEventListener("afterprint", () => {
    for (const picture of document.querySelectorAll(".chart > canvas")) picture.remove();
  });
  document.documentElement.dataset.drawn = Math.round(performance.now());
};
