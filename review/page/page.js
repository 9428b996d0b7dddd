// Fills the charts that Bokeh draws and moves with the level that suits the view, and reads out the second that is pointed at.
// A time is in milliseconds of New York's day, written as if it were UTC, so that no viewer's time zone matters.
(async () => {
  const { Document } = Bokeh.require("document");
  const { base64_to_buffer } = Bokeh.require("core/util/buffer");
  const { ndarray } = Bokeh.require("core/util/ndarray");
  const { replace_placeholders } = Bokeh.require("core/util/templating");

  // --- Data ------------------------------------------------------------------------------------------

  /** A column from its steps, which are in units of its last decimal; null is no number. */
  const column = ({ digits, steps }) => {
    const unit = 10 ** digits;
    let sum = 0;
    return steps.map((step) => (step === null ? NaN : (sum += step) / unit));
  };
  const columns = (packed) =>
    Object.fromEntries(Object.entries(packed).map(([name, found]) => [name, column(found)]));

  const LEVELS = ["lines", "candles", "strip"];
  const unpacked = (id) => {
    const found = JSON.parse(new TextDecoder().decode(base64_to_buffer(element(id).textContent)));
    for (const level of LEVELS.flatMap((name) => found[name])) level.columns = columns(level.columns);
    return found;
  };
  const data = unpacked("data");
  let seconds = null; // the columns of each second, once the finest levels are there

  /** Adds the levels that are most of the data: the first picture does not wait for them. */
  const refine = () => {
    const finer = unpacked("finer");
    for (const name of LEVELS) data[name].unshift(...finer[name]);
    seconds = { ...data.lines[0].columns, ...data.strip[0].columns };
    seconds.gate = seconds.gate.map((number) => data.gates[number]);
  };

  /** The finest level whose items are at least so many milliseconds wide, else the coarsest. */
  const finest = (levels, width) => levels.find((level) => level.seconds * 1000 >= width) ?? levels.at(-1);

  /** The part of a level that a range shows, and a little around it. */
  const part = (level, { start, end }) => {
    const { x } = level.columns;
    const step = x[1] - x[0] || 1;
    const [first, last] = [Math.max(0, Math.floor((start - x[0]) / step) - 1), Math.ceil((end - x[0]) / step) + 2];
    const found = Object.entries(level.columns).map(([name, values]) => [name, values.slice(first, last)]);
    return Object.fromEntries(found);
  };

  // --- Charts ----------------------------------------------------------------------------------------

  const CANDLE_PX = 5; // narrower candles would only be ink: the price is a line then
  const doc = Document.from_json(data.document);
  const roots = [...doc.roots()];
  const hosts = roots.map((plot) => element(plot.name));
  const models = [...doc.all_models];
  const named = (name) => models.filter((model) => model.name === name);
  const one = (name) => named(name)[0];
  const [times, crosshair, strip] = ["times", "crosshair", "strip"].map(one);
  const none = one("candles").data;
  const sides = roots[0].min_border_left + roots[0].min_border_right;

  /** Lets an axis show all of some numbers, none of which is below 0; it stays as it is without one. */
  const fit = (name, values) => {
    const known = values.filter(Number.isFinite);
    const [low, high] = [Math.min(...known), Math.max(...known)];
    const room = Math.max((high - low) * 0.06, 0.01);
    if (known.length) one(name).setv({ start: Math.max(0, low - room), end: high + room });
  };

  const fillStrip = (level) => {
    const start = Math.min(times.start, level.columns.x.at(-1)); // an image has a column even where nothing is known
    const { x, ...rows } = part(level, { start, end: times.end });
    const each = (value) => strip.data.row.map(() => value);
    const kind = { dtype: "uint8", shape: [1, x.length] };
    const image = strip.data.row.map((name) => ndarray(Uint8Array.from(rows[name]), kind));
    strip.data = { ...strip.data, image, x: each(x[0]), dw: each(x.length * level.seconds * 1000) };
  };

  /** Puts in what the view shows: lines of at most four items a pixel, candles if they are wide enough, the strip. */
  const fill = () => {
    const pixel = (times.end - times.start) / Math.max(100, hosts[0].clientWidth - sides);
    const lines = part(finest(data.lines, pixel / 4), times);
    const level = finest(data.candles, CANDLE_PX * pixel);
    const candles = level.seconds * 1000 >= CANDLE_PX * pixel ? part(level, times) : none;
    fit("prices", [...lines.close, ...candles.low, ...candles.high]);
    fit("volumes", [0, ...lines.volume]);
    if (candles !== none) lines.close.fill(NaN);
    one("lines").data = lines;
    one("candles").data = candles;
    fillStrip(finest(data.strip, pixel));
  };

  // --- Reading a second ------------------------------------------------------------------------------

  /** Puts into a panel what a template says of one place of some columns. */
  const say = (panel, template, found, place) => {
    const source = { get_column: (name) => found[name] };
    const words = replace_placeholders(element(template).innerHTML, source, place, { "@x": "datetime" });
    panel.innerHTML = words.replaceAll(/\$?NaN/g, "n/a");
  };

  const note = (at) => {
    const near = Math.max(2000, (times.end - times.start) / 150);
    const far = ({ from, to }) => to - from + Math.abs(at - from); // what happened at a time before what lasted
    const found = data.notes.filter(({ from, to }) => from - near <= at && at <= to + near);
    return found.sort((a, b) => far(a) - far(b))[0]?.text ?? "";
  };

  let at = data.start;
  const read = (time) => {
    at = Math.min(Math.max(time, data.opening), data.closing - 1);
    crosshair.location = at;
    if (!seconds) return;
    let place = Math.min(Math.floor((at - data.opening) / 1000), seconds.gate.length - 1);
    while (place > 0 && !seconds.gate[place]) place -= 1; // what was last evaluated
    if (seconds.gate[place]) say(element("reading"), "second-words", seconds, place);
    else element("reading").textContent = "No second up to here was evaluated.";
    element("reading-note").textContent = note(at);
    element("session-chart").ariaValueNow = (at - data.opening) / 1000;
    element("session-chart").ariaValueText = element("reading").innerText;
  };

  // --- Moving ----------------------------------------------------------------------------------------

  const show = (middle, span) => {
    const width = Math.min(Math.max(span, times.min_interval), data.closing - data.opening);
    const start = Math.min(Math.max(middle - width / 2, data.opening), data.closing - width);
    times.setv({ start, end: start + width });
  };
  const whole = () => show(0, data.closing);
  const scale = (factor) => show(at, (times.end - times.start) * factor);
  const move = (share) => {
    const span = times.end - times.start;
    show(times.start + span * (1 / 2 + share), span);
  };
  const BUTTONS = {
    whole,
    closer: () => scale(1 / 4),
    wider: () => scale(4),
    earlier: () => move(-1 / 2),
    later: () => move(1 / 2),
  };
  for (const [id, press] of Object.entries(BUTTONS)) element(id).onclick = press;

  element("session-chart").onkeydown = (event) => {
    const step = { ArrowLeft: -1000, ArrowRight: 1000 }[event.key];
    if (!step) return;
    event.preventDefault();
    read(at + step * (event.shiftKey ? 60 : 1));
    if (at < times.start || at > times.end) show(at, times.end - times.start);
  };
  document.addEventListener("click", ({ target }) => {
    const link = target.closest("[data-second]"); // it leads to the chart by itself
    if (!link) return;
    read(data.opening + link.dataset.second * 1000);
    show(at, data.closeup);
  });
  for (const button of document.querySelectorAll("[data-toggle]")) {
    button.onclick = () => {
      const isShown = button.ariaPressed !== "true";
      button.ariaPressed = isShown;
      for (const drawn of named(button.dataset.toggle)) drawn.visible = isShown;
    };
  }

  /** Reads what is pointed at in a chart, and shows all of it at a double click. */
  const follow = (plot, tell, all) => {
    for (const name of ["mousemove", "tap"]) plot.on_event(name, ({ x }) => tell(x));
    plot.on_event("doubletap", all);
  };

  // --- Drawing ---------------------------------------------------------------------------------------

  /** The browser's next picture, or a little while where it shows none. */
  const frame = () =>
    new Promise((go) => {
      requestAnimationFrame(() => setTimeout(go));
      setTimeout(go, 100);
    });

  fill();
  let due = null;
  times.change.connect(() => {
    due ??= requestAnimationFrame(() => {
      due = null;
      fill();
    });
  });
  addEventListener("resize", fill);
  read(at);

  // One plot is shown before the next is made: the first is what is looked at first.
  for (const plot of roots.slice(1)) doc.remove_root(plot);
  const views = await Bokeh.embed.add_document_standalone(doc, document.body, hosts);
  await frame();
  document.documentElement.dataset.useful = Math.round(performance.now());
  refine();
  fill();
  read(at);
  for (const plot of roots.slice(1)) {
    doc.add_root(plot);
    while (!views.get(plot)) await frame();
  }
  for (const plot of roots.slice(0, 3)) follow(plot, read, whole);
  for (const plot of roots.slice(3)) {
    const id = plot.name.replace("trade-", "");
    const found = columns(data.paths[id]);
    const [{ start, end }, last] = [{ ...plot.x_range.attributes }, found.x.at(-1)];
    const tell = (time) => {
      say(element(`told-${id}`), "position-words", found, Math.max(0, found.x.findLastIndex((x) => x <= time)));
      one(`crosshair-${id}`).location = time;
    };
    one(`path-${id}`).data = found;
    follow(plot, tell, () => plot.x_range.setv({ start, end }));
    tell(last);
  }

  ready(roots, hosts, views);
})();
