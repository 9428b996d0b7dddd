// Draws the charts. The tables need no script.
(async () => {
  const { Document } = Bokeh.require("document");
  const doc = Document.from_json(JSON.parse(element("data").textContent));
  const roots = [...doc.roots()];
  const hosts = roots.map((plot) => element(plot.name));
  ready(roots, hosts, await Bokeh.embed.add_document_standalone(doc, document.body, hosts));
})();
