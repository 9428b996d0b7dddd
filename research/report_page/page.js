"use strict";
// Draws the charts, and puts pictures in their place on paper. The tables need no script.
(async () => {
  const element = (id) => document.getElementById(id);
  const fail = (reason) => {
    element("failed").hidden = false;
    element("failed").textContent = `The charts could not be drawn: ${reason}. The tables are complete.`;
  };
  addEventListener("error", (event) => fail(event.message));
  addEventListener("unhandledrejection", (event) => fail(event.reason));

  Bokeh.logger.set_level("warn");
  const { Document } = Bokeh.require("document");
  const doc = Document.from_json(JSON.parse(element("data").textContent));
  const roots = [...doc.roots()];
  const hosts = roots.map((plot) => element(plot.name));
  const views = await Bokeh.embed.add_document_standalone(doc, document.body, hosts);

  // A finger that goes up or down scrolls the page.
  for (const plot of roots) views.get(plot).canvas_view.touch_action.replace(".bk-events { touch-action: pan-y; }");
  // On paper, which is not as wide as the screen that a chart was laid out for, a picture takes its place.
  addEventListener("beforeprint", () => {
    for (const [place, plot] of roots.entries()) hosts[place].append(views.get(plot).export("png").canvas);
  });
  addEventListener("afterprint", () => {
    for (const picture of document.querySelectorAll(".chart > canvas")) picture.remove();
  });
  document.documentElement.dataset.drawn = Math.round(performance.now());
})();
