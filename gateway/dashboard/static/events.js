// Server-sent events, read by fetch: EventSource cannot show the session's key in a header.

import { HEADER, key, request } from "./api.js";

const FIRST_WAIT = 500;
const LONGEST_WAIT = 10_000;

/**
 * Follow a stream while the page is looked at. `onEvent(kind, data)` for each event, `onState(connected)` when that changes.
 * Returns a function that ends it.
 */
export function follow(path, onEvent, onState = () => {}) {
  let attempt = null;
  let wait = FIRST_WAIT;
  let timer = 0;
  let isOver = false;

  async function run() {
    const controller = new AbortController();
    attempt = controller;
    try {
      const reply = await fetch(path, { headers: { [HEADER]: key() }, signal: controller.signal, cache: "no-store" });
      if (reply.status === 401) {
        request("GET", "/v1/services").catch(() => {}); // tells everybody that we are logged out
        return;
      }
      if (!reply.ok) throw new Error(String(reply.status));
      onState(true);
      wait = FIRST_WAIT;
      await read(reply.body, onEvent);
    } catch (error) {
      if (controller.signal.aborted) return;
    }
    if (attempt !== controller || isOver) return;
    attempt = null;
    onState(false);
    timer = setTimeout(start, wait);
    wait = Math.min(wait * 2, LONGEST_WAIT);
  }

  function start() {
    clearTimeout(timer);
    if (!isOver && !attempt && !document.hidden) run();
  }

  function stop() {
    clearTimeout(timer);
    attempt?.abort();
    attempt = null;
  }

  // A hidden page holds none of the few connections that a browser makes to one place.
  const look = () => (document.hidden ? stop() : start());
  document.addEventListener("visibilitychange", look);
  start();
  return () => {
    isOver = true;
    document.removeEventListener("visibilitychange", look);
    stop();
  };
}

/** The events of a stream (WHATWG HTML §9.2.6), as our gateway writes them. */
export async function read(stream, onEvent) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let pending = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    pending += value;
    let end;
    while ((end = pending.indexOf("\n\n")) >= 0) {
      const event = pending.slice(0, end);
      pending = pending.slice(end + 2);
      let kind = "message";
      let data = "";
      for (const line of event.split("\n")) {
        if (line.startsWith("event: ")) kind = line.slice(7);
        else if (line.startsWith("data: ")) data += line.slice(6);
      }
      if (data) onEvent(kind, JSON.parse(data));
    }
  }
}
