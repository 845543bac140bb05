// What the gateway says, as it says it.

import { follow } from "../events.js";
import { h, put, text } from "../dom.js";
import { choice, panel } from "../widgets.js";

export default { name: "logs", title: "Logs", kinds: [], open };

const LINES = 2000;
const LEVELS = ["debug", "info", "warning", "error"];

/** The level of a line in either form: `2026-01-01 12:00:00 info …`, or JSON. */
export function levelOf(line) {
  const found = /^\S+ \S+ (\w+) |"level":\s*"(\w+)"/.exec(line);
  const word = (found?.[1] ?? found?.[2] ?? "").toLowerCase();
  return word === "critical" ? "error" : LEVELS.includes(word) ? word : "";
}

function open(main) {
  const lines = [];
  const filter = h("input", { type: "search", placeholder: "Filter", "aria-label": "Filter lines" });
  const level = choice([["debug", "everything"], ["info", "info and above"], ["warning", "warnings and errors"], ["error", "errors"]], "debug", { "aria-label": "Level" });
  const pause = h("button", { type: "button", "aria-pressed": "false" }, "Pause");
  const box = h("div", { class: "log", role: "log", tabindex: "0", "aria-label": "Log lines" });
  const count = h("p", { class: "about", role: "status" });
  let isPaused = false;
  let before = "info";
  put(main, h("h1", {}, "Logs"), panel("Log", { className: "logs", actions: [filter, level, pause] }, box, count));

  const fits = ([words, of]) => LEVELS.indexOf(of) >= LEVELS.indexOf(level.value) && (!filter.value || words.toLowerCase().includes(filter.value.toLowerCase()));
  const made = ([words, of]) => h("div", { class: `line ${of}` }, words);

  function tell() {
    text(count, `${box.childElementCount} of ${lines.length} lines${isPaused ? ", paused" : ""}`);
  }

  function all() {
    put(box, lines.filter(fits).map(made));
    box.scrollTop = box.scrollHeight;
    tell();
  }

  function add(words) {
    const added = words.map((line) => {
      before = levelOf(line) || before; // a traceback belongs to the line above it
      return [line, before];
    });
    lines.push(...added);
    lines.splice(0, Math.max(0, lines.length - LINES));
    if (isPaused) return tell();
    const atEnd = box.scrollTop + box.clientHeight >= box.scrollHeight - 30;
    box.append(...added.filter(fits).map(made));
    while (box.childElementCount > LINES) box.firstElementChild.remove();
    if (atEnd) box.scrollTop = box.scrollHeight;
    return tell();
  }

  pause.addEventListener("click", () => {
    isPaused = !isPaused;
    pause.setAttribute("aria-pressed", String(isPaused));
    text(pause, isPaused ? "Go on" : "Pause");
    if (!isPaused) all();
    else tell();
  });
  filter.addEventListener("input", all);
  level.addEventListener("change", all);
  let first = true;
  return follow("/events/logs?lines=400", (kind, words) => {
    if (kind === "lines") add(words);
    first = false;
  }, (connected) => {
    if (connected && !first) {
      lines.length = 0; // the last lines come again
      put(box);
    }
  });
}
