// The newest of each report, and who wants to know.

import { follow } from "./events.js";
import { History } from "./history.js";

const reports = new Map();
const failures = new Map();
const listeners = new Map();
let stop = null;
let watched = "";

export const history = new History();
export const report = (kind) => reports.get(kind);
export const failure = (kind) => failures.get(kind);

/** Call back now, if there is one already, and for each new report of a kind; returns a function that ends it. */
export function on(kind, callback) {
  if (!listeners.has(kind)) listeners.set(kind, new Set());
  listeners.get(kind).add(callback);
  if (reports.has(kind)) callback(reports.get(kind));
  return () => listeners.get(kind).delete(callback);
}

function tell(kind, value) {
  for (const callback of listeners.get(kind) ?? []) callback(value);
}

/** Follow these kinds, besides what moves and the status. */
export function watch(kinds) {
  const wanted = [...new Set(["status", ...kinds])].sort().join(",");
  if (wanted === watched && stop) return;
  watched = wanted;
  stop?.();
  stop = follow(`/events?watch=${encodeURIComponent(wanted)}`, received, (connected) => tell("connected", connected));
}

export function close() {
  stop?.();
  stop = null;
  watched = "";
  reports.clear();
}

function received(kind, data) {
  if (kind.endsWith("-failed")) {
    failures.set(kind.slice(0, -7), data.error);
    tell(kind, data.error);
    return;
  }
  if (kind === "live" && !history.add(data)) return; // one that we had before
  failures.delete(kind);
  reports.set(kind, data);
  tell(kind, data);
}
