// Lines over time on a canvas: no library, no style but the page's own colours.

import { h } from "./dom.js";
import { SECONDS } from "./history.js";

const LABELS = 3;

/** The next round number above: 1, 2 or 5 times a power of ten. */
export function ceiling(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  for (const step of [1, 2, 5, 10]) if (value <= step * power) return step * power;
  return 10 * power;
}

/**
 * A plot of `lines`: [{name, colour, of(point)}], with `unit(value)` for the labels. `draw(points, now)` draws the last
 * minutes of them; points whose value is null leave a gap. What it shows is told in words by `label`.
 */
export function plot({ lines, unit, least, label }) {
  const canvas = h("canvas", { class: "plot", role: "img", "aria-label": label });
  const legend = h("div", { class: "legend", "aria-hidden": "true" });
  const values = lines.map(({ name, colour }) => {
    const value = h("b");
    legend.append(h("span", { class: `swatch ${colour}` }), h("span", {}, `${name} `, value));
    return value;
  });
  const element = h("figure", { class: "plotted" }, legend, canvas);
  let last = [[], 0];
  const again = () => draw(...last);
  const observer = new ResizeObserver(again);
  observer.observe(canvas);
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  scheme.addEventListener("change", again);
  document.addEventListener("themechange", again);

  function draw(points, now) {
    last = [points, now];
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    if (!width || !height) return;
    const ratio = window.devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const style = getComputedStyle(canvas);
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    context.font = `11px ${style.fontFamily}`;
    context.textBaseline = "middle";
    const most = Math.max(0, ...points.flatMap((point) => lines.map((line) => line.of(point) ?? 0)));
    const top = Math.max(least, ceiling(most || least));
    const left = 64;
    const right = width - 4;
    const upper = 8;
    const bottom = height - 18;
    const x = (at) => right - ((now - at) / SECONDS) * (right - left);
    const y = (value) => bottom - (value / top) * (bottom - upper);
    grid(context, style, { left, right, bottom, top, y, x, now });
    lines.forEach((line, index) => {
      const colour = style.getPropertyValue(`--${line.colour}`).trim();
      context.strokeStyle = colour;
      context.lineWidth = 1.5;
      context.lineJoin = "round";
      let open = [];
      const flush = () => {
        if (open.length) stroke(context, open, colour, bottom);
        open = [];
      };
      let before = null;
      for (const point of points) {
        const value = line.of(point);
        if (value === null || (before !== null && point.at - before > 5)) flush();
        if (value !== null && x(point.at) >= left) open.push([x(point.at), y(value)]);
        before = point.at;
      }
      flush();
      const newest = points.length ? line.of(points.at(-1)) : null;
      values[index].textContent = newest === null ? "–" : unit(newest);
    });
    canvas.dataset.points = String(points.length);
    canvas.dataset.most = String(Math.round(most));
    canvas.setAttribute("aria-label", `${label}: ${lines.map(({ name }, i) => `${name} ${values[i].textContent}`).join(", ")}`);
  }

  function grid(context, style, { left, right, bottom, top, y, now, x }) {
    context.fillStyle = style.getPropertyValue("--faint").trim();
    context.strokeStyle = style.getPropertyValue("--line").trim();
    context.lineWidth = 1;
    context.textAlign = "right";
    for (let step = 0; step <= LABELS - 1; step += 1) {
      const value = (top * step) / (LABELS - 1);
      const at = Math.round(y(value)) + 0.5;
      context.beginPath();
      context.moveTo(left, at);
      context.lineTo(right, at);
      context.stroke();
      context.fillText(unit(value), left - 6, at);
    }
    context.textAlign = "center";
    for (const minutes of [1, 2]) context.fillText(`${minutes} min ago`, x(now - minutes * 60), bottom + 11);
    context.textAlign = "right";
    context.fillText("now", right, bottom + 11);
  }

  return {
    element,
    draw,
    close() {
      observer.disconnect();
      scheme.removeEventListener("change", again);
      document.removeEventListener("themechange", again);
    },
  };
}

function stroke(context, places, colour, bottom) {
  context.beginPath();
  places.forEach(([x, y], index) => (index ? context.lineTo(x, y) : context.moveTo(x, y)));
  if (places.length === 1) context.lineTo(places[0][0] + 1, places[0][1]);
  context.stroke();
  context.lineTo(places.at(-1)[0], bottom);
  context.lineTo(places[0][0], bottom);
  context.closePath();
  context.globalAlpha = 0.1;
  context.fillStyle = colour;
  context.fill();
  context.globalAlpha = 1;
}

/** A small line without labels, such as in a row of a table. */
export function sparkline(of, colour, label) {
  const canvas = h("canvas", { class: "spark", role: "img", "aria-label": label });
  return {
    element: canvas,
    draw(points, now) {
      const width = canvas.clientWidth;
      const height = canvas.clientHeight;
      if (!width) return;
      const ratio = window.devicePixelRatio || 1;
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
      const context = canvas.getContext("2d");
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      const most = Math.max(1, ...points.map(of));
      context.strokeStyle = getComputedStyle(canvas).getPropertyValue(`--${colour}`).trim();
      context.lineWidth = 1.25;
      context.beginPath();
      points.forEach((point, index) => {
        const x = width - ((now - point.at) / SECONDS) * width;
        const y = height - 1 - (of(point) / most) * (height - 2);
        if (index) context.lineTo(x, y);
        else context.moveTo(x, y);
      });
      context.stroke();
    },
  };
}
