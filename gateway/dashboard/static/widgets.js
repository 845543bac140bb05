// Pieces that several views are made of.

import { h, put, svg } from "./dom.js";
import { short } from "./format.js";

/** A state as a word with a sign before it: `good`, `fair`, `bad`, `off`. Never by colour alone. */
export function badge(state, words) {
  const signs = { good: "✓", fair: "!", bad: "✕", off: "–" };
  return h("span", { class: `badge ${state}` }, h("span", { class: "sign", "aria-hidden": "true" }, signs[state]), h("span", {}, words));
}

/** How datagrams go. */
export function path(word) {
  const direct = ["LAN", "direct"].includes(word);
  return h("span", { class: `path ${direct ? "direct" : "around"}` }, word);
}

/** Text with a button that copies it. */
export function copyable(value, { shown = value, label = "Copy", block = false } = {}) {
  const button = h("button", { type: "button", class: "icon", title: label, "aria-label": `${label}: ${shown}` }, copyIcon());
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(value);
      notice("Copied.");
    } catch {
      notice("The browser does not let us copy; select the text instead.", "bad");
    }
  });
  return h("span", { class: block ? "copyable block" : "copyable" }, h("code", { title: value === shown ? undefined : value }, shown), button);
}

export const identity = (id) => copyable(id, { shown: short(id), label: "Copy the id" });

function copyIcon() {
  return svg(
    "svg",
    { viewBox: "0 0 16 16", width: 14, height: 14, "aria-hidden": "true" },
    svg("rect", { x: 5.5, y: 5.5, width: 8, height: 8, rx: 1.5, fill: "none", stroke: "currentColor" }),
    svg("path", { d: "M10.5 5.5v-2a1 1 0 0 0-1-1h-6a1 1 0 0 0-1 1v6a1 1 0 0 0 1 1h2", fill: "none", stroke: "currentColor" }),
  );
}

/** A line that goes away by itself; errors stay for longer. */
export function notice(words, state = "good") {
  const line = h("div", { class: `notice ${state}` }, h("span", {}, words));
  const gone = () => line.remove();
  line.append(h("button", { type: "button", class: "icon", "aria-label": "Dismiss", onclick: gone }, "×"));
  const notices = document.getElementById("notices");
  notices.append(line);
  while (notices.childElementCount > 4) notices.firstElementChild.remove();
  setTimeout(gone, state === "bad" ? 15_000 : 4_000);
}

/** Do something that may be refused; what the gateway says then is shown. Returns its result, or undefined. */
export async function attempt(action, button) {
  if (button) button.disabled = true;
  try {
    return await action();
  } catch (error) {
    notice(error.message, "bad");
    return undefined;
  } finally {
    if (button) button.disabled = false;
  }
}

/** A button that does something which may be refused. */
export function button(words, action, properties = {}) {
  const element = h("button", { type: "button", ...properties }, words);
  element.addEventListener("click", () => attempt(action, element));
  return element;
}

let fields = 0;

/** A labelled input with a hint. */
export function field(label, input, hint) {
  const id = (input.id ||= `field-${(fields += 1)}`);
  const about = hint ? h("small", { id: `${id}-hint` }, hint) : null;
  if (about) input.setAttribute("aria-describedby", about.id);
  return h("div", { class: "field" }, h("label", { for: id }, label), input, about);
}

export const choice = (options, value, properties = {}) => {
  const element = h("select", properties, ...options.map(([key, words]) => h("option", { value: key }, words)));
  element.value = value;
  return element;
};

/**
 * A modal dialog around a form. `submit` does what it is for, and closes it unless it throws, in which case the reason
 * is shown; it may return false to stay open.
 */
export function dialog(title, content, { submit, words = "Save", danger = false, close = "Cancel" } = {}) {
  const heading = h("h2", { id: `dialog-${(fields += 1)}` }, title);
  const problem = h("p", { class: "problem", role: "alert", hidden: true });
  const go = submit ? h("button", { type: "submit", class: danger ? "danger" : "primary" }, words) : null;
  const element = h("dialog", { "aria-labelledby": heading.id });
  const form = h(
    "form",
    { novalidate: true },
    heading,
    h("div", { class: "content" }, content),
    problem,
    h("div", { class: "buttons" }, h("button", { type: "button", onclick: () => element.close() }, close), go),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!submit || go.disabled) return;
    go.disabled = true;
    problem.hidden = true;
    try {
      if ((await submit()) !== false) element.close();
    } catch (error) {
      problem.textContent = error.message;
      problem.hidden = false;
    } finally {
      go.disabled = false;
    }
  });
  element.append(form);
  element.addEventListener("close", () => element.remove());
  document.body.append(element);
  element.showModal();
  (form.querySelector(".content input, .content textarea, .content select") ?? go ?? form.querySelector("button")).focus();
  return element;
}

/** Ask before something that cannot be undone by a click. */
export const confirm = (title, words, action, submit) => dialog(title, h("p", {}, words), { submit, words: action, danger: true });

/** A table whose cells name their column, for narrow screens; `caption` says what it is. */
export function table(caption, titles, { className = "" } = {}) {
  const body = h("tbody");
  const head = h("thead", {}, h("tr", {}, ...titles.map((title) => h("th", { scope: "col" }, title || h("span", { class: "hidden" }, "Actions")))));
  return { element: h("table", { class: className }, h("caption", { class: "hidden" }, caption), head, body), body };
}

/** A row; each cell is [title, ...children]. */
export const row = (...cells) => h("tr", {}, ...cells.map(([title, ...children]) => h("td", { "data-title": title }, ...children)));

/** A titled part of a view. */
export function panel(title, { actions = [], about = "", className = "" } = {}, ...content) {
  return h(
    "section",
    { class: `panel ${className}` },
    h("header", {}, h("h2", {}, title), h("div", { class: "actions" }, actions)),
    about ? h("p", { class: "about" }, about) : null,
    content,
  );
}

/** What stands where there is nothing yet, with what to do. */
export const empty = (words, ...more) => h("div", { class: "empty" }, h("p", {}, words), more);

/** A QR code of rows of 0 and 1, black on white in every theme, because not every scanner reads the reverse. */
export function qr(rows, label) {
  const size = rows.length;
  let d = "";
  rows.forEach((line, y) => {
    for (const run of line.matchAll(/1+/g)) d += `M${run.index} ${y}h${run[0].length}v1h-${run[0].length}z`;
  });
  return svg(
    "svg",
    { class: "qr", viewBox: `0 0 ${size} ${size}`, role: "img", "aria-label": label, "shape-rendering": "crispEdges" },
    svg("rect", { width: size, height: size, fill: "#fff" }),
    svg("path", { d, fill: "#000" }),
  );
}

/** Show a report that was asked for, or why there is none. */
export async function show(place, waiting, get, draw) {
  put(place, h("p", { class: "waiting", role: "status" }, waiting));
  try {
    put(place, draw(await get()));
  } catch (error) {
    put(place, h("p", { class: "problem", role: "alert" }, error.message));
  }
}
