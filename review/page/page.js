"use strict";
// Fills the page's charts, which Bokeh draws and moves, and reads out the second that is pointed at. Seconds are counted from
// the open; on an axis they are New York's wall time written as if it were UTC, so that no viewer's time zone matters.
(() => {
  const element = (id) => document.getElementById(id);
  const fail = (reason) => {
    element("failed").hidden = false;
    element("failed").textContent = `The charts could not be drawn: ${reason}. The tables are complete.`;
  };
  addEventListener("error", (event) => fail(event.message));
  addEventListener("unhandledrejection", (event) => fail(event.reason));

  Bokeh.logger.set_level("warn");
  const { Document } = Bokeh.require("document");
  const { color2rgba } = Bokeh.require("core/util/color");
  const { ndarray } = Bokeh.require("core/util/ndarray");

  const data = JSON.parse(element("data").textContent);
  const ARRAYS = { f4: Float32Array, u4: Uint32Array, u2: Uint16Array, u1: Uint8Array };
  const SECOND_MS = 1000;
  const GAP_S = 30; // a line is not drawn across a longer silence
  const CANDLES_S = [1, 5, 15, 60];
  const CANDLE_PX = 5; // narrower candles would only be ink: the price is a line then
  const LEAST_S = 20;
  const STRIP_ROW = 6; // pixels of the strip's picture for one row, the last one left free
  const limited = (value, low, high) => Math.min(Math.max(value, low), high);

  const decoded = async (column) => {
    const letters = atob(column.bytes);
    const packed = new Uint8Array(letters.length);
    for (let i = 0; i < letters.length; i += 1) packed[i] = letters.charCodeAt(i);
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new ARRAYS[column.type](await new Response(stream).arrayBuffer());
  };
  const columns = async (packed) => {
    const pairs = Object.entries(packed).map(async ([name, column]) => [name, await decoded(column)]);
    const found = Object.fromEntries(await Promise.all(pairs));
    if (found.steps) {
      let second = 0;
      found.second = found.steps.map((step) => (second += step));
    }
    return found;
  };

  // --- Words -----------------------------------------------------------------------------------------

  const two = (value) => String(value).padStart(2, "0");
  const clock = (second) => {
    const whole = data.opening + Math.floor(second);
    return `${two(Math.floor(whole / 3600))}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
  };
  const number = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
  const known = (value, text) => (Number.isNaN(value) ? "n/a" : text(value));
  const dollars = (value) => known(value, () => `$${value.toFixed(2)}`);
  const optionPrice = (value) => known(value, () => `$${value.toFixed(4).replace(/0{1,2}$/, "")}`);
  const signed = (value, digits, unit = "") =>
    known(value, () => `${value < 0 ? "-" : "+"}${Math.abs(value).toFixed(digits)}${unit}`);
  const rate = (value) => signed(value, value ? limited(1 - Math.floor(Math.log10(Math.abs(value))), 3, 5) : 3, "%/s");
  const counted = (value) => known(value, () => number.format(value));

  /** What a condition's cell shows: the value, and what it needs. */
  const SHOWN = {
    five_minute_vwap: (rows, i) => [`${dollars(rows.price[i])}, ${signed(rows.vwap_5m_change[i], 4, "%")}`, `over ${dollars(rows.vwap_5m[i])}, rising`],
    above_vwap: (rows, i) => [dollars(rows.price[i]), `over ${dollars(rows.vwap_1m[i])}`],
    vwap_rising: (rows, i, limit) => [`${rows.vwap_rising_s[i]} s`, `≥ ${limit} s`],
    volume_surge: (rows, i) => [counted(rows.volume[i]), `over ${counted(rows.volume_p95[i])}`],
    momentum: (rows, i) => [rate(rows.momentum[i]), "over 0"],
    relative_volume: (rows, i, limit) => [known(rows.relative_volume[i], (value) => value.toFixed(2)), `≥ ${limit}`],
    spy_lag: (rows, i, limit) => [signed(rows.lag[i], 2), `≤ ${limit}`],
  };

  // --- Columns ---------------------------------------------------------------------------------------

  /** The first place in ascending `times` that is not before `second`. */
  const firstFrom = (times, second) => {
    let low = 0;
    let high = times.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (times[middle] < second) low = middle + 1;
      else high = middle;
    }
    return low;
  };

  /** Groups of neighbours among `times`, one for each `width` seconds of the view and a little around it: [first, end). */
  const buckets = (times, view, width) => {
    const found = [];
    const end = Math.min(times.length, firstFrom(times, view[1]) + 2);
    for (let first = Math.max(0, firstFrom(times, view[0]) - 2); first < end; ) {
      const key = Math.floor(times[first] / width);
      let next = first + 1;
      while (next < end && Math.floor(times[next] / width) === key) next += 1;
      found.push([first, next]);
      first = next;
    }
    return found;
  };

  /** The browser's next picture, or a little while where it shows none. */
  const frame = () =>
    new Promise((go) => {
      requestAnimationFrame(() => setTimeout(go));
      setTimeout(go, 100);
    });
  const x = (second) => (data.opening + second) * SECOND_MS;

  /** A column as a line through each group's lowest and highest value, in their order; broken where it is silent. */
  const line = (times, groups, column, width) => {
    const points = { x: [], y: [] };
    const gap = Math.max(GAP_S, 2 * width);
    let before = Infinity;
    for (const [first, end] of groups) {
      let low = -1;
      let high = -1;
      for (let i = first; i < end; i += 1) {
        if (Number.isNaN(column[i])) continue;
        if (low < 0 || column[i] < column[low]) low = i;
        if (high < 0 || column[i] >= column[high]) high = i;
      }
      if (low < 0) continue;
      for (const i of low === high ? [low] : [Math.min(low, high), Math.max(low, high)]) {
        if (times[i] - before > gap) {
          points.x.push(x(times[i]));
          points.y.push(NaN);
        }
        points.x.push(x(times[i]));
        points.y.push(column[i]);
        before = times[i];
      }
    }
    return points;
  };

  const extent = (found, column, groups) => {
    for (const [first, end] of groups) {
      for (let i = first; i < end; i += 1) {
        if (column[i] < found[0]) found[0] = column[i];
        if (column[i] > found[1]) found[1] = column[i];
      }
    }
    return found;
  };

  // --- Charts ----------------------------------------------------------------------------------------

  const charts = [];
  const hidden = new Set();
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

  /** A chart of `made` models in these elements. It is filled before it is drawn for the first time. */
  const chart = (made, hosts) => {
    const doc = Document.from_json(made.document);
    let plots = [];
    const models = [...doc.all_models];
    const byId = new Map(models.map((model) => [model.id, model]));
    const named = (name) => models.filter((model) => model.name === name);
    const self = {
      doc,
      model: (name) => named(name)[0],
      set: (name, points) => {
        self.model(name).data_source.data = points;
      },
      show: (name, is = true) => {
        for (const drawn of named(name)) drawn.visible = is && !hidden.has(name.split("-")[0]);
      },
      paint: () => {
        const style = getComputedStyle(document.documentElement);
        for (const [id, property, name] of made.paints) {
          byId.get(id)[property] = style.getPropertyValue(`--${name}`).trim();
        }
      },
      draw: async () => {
        self.paint();
        for (const name of ["blind", "held", "down"]) {
          self.set(name, { from: data[name].map((span) => x(span.from)), to: data[name].map((span) => x(span.to)) });
        }
        // The first plot is shown before the others are made: that is what is looked at first.
        const [first, ...others] = doc.roots();
        for (const plot of others) doc.remove_root(plot);
        const views = await Bokeh.embed.add_document_standalone(doc, document.body, hosts);
        await frame();
        document.documentElement.dataset.useful ??= Math.round(performance.now());
        for (const plot of others) doc.add_root(plot);
        while (!others.every((plot) => views.get(plot))) await frame();
        plots = [first, ...others].map((plot) => views.get(plot));
        // A finger that goes up or down scrolls the page; one that goes across, and two of them, move the chart.
        for (const view of plots) view.canvas_view.touch_action.replace(".bk-events { touch-action: pan-y; }");
      },
      /** Pictures in the charts' places: paper is not as wide as the screen that a chart was laid out for. */
      print: () => {
        for (const [place, view] of plots.entries()) {
          for (const drawn of view.renderer_views.values()) {
            drawn.set_data?.(); // at once, for a browser does not wait
            drawn.set_visuals?.();
          }
          hosts[place].append(view.export("png").canvas);
        }
      },
      unprint: () => {
        for (const host of hosts) host.querySelector(":scope > canvas")?.remove();
      },
      times: named("times")[0],
    };
    charts.push(self);
    return self;
  };

  const session = async (rows, bars) => {
    const made = chart(data.charts.session, ["price", "volume", "strip"].map((name) => element(`${name}-chart`)));
    const slider = element("session-chart");
    const crosshair = made.model("crosshair");
    const count = rows.second.length;
    const events = [...data.entries, ...data.exits, ...data.misses];
    const { times } = made;
    let at = data.start;
    let due = false;

    const view = () => [times.start / SECOND_MS - data.opening, times.end / SECOND_MS - data.opening];
    const holds = (i, condition) => (rows.passes[i] >> condition) & 1;
    const counts = (i, condition) => (rows.counts[i] >> condition) & 1;
    const isSignal = (i) => (rows.passes[i] & rows.counts[i]) === rows.counts[i];

    /** The highest of each group among the seconds that surge, or among those that do not. */
    const sticks = (groups, surging) => {
      const points = { x: [], y: [] };
      for (const [first, end] of groups) {
        let top = -1;
        for (let i = first; i < end; i += 1) {
          if (holds(i, data.surge) === surging && (top < 0 || rows.volume[i] > rows.volume[top])) top = i;
        }
        if (top < 0) continue;
        points.x.push(x(rows.second[top]));
        points.y.push(rows.volume[top]);
      }
      return points;
    };

    const candles = (shown, width) => {
      const found = { rise: [], fall: [] };
      for (const [first, end] of buckets(bars.second, shown, width)) {
        let [low, high] = [Infinity, -Infinity];
        for (let i = first; i < end; i += 1) {
          low = Math.min(low, bars.low[i]);
          high = Math.max(high, bars.high[i]);
        }
        const begin = Math.floor(bars.second[first] / width) * width;
        const [open, close] = [bars.open[first], bars.close[end - 1]];
        found[close < open ? "fall" : "rise"].push([x(begin + width / 2), open, high, low, close, width * SECOND_MS * 0.7]);
      }
      const names = ["x", "open", "high", "low", "close", "width"];
      for (const [way, items] of Object.entries(found)) {
        const points = Object.fromEntries(names.map((name, place) => [name, items.map((item) => item[place])]));
        made.set(`${way}-wicks`, points);
        made.set(`${way}-bodies`, points);
      }
    };

    /** The strip as a picture: each condition the darker the more of a column's seconds it held, signals, the gate. */
    const strip = (groups, shown, width, total) => {
      const [fails, held, signal] = ["fails", "holds", "signal"].map((name) => color2rgba(colour(name)));
      const gates = data.gates.map((gate) => color2rgba(colour(gate.colour)));
      const height = (data.conditions.length + 2) * STRIP_ROW;
      const pixels = new Uint8ClampedArray(total * height * 4);
      const put = (row, column, rgba) => {
        for (let line = 1; line < STRIP_ROW; line += 1) {
          pixels.set(rgba, ((height - 1 - row * STRIP_ROW - line) * total + column) * 4);
        }
      };
      for (const [first, end] of groups) {
        const column = Math.floor(rows.second[first] / width) - Math.floor(shown[0] / width);
        if (column < 0 || column >= total) continue;
        data.conditions.forEach((_, condition) => {
          let [all, met] = [0, 0];
          for (let i = first; i < end; i += 1) {
            all += counts(i, condition);
            met += holds(i, condition);
          }
          if (all) put(condition, column, fails.map((part, place) => part + ((held[place] - part) * met) / all));
        });
        const seen = new Map();
        for (let i = first; i < end; i += 1) {
          if (isSignal(i)) put(data.conditions.length, column, signal);
          seen.set(rows.gate[i], (seen.get(rows.gate[i]) || 0) + 1);
        }
        const most = [...seen].reduce((best, item) => (item[1] > best[1] ? item : best))[0];
        put(data.conditions.length + 1, column, gates[most]);
      }
      const image = ndarray(new Uint32Array(pixels.buffer), { dtype: "uint32", shape: [height, total] });
      const from = Math.floor(shown[0] / width) * width;
      made.set("strip", {
        ...{ image: [image], x: [x(from)], y: [0] },
        ...{ dw: [total * width * SECOND_MS], dh: [data.conditions.length + 2] },
      });
    };

    const look = () => {
      due = false;
      const shown = view();
      const wide = Math.max(100, slider.clientWidth - 80);
      const width = Math.max(1, (shown[1] - shown[0]) / wide);
      const ofBars = buckets(bars.second, shown, width);
      const ofRows = buckets(rows.second, shown, width);
      const candle = CANDLES_S.find((seconds) => seconds / width >= CANDLE_PX);
      if (candle) candles(shown, candle);
      made.set("price", line(bars.second, ofBars, bars.close, width));
      made.set("day", line(bars.second, ofBars, bars.day, width));
      made.set("short", line(rows.second, ofRows, rows.vwap_1m, width));
      made.set("long", line(rows.second, ofRows, rows.vwap_5m, width));
      made.set("p95", line(rows.second, ofRows, rows.volume_p95, width));
      made.set("volume", sticks(ofRows, 0));
      made.set("surge", sticks(ofRows, 1));
      strip(ofRows, shown, width, Math.ceil((shown[1] - shown[0]) / width) + 1);
      for (const name of ["rise-wicks", "rise-bodies", "fall-wicks", "fall-bodies"]) {
        made.show(name, Boolean(candle) && !hidden.has("price"));
      }
      made.show("price", !candle);

      const prices = extent(extent([Infinity, -Infinity], bars.low, ofBars), bars.high, ofBars);
      const [top] = extent([-1, 1], rows.volume, ofRows).slice(1);
      const room = Math.max((prices[1] - prices[0]) * 0.06, 0.01);
      if (prices[0] <= prices[1]) {
        made.model("prices").setv({ start: prices[0] - room, end: prices[1] + room });
      }
      made.model("volumes").setv({ start: 0, end: top * 1.05 });
      element("whole").setAttribute("aria-pressed", String(shown[1] - shown[0] >= data.seconds));
      tell();
    };
    const soon = () => {
      if (!due) requestAnimationFrame(look);
      due = true;
    };

    // --- Reading a second --------------------------------------------------------------------------

    const nearestRow = (second) => {
      const after = limited(firstFrom(rows.second, second), 0, count - 1);
      const before = Math.max(0, after - 1);
      return rows.second[after] - second < second - rows.second[before] ? after : before;
    };
    const note = (second) => {
      const [low, high] = view();
      const near = Math.max(2, (high - low) / 150);
      const close = events.filter((item) => Math.abs(item.second - second) <= near);
      close.sort((a, b) => Math.abs(a.second - second) - Math.abs(b.second - second));
      if (close.length) return close[0].text;
      for (const [name, words] of [["down", "Not running"], ["blind", "Blind"], ["held", "Entries held"]]) {
        const span = data[name].find((item) => second >= item.from && second < item.to);
        if (span) return `${words} ${clock(span.from)}–${clock(span.to)}: ${span.cause}`;
      }
      return "";
    };
    const tell = () => {
      const cells = element("reading-cells");
      crosshair.location = x(at);
      element("reading-note").textContent = note(at);
      cells.hidden = !count;
      if (count) {
        const i = nearestRow(at);
        const bar = limited(firstFrom(bars.second, rows.second[i] + 1) - 1, 0, bars.second.length - 1);
        element("reading-line").textContent =
          `${clock(rows.second[i])}  ${data.symbol} ${dollars(rows.price[i])} · VWAP ${dollars(rows.vwap_1m[i])}, ` +
          `5 min ${dollars(rows.vwap_5m[i])}, session ${bars.second.length ? dollars(bars.day[bar]) : "n/a"} · ` +
          `volume ${counted(rows.volume[i])}`;
        const shown = data.conditions.map((condition, place) => {
          const passed = counts(i, place) ? Boolean(holds(i, place)) : null;
          return [passed, condition.label, ...SHOWN[condition.name](rows, i, condition.limit)];
        });
        const gate = data.gates[rows.gate[i]].name;
        [...shown, [gate === "open", "Gate", gate, ""]].forEach(([passed, label, value, needs], place) => {
          const cell = cells.children[place];
          cell.className = passed === null ? "" : passed ? "yes" : "no";
          const mark = passed === null ? "–" : passed ? "✓" : "✗";
          const takes = passed === null ? "left out" : needs && !passed ? `needs ${needs}` : needs;
          [`${mark} ${label}`, value, takes].forEach((text, part) => {
            cell.children[part].textContent = text;
          });
        });
      } else element("reading-line").textContent = "No second of this session was evaluated.";
      const shown = view();
      slider.setAttribute("aria-valuemin", Math.floor(shown[0]));
      slider.setAttribute("aria-valuemax", Math.ceil(shown[1]));
      slider.setAttribute("aria-valuenow", Math.round(at));
      slider.setAttribute("aria-valuetext", element("reading-line").textContent);
    };

    // --- Moving ------------------------------------------------------------------------------------

    const show = (from, to) => {
      const span = limited(to - from, LEAST_S, data.seconds);
      const begin = limited((from + to - span) / 2, 0, data.seconds - span);
      times.setv({ start: x(begin), end: x(begin + span) });
    };
    const around = (second, span) => show(second - span / 2, second + span / 2);
    const BUTTONS = {
      whole: () => show(0, data.seconds),
      closer: (low, high) => around(at, (high - low) / 4),
      wider: (low, high) => around(at, (high - low) * 4),
      earlier: (low, high) => show(low - (high - low) / 2, high - (high - low) / 2),
      later: (low, high) => show(low + (high - low) / 2, high + (high - low) / 2),
    };
    for (const [name, move] of Object.entries(BUTTONS)) element(name).addEventListener("click", () => move(...view()));
    slider.addEventListener("keydown", (event) => {
      const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!way || !count) return;
      event.preventDefault();
      const here = nearestRow(at);
      at = rows.second[event.shiftKey ? nearestRow(rows.second[here] + way * 60) : limited(here + way, 0, count - 1)];
      const [low, high] = view();
      if (at < low || at > high) around(at, high - low);
      tell();
    });
    for (const plot of made.doc.roots()) {
      for (const name of ["mousemove", "tap"]) {
        plot.on_event(name, (event) => {
          at = limited(event.x / SECOND_MS - data.opening, 0, data.seconds);
          tell();
        });
      }
      plot.on_event("doubletap", () => show(0, data.seconds));
    }
    document.addEventListener("click", (event) => {
      const link = event.target.closest("[data-second]");
      if (!link) return;
      at = Number(link.dataset.second); // the link itself leads to the chart
      around(at, data.closeup);
      tell();
    });

    for (const [name, items] of [["entry", data.entries], ["exit", data.exits], ["miss", data.misses]]) {
      const shown = items.filter((item) => item.price !== null);
      made.set(name, { x: shown.map((item) => x(item.second)), y: shown.map((item) => item.price) });
    }
    if (data.isClose) around(at, data.closeup);
    else if (data.seen) show(...data.seen);
    look();
    times.change.connect(soon);
    made.look = look;
    made.resized = soon;
    await made.draw();
  };

  const trade = async (item) => {
    const made = chart(data.charts.trade, [element(`trade-${item.id}`)]);
    const room = Math.max(5, (item.to - item.from) * 0.04);
    const whole = { start: x(item.from - room), end: x(item.to + room) };
    made.times.setv({ ...whole, bounds: [whole.start, whole.end] });
    const told = element(`told-${item.id}`);
    const path = await columns(item.path);
    const times = Array.from(path.millisecond, (value) => item.from + value / SECOND_MS);
    const xs = times.map(x);
    const tell = (second) => {
      const here = limited(firstFrom(times, second) - 1, 0, times.length - 1);
      const level = (name) => optionPrice(path[name][here]);
      told.textContent =
        `${clock(times[here])} mark ${level("mark")} (${signed((path.mark[here] / item.entry - 1) * 100, 1, "%")}) · ` +
        `peak ${level("peak")} · stop ${optionPrice(item.stop)} · giveback ${level("hard")}, below VWAP ${level("tight")}`;
    };
    for (const name of ["mark", "peak", "hard", "tight"]) made.set(name, { x: xs, y: Array.from(path[name]) });
    made.set("stop", { x: [x(item.from), x(item.to)], y: [item.stop, item.stop] });
    made.set("entry", { x: [x(item.from)], y: [item.entry] });
    made.set("exit", item.exit === null ? { x: [], y: [] } : { x: [x(item.to)], y: [item.exit] });
    for (const name of ["mousemove", "tap"]) {
      made.doc.roots()[0].on_event(name, (event) => tell(event.x / SECOND_MS - data.opening));
    }
    made.doc.roots()[0].on_event("doubletap", () => made.times.setv(whole));
    await made.draw();
    tell(item.to);
  };

  // --- The page --------------------------------------------------------------------------------------

  /** A button of a legend hides what it names, and shows it again. */
  for (const button of document.querySelectorAll("button[data-toggle]")) {
    button.addEventListener("click", () => {
      const name = button.dataset.toggle;
      if (!hidden.delete(name)) hidden.add(name);
      for (const other of document.querySelectorAll(`button[data-toggle="${name}"]`)) {
        other.setAttribute("aria-pressed", String(!hidden.has(name)));
      }
      for (const { show, look } of charts) {
        show(name);
        if (look) look();
      }
    });
  }
  const repaint = () => {
    for (const { paint, look } of charts) {
      paint();
      if (look) look();
    }
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
  addEventListener("beforeprint", () => {
    document.documentElement.classList.add("printed"); // paper is light
    repaint();
    for (const { print } of charts) print();
  });
  addEventListener("afterprint", () => {
    document.documentElement.classList.remove("printed");
    repaint();
    for (const { unprint } of charts) unprint();
  });
  addEventListener("resize", () => charts.forEach(({ resized }) => resized && resized()));

  const drawn = async () => {
    const [rows, bars] = await Promise.all([columns(data.rows), columns(data.bars)]);
    await session(rows, bars);
    for (const item of data.trades) {
      await new Promise((go) => setTimeout(go)); // the page can be scrolled before its last chart is drawn
      await trade(item);
    }
    document.documentElement.dataset.drawn = Math.round(performance.now());
  };
  drawn();
})();
