"use strict";
// The charts of the page. All times are New York wall time, written as if it were UTC: no viewer's time zone matters.
(() => {
  const element = (id) => document.getElementById(id);
  const fail = (reason) => {
    element("failed").hidden = false;
    element("failed").textContent = `The charts could not be drawn: ${reason}. The tables are complete.`;
  };
  addEventListener("error", (event) => fail(event.message));
  addEventListener("unhandledrejection", (event) => fail(event.reason));

  const data = JSON.parse(element("data").textContent);
  const ARRAYS = { f4: Float32Array, u4: Uint32Array, u2: Uint16Array, u1: Uint8Array };
  const GAP_S = 30; // a line is not drawn across a longer silence
  const NARROW = 700;
  const DRAG_PX = 6; // a shorter drag is a click
  const DECIMALS_MAX = 5;
  const IDLE_WITHIN_MS = 200;
  const FONT = getComputedStyle(document.body).fontFamily;

  const decoded = (column) => {
    const letters = atob(column.bytes);
    const bytes = new Uint8Array(letters.length);
    for (let i = 0; i < letters.length; i += 1) bytes[i] = letters.charCodeAt(i);
    return new ARRAYS[column.type](bytes.buffer);
  };
  const columns = (packed) => Object.fromEntries(Object.entries(packed).map(([name, column]) => [name, decoded(column)]));
  const rows = columns(data.rows);
  const made = (tag, parent, className) => {
    const item = document.createElement(tag);
    if (className) item.className = className;
    parent.append(item);
    return item;
  };
  const limited = (value, low, high) => Math.min(Math.max(value, low), high);

  // --- Words -----------------------------------------------------------------------------------------

  // Never through a date of the browser's: those, and the library's date axes, know the viewer's time zone.
  const two = (value) => String(value).padStart(2, "0");
  const clock = (second) => {
    const whole = data.opening + Math.floor(second);
    return `${two(Math.floor(whole / 3600))}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
  };
  const number = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
  const dollars = (value) => (Number.isNaN(value) ? "n/a" : `$${value.toFixed(2)}`);
  const optionPrice = (value) => (Number.isNaN(value) ? "n/a" : `$${value.toFixed(4).replace(/0{1,2}$/, "")}`);
  const signed = (value, digits, unit = "") =>
    Number.isNaN(value) ? "n/a" : `${value < 0 ? "-" : "+"}${Math.abs(value).toFixed(digits)}${unit}`;
  const rate = (value) => {
    const digits = value ? limited(1 - Math.floor(Math.log10(Math.abs(value))), 3, DECIMALS_MAX) : 3;
    return signed(value, digits, "\u200b%/s"); // a narrow cell may break it there
  };
  const plain = (value, digits) => (Number.isNaN(value) ? "n/a" : value.toFixed(digits));
  const counted = (value) => (Number.isNaN(value) ? "n/a" : number.format(value));

  const SHOWN = {
    five_minute_vwap: (i) => `${dollars(rows.vwap_5m[i])} ${signed(rows.vwap_5m_change[i], 4, "%")}`,
    above_vwap: (i) => `${dollars(rows.vwap_1m[i])} ${signed(rows.vwap_distance[i], 2, "%")}`,
    vwap_rising: (i, limit) => `${rows.vwap_rising_s[i]} s of ${limit}`,
    volume_surge: (i) => `${counted(rows.volume[i])} of ${counted(rows.volume_p95[i])}`,
    momentum: (i) => rate(rows.momentum[i]),
    relative_volume: (i, limit) => `${plain(rows.relative_volume[i], 2)} of ${limit}`,
    spy_lag: (i, limit) => `${signed(rows.lag[i], 2)} of ${limit}`,
  };

  // --- The rows --------------------------------------------------------------------------------------

  const count = rows.second.length;
  const holds = (i, condition) => (rows.passes[i] >> condition) & 1;
  const counts = (i, condition) => (rows.counts[i] >> condition) & 1;
  const isSignal = (i) => (rows.passes[i] & rows.counts[i]) === rows.counts[i];

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
  const rowFrom = (second) => firstFrom(rows.second, second);
  const nearestRow = (second) => {
    const after = rowFrom(second);
    if (after === 0) return 0;
    if (after === count) return count - 1;
    return rows.second[after] - second < second - rows.second[after - 1] ? after : after - 1;
  };

  /** Groups of neighbours among `times` (seconds), one for each span of `width` seconds: [first, end). */
  const buckets = (times, low, high, width) => {
    const found = [];
    for (let first = low; first < high; ) {
      const key = Math.floor(times[first] / width);
      let end = first + 1;
      while (end < high && Math.floor(times[end] / width) === key) end += 1;
      found.push([first, end]);
      first = end;
    }
    return found;
  };

  /** The rows of a group that a line must show: the first, the lowest, the highest and the last, in their order. */
  const extremes = (column, first, end) => {
    const known = [];
    for (let i = first; i < end; i += 1) if (!Number.isNaN(column[i])) known.push(i);
    if (!known.length) return [];
    const low = known.reduce((best, i) => (column[i] < column[best] ? i : best));
    const high = known.reduce((best, i) => (column[i] > column[best] ? i : best));
    return [...new Set([known[0], Math.min(low, high), Math.max(low, high), known[known.length - 1]])];
  };

  /** A column as a line with no more points than the screen can show, broken where `gap` seconds have no value. */
  const line = (times, groups, column, gap) => {
    const x = [];
    const y = [];
    let before = Infinity;
    for (const [first, end] of groups) {
      const kept = extremes(column, first, end);
      if (!kept.length) continue;
      if (times[kept[0]] - before > gap) {
        x.push(times[kept[0]]);
        y.push(null);
      }
      for (const i of kept) {
        x.push(times[i]);
        y.push(column[i]);
      }
      before = times[kept[kept.length - 1]];
    }
    return { x, y };
  };

  /** Volume as upright sticks: of each group the highest among those that surge, or among those that do not. */
  const sticks = (groups, surging) => {
    const x = [];
    const y = [];
    for (const [first, end] of groups) {
      let top = -1;
      for (let i = first; i < end; i += 1) {
        if (holds(i, data.surge) === surging && (top < 0 || rows.volume[i] > rows.volume[top])) top = i;
      }
      if (top < 0) continue;
      const at = rows.second[top];
      x.push(at, at, at);
      y.push(0, rows.volume[top], null);
    }
    return { x, y };
  };

  /** The strip: for each condition the share of a column's evaluations at which it held, then signals, then gates. */
  const strip = (groups, low, width, total) => {
    const shares = data.conditions.map(() => new Array(total).fill(null));
    const signals = new Array(total).fill(null);
    const gates = new Array(total).fill(null);
    for (const [first, end] of groups) {
      const column = Math.floor(rows.second[first] / width) - low;
      if (column < 0 || column >= total) continue;
      data.conditions.forEach((_, condition) => {
        let all = 0;
        let held = 0;
        for (let i = first; i < end; i += 1) {
          all += counts(i, condition);
          held += holds(i, condition);
        }
        if (all) shares[condition][column] = held / all;
      });
      const seen = new Map();
      for (let i = first; i < end; i += 1) {
        if (isSignal(i)) signals[column] = 1;
        seen.set(rows.gate[i], (seen.get(rows.gate[i]) || 0) + 1);
      }
      gates[column] = [...seen].reduce((most, item) => (item[1] > most[1] ? item : most))[0];
    }
    return { shares, signals, gates };
  };

  // --- Colours and frames ----------------------------------------------------------------------------

  const COLOURS = [
    ...["card", "quiet", "line", "grid", "price", "short", "long", "volume", "surge", "p95", "holds", "fails", "signal", "miss"],
    ...["entry", "exit", "stop", "hard", "tight", "peak", "blind", "down", ...data.gates.map((gate) => gate.colour)],
  ];
  let palette = {};
  /** The style's colours, asked for once: each question makes the browser lay the page out. */
  const readColours = () => {
    const style = getComputedStyle(document.documentElement);
    palette = Object.fromEntries(COLOURS.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  };
  const colour = (name) => palette[name];
  const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200];
  const axis = (changes) => ({
    gridcolor: colour("grid"),
    linecolor: colour("line"),
    zeroline: false,
    fixedrange: true,
    ticks: "",
    tickfont: { size: 12, color: colour("quiet") },
    ...changes,
  });
  /** An axis of seconds after the open, ticked at round times of the New York clock, `most` at most. */
  const timeAxis = (from, to, most, changes) => {
    const step = STEPS.find((width) => (to - from) / width <= most) || STEPS[STEPS.length - 1];
    const ticks = [];
    const early = Math.ceil((from + data.opening) / step) * step - data.opening;
    for (let second = early; second <= to; second += step) ticks.push(second);
    return axis({
      range: [from, to],
      tickmode: "array",
      tickvals: ticks,
      ticktext: ticks.map((second) => clock(second).slice(0, step < 60 ? 8 : 5)),
      tickangle: 0,
      ...changes,
    });
  };
  const frame = (width, height, margin, changes) => ({
    width,
    height,
    margin: { ...margin, pad: 0 },
    autosize: false,
    showlegend: false,
    hovermode: false,
    dragmode: false,
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: FONT, size: 12, color: colour("quiet") },
    ...changes,
  });
  const CONFIG = { staticPlot: true, displayModeBar: false, responsive: false };
  const trace = (points, changes) => ({ type: "scatter", mode: "lines", hoverinfo: "skip", ...points, ...changes });
  const stroke = (name, width, dash = "solid") => ({ line: { color: colour(name), width, dash } });
  const markers = (items, changes) =>
    trace(
      { x: items.map((item) => item.second), y: items.map((item) => item.price) },
      { mode: "markers", cliponaxis: false, ...changes },
    );
  const band = (span, name) => ({
    type: "rect",
    layer: "below",
    xref: "x",
    yref: "paper",
    x0: span.from,
    x1: span.to,
    y0: 0,
    y1: 1,
    line: { width: 0 },
    fillcolor: colour(name),
  });

  // --- A cursor over a chart -------------------------------------------------------------------------

  /** A layer over a chart's plot that turns pointer and keys into seconds. `view()` is the chart's [from, to]. */
  const cursor = (host, label, view, on) => {
    const layer = made("div", host, "touch");
    const bar = made("i", layer);
    const chosen = made("s", layer);
    let from = null;
    layer.tabIndex = 0;
    layer.setAttribute("role", "slider");
    layer.setAttribute("aria-label", label);
    const secondAt = (event) => {
      const box = layer.getBoundingClientRect();
      const [low, high] = view();
      return limited(low + ((event.clientX - box.left) / box.width) * (high - low), low, high);
    };
    const drag = (event) => {
      const box = layer.getBoundingClientRect();
      const left = limited(Math.min(from, event.clientX) - box.left, 0, box.width);
      const right = limited(Math.max(from, event.clientX) - box.left, 0, box.width);
      const is = on.choose && right - left > DRAG_PX;
      chosen.style.display = is ? "block" : "none";
      chosen.style.left = `${left}px`;
      chosen.style.width = `${right - left}px`;
      return is ? [left / box.width, right / box.width] : null;
    };
    layer.addEventListener("pointermove", (event) => {
      on.move(secondAt(event));
      if (from !== null) drag(event);
    });
    layer.addEventListener("pointerdown", (event) => {
      on.move(secondAt(event));
      if (event.pointerType === "mouse" && event.button === 0) {
        from = event.clientX;
        layer.setPointerCapture(event.pointerId);
      }
    });
    layer.addEventListener("pointerup", (event) => {
      if (from === null) return;
      const picked = drag(event);
      from = null;
      chosen.style.display = "none";
      if (picked) {
        const [low, high] = view();
        on.choose(low + picked[0] * (high - low), low + picked[1] * (high - low));
      }
    });
    layer.addEventListener("pointercancel", () => {
      from = null;
      chosen.style.display = "none";
    });
    if (on.reset) layer.addEventListener("dblclick", on.reset);
    layer.addEventListener("keydown", (event) => {
      if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
      event.preventDefault();
      on.step(event.key === "ArrowLeft" ? -1 : 1, event.shiftKey);
    });
    return {
      place: (margin, width, height) => {
        layer.style.left = `${margin.l}px`;
        layer.style.top = `${margin.t}px`;
        layer.style.width = `${width - margin.l - margin.r}px`;
        layer.style.height = `${height - margin.t - margin.b}px`;
      },
      show: (second, text, isPointed = true) => {
        const [low, high] = view();
        const share = (second - low) / (high - low);
        bar.style.display = isPointed && share >= 0 && share <= 1 ? "block" : "none";
        bar.style.left = `${share * 100}%`;
        layer.setAttribute("aria-valuemin", Math.floor(low));
        layer.setAttribute("aria-valuemax", Math.ceil(high));
        layer.setAttribute("aria-valuenow", Math.round(second));
        layer.setAttribute("aria-valuetext", text);
      },
    };
  };

  // --- The session -----------------------------------------------------------------------------------

  const WHOLE = [0, data.seconds];
  const LEAST_S = 20;
  const DOMAINS = { price: [0.5, 1], volume: [0.31, 0.46], strip: [0, 0.27] };
  const session = (() => {
    const host = element("session-chart");
    let view = WHOLE;
    let width = 0;
    let at = data.start;
    const events = [...data.entries, ...data.exits, ...data.misses];
    const names = [...data.conditions.map((condition) => condition.label), "All hold", "Gate"];

    const spanAt = (second) => {
      const within = (span) => second >= span.from && second < span.to;
      const down = data.down.find(within);
      const blind = data.blind.find(within);
      if (down) return `Not running ${clock(down.from)}–${clock(down.to)}: ${down.cause}`;
      return blind ? `Blind ${clock(blind.from)}–${clock(blind.to)}: ${blind.cause}` : "";
    };
    const eventAt = (second) => {
      const near = Math.max(2, (view[1] - view[0]) / 150);
      const found = events.filter((item) => Math.abs(item.second - second) <= near);
      found.sort((a, b) => Math.abs(a.second - second) - Math.abs(b.second - second));
      return found.length ? found[0].text : "";
    };
    const tell = () => {
      const head = element("reading-line");
      head.replaceChildren();
      const put = (text, tag = "span") => {
        made(tag, head).textContent = text;
      };
      const note = spanAt(at) || eventAt(at);
      element("reading-note").textContent = note;
      const cells = element("reading-cells").children;
      if (!count) {
        put("No second of this session was evaluated.");
        element("reading-cells").hidden = true;
        pointer.show(at, note || "no evaluation");
        return;
      }
      const i = nearestRow(at);
      put(clock(rows.second[i]), "b");
      put(`${data.symbol} ${dollars(rows.price[i])}`, "b");
      put(`Volume ${counted(rows.volume[i])} (Z ${plain(rows.volume_z[i], 1)})`);
      data.conditions.forEach((condition, position) => {
        const used = counts(i, position);
        const is = holds(i, position);
        const [name, value] = cells[position].children;
        cells[position].className = used ? (is ? "yes" : "no") : "";
        name.textContent = `${used ? (is ? "✓ " : "✗ ") : ""}${condition.label}`;
        value.textContent = used ? SHOWN[condition.name](i, condition.limit) : "left out";
      });
      const gate = cells[data.conditions.length];
      gate.className = rows.gate[i] ? "no" : "yes";
      gate.children[0].textContent = rows.gate[i] ? "✗ Gate" : "✓ Gate";
      gate.children[1].textContent = data.gates[rows.gate[i]].name;
      const verdict = isSignal(i) ? "all conditions hold" : "no signal";
      pointer.show(rows.second[i], `${clock(rows.second[i])}, ${dollars(rows.price[i])}, ${verdict}. ${note}`);
    };

    const draw = () => {
      const narrow = width < NARROW;
      const height = narrow ? 640 : 760;
      const margin = { l: narrow ? 64 : 78, r: narrow ? 8 : 14, t: 10, b: 26 };
      const [from, to] = view;
      const pixels = Math.max(50, width - margin.l - margin.r);
      const each = Math.max(1, Math.ceil((to - from) / pixels));
      const low = Math.max(0, rowFrom(from) - 1);
      const high = Math.min(count, rowFrom(to) + 1);
      const groups = buckets(rows.second, low, high, each);
      const first = Math.floor(from / each);
      const total = Math.max(1, Math.ceil(to / each) - first);
      const { shares, signals, gates } = strip(groups, first, each, total);
      const stick = limited((pixels / (to - from)) * each * 0.7, 1, 7);
      const grid = (z, top, changes) => ({
        type: "heatmap",
        yaxis: "y3",
        z,
        // Seconds are drawn where they begin: a cell is as wide as the time it stands for.
        x0: (first + 0.5) * each,
        dx: each,
        y0: top,
        dy: 1,
        ygap: 2,
        showscale: false,
        hoverinfo: "skip",
        ...changes,
      });
      const last = data.conditions.length;
      const steps = data.gates.flatMap((gate, i) => [
        [i / data.gates.length, colour(gate.colour)],
        [(i + 1) / data.gates.length, colour(gate.colour)],
      ]);
      const traces = [
        trace(line(rows.second, groups, rows.vwap_5m, GAP_S), stroke("long", 1.6)),
        trace(line(rows.second, groups, rows.vwap_1m, GAP_S), stroke("short", 1.4)),
        trace(line(rows.second, groups, rows.price, GAP_S), stroke("price", 1.2)),
        trace(sticks(groups, 0), { yaxis: "y2", ...stroke("volume", stick) }),
        trace(sticks(groups, 1), { yaxis: "y2", ...stroke("surge", stick) }),
        trace(line(rows.second, groups, rows.volume_p95, GAP_S), { yaxis: "y2", ...stroke("p95", 1.2) }),
        grid(shares, 0, { zmin: 0, zmax: 1, colorscale: [[0, colour("fails")], [1, colour("holds")]] }),
        grid([signals], last, { zmin: 0, zmax: 1, colorscale: [[0, colour("signal")], [1, colour("signal")]] }),
        grid([gates], last + 1, { zmin: -0.5, zmax: data.gates.length - 0.5, colorscale: steps }),
        markers(data.misses, { marker: { symbol: "circle-open", size: 8, color: colour("miss"), line: { width: 2 } } }),
        markers(data.entries, {
          marker: { symbol: "triangle-up", size: narrow ? 10 : 12, standoff: 9, color: colour("entry"), line: { width: 1.5, color: colour("card") } },
        }),
        markers(data.exits, {
          marker: { symbol: "triangle-up", angle: 180, size: narrow ? 10 : 12, standoff: 9, color: colour("exit"), line: { width: 1.5, color: colour("card") } },
        }),
      ];
      // What stands outside the view must not be drawn over the labels.
      traces.forEach((item) => {
        if (item.mode !== "markers") return;
        const seen = item.x.map((x) => x >= from && x <= to);
        item.x = item.x.filter((_, i) => seen[i]);
        item.y = item.y.filter((_, i) => seen[i]);
      });
      const layout = frame(width, height, margin, {
        xaxis: timeAxis(from, to, narrow ? 5 : 14, { anchor: "y3" }),
        yaxis: axis({ domain: DOMAINS.price, tickformat: ".2f", tickprefix: "$", nticks: narrow ? 6 : 8, showticklabels: count > 0 }),
        yaxis2: axis({ domain: DOMAINS.volume, tickformat: "~s", rangemode: "tozero", nticks: 4, showticklabels: count > 0 }),
        yaxis3: axis({
          domain: DOMAINS.strip,
          range: [names.length - 0.5, -0.5],
          tickmode: "array",
          tickvals: names.map((_, i) => i),
          ticktext: names,
          showgrid: false,
          tickfont: { size: narrow ? 10.5 : 12, color: colour("quiet") },
        }),
        shapes: [...data.blind.map((span) => band(span, "blind")), ...data.down.map((span) => band(span, "down"))],
      });
      const done = Plotly.react(host.firstElementChild, traces, layout, CONFIG);
      pointer.place(margin, width, height);
      element("whole").setAttribute("aria-pressed", String(view === WHOLE));
      tell();
      return done;
    };
    const look = (from, to) => {
      const span = limited(to - from, LEAST_S, data.seconds);
      const begin = limited((from + to - span) / 2, 0, data.seconds - span);
      view = span >= data.seconds ? WHOLE : [begin, begin + span];
      draw();
    };
    const around = (second, span) => look(second - span / 2, second + span / 2);
    const pointer = cursor(host, "Second of the session", () => view, {
      move: (second) => {
        at = second;
        tell();
      },
      choose: look,
      reset: () => look(...WHOLE),
      step: (way, far) => {
        if (!count) return;
        const here = nearestRow(at);
        at = rows.second[far ? nearestRow(rows.second[here] + way * 60) : limited(here + way, 0, count - 1)];
        if (at < view[0] || at > view[1]) around(at, view[1] - view[0]);
        tell();
      },
    });
    element("whole").addEventListener("click", () => look(...WHOLE));
    element("closer").addEventListener("click", () => around(at, (view[1] - view[0]) / 4));
    element("wider").addEventListener("click", () => around(at, (view[1] - view[0]) * 4));
    element("earlier").addEventListener("click", () => look(view[0] - (view[1] - view[0]) / 2, view[1] - (view[1] - view[0]) / 2));
    element("later").addEventListener("click", () => look(view[0] + (view[1] - view[0]) / 2, view[1] + (view[1] - view[0]) / 2));
    return {
      measure: () => {
        width = host.clientWidth;
      },
      draw,
      go: (second) => {
        at = second;
        around(second, data.closeup);
      },
    };
  })();

  // --- The trades ------------------------------------------------------------------------------------

  const tradeChart = (trade) => {
    const host = element(`trade-${trade.id}`);
    const told = element(`told-${trade.id}`);
    const path = columns(trade.path);
    const times = Array.from(path.millisecond, (value) => trade.from + value / 1000);
    const room = Math.max(5, (trade.to - trade.from) * 0.04);
    const view = [trade.from - room, trade.to + room];
    let here = times.length - 1;
    let isPointed = false;
    let width = 0;
    const show = () => {
      const level = (name) => optionPrice(path[name][here]);
      const change = signed((path.mark[here] / trade.entry - 1) * 100, 1, "%");
      told.textContent =
        `${clock(times[here])} mark ${level("mark")} (${change}) · peak ${level("peak")} · ` +
        `stop ${optionPrice(trade.stop)} · giveback ${level("hard_level")}, below VWAP ${level("vwap_level")}`;
      pointer.show(times[here], told.textContent, isPointed);
    };
    const draw = () => {
      const height = 230;
      const margin = { l: 52, r: 10, t: 8, b: 24 };
      const pixels = Math.max(50, width - margin.l - margin.r);
      const groups = buckets(times, 0, times.length, (view[1] - view[0]) / pixels);
      // A level stands until it moves: lines go across, then up or down.
      const level = (points, name, thickness, dash = "solid") =>
        trace(points, { line: { color: colour(name), width: thickness, dash, shape: "hv" } });
      const column = (name) => line(times, groups, path[name], Infinity);
      const point = (second, price, symbol, name) =>
        trace({ x: [second], y: [price] }, { mode: "markers", marker: { symbol, size: 12, color: colour(name) } });
      const traces = [
        level(column("vwap_level"), "tight", 1.4, "dot"),
        level(column("hard_level"), "hard", 1.4, "dash"),
        level({ x: [trade.from, trade.to], y: [trade.stop, trade.stop] }, "stop", 1.4),
        level(column("peak"), "peak", 1.4),
        level(column("mark"), "price", 1.6),
        point(trade.from, trade.entry, "triangle-up", "entry"),
      ];
      if (trade.exit !== null) traces.push(point(trade.to, trade.exit, "triangle-down", "exit"));
      const within = (span) => span.to > view[0] && span.from < view[1];
      const bands = ["blind", "down"].flatMap((name) => data[name].filter(within).map((span) => band(span, name)));
      const layout = frame(width, height, margin, {
        xaxis: timeAxis(view[0], view[1], 5),
        yaxis: axis({ tickformat: ".2f", tickprefix: "$", nticks: 5 }),
        shapes: bands,
      });
      const done = Plotly.react(host.firstElementChild, traces, layout, CONFIG);
      pointer.place(margin, width, height);
      show();
      return done;
    };
    const pointer = cursor(host, `Time of trade ${trade.id}`, () => view, {
      move: (at) => {
        isPointed = true;
        here = limited(firstFrom(times, at) - 1, 0, times.length - 1);
        show();
      },
      step: (way, far) => {
        isPointed = true;
        here = limited(here + way * (far ? 60 : 1), 0, times.length - 1);
        show();
      },
    });
    return {
      measure: () => {
        width = host.clientWidth;
      },
      draw,
    };
  };

  // --- The page --------------------------------------------------------------------------------------

  const charts = [session, ...data.trades.map(tradeChart)];
  // A browser that is never idle, as one that only takes a picture, would leave the last charts out.
  const idle = () =>
    new Promise((go) => {
      if (window.requestIdleCallback) requestIdleCallback(() => go(), { timeout: IDLE_WITHIN_MS });
      else setTimeout(go);
    });
  const drawn = async () => {
    readColours();
    for (const chart of charts) chart.measure();
    for (const chart of charts) {
      await chart.draw();
      await idle(); // the page can be read and scrolled before its last chart is drawn
    }
  };
  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-second]");
    if (link) session.go(Number(link.dataset.second)); // the link itself leads to the chart
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawn);
  let width = document.body.clientWidth;
  addEventListener("resize", () => {
    if (document.body.clientWidth === width) return; // a phone's address bar came or went
    width = document.body.clientWidth;
    drawn();
  });
  drawn().then(() => {
    document.documentElement.dataset.drawn = Math.round(performance.now());
  });
})();
