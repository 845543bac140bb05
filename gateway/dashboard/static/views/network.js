// What this network does to us, and what would be tried because of it.

import { ask } from "../api.js";
import { h, put } from "../dom.js";
import { ago, beacon, duration, percent } from "../format.js";
import { on } from "../store.js";
import { attempt, badge, button, empty, panel, row, show, table } from "../widgets.js";

export default { name: "network", title: "Network", kinds: ["published"], open };

function open(main) {
  const found = h("div", {});
  const ladders = h("div", {}, empty("Measured with the network check."));
  const records = h("div", {});
  const lifetime = h("input", { type: "checkbox" });
  const go = button("Measure now", () => measure(0), { class: "primary" });
  put(
    main,
    h("h1", {}, "Network"),
    panel("Network check", {
      about: "What the router or firewall between here and the world does. It asks the STUN servers of our beacon, with some forty small datagrams.",
      actions: [h("label", { class: "check" }, lifetime, " how long mappings live (three minutes)"), go],
    }, found),
    panel("Ladders", { about: "What is tried for a direct path with a peer in each kind of network, in this order." }, ladders),
    panel("Our records", { about: "What is told of us, and where." }, records),
  );

  async function measure(age) {
    await show(found, lifetime.checked ? "Measuring; this takes up to three minutes…" : "Measuring…", () => ask("POST", "/netcheck", { max_age: age, ladder: true, lifetime: lifetime.checked }), (report) => {
      put(ladders, (report.ladders ?? []).map((one) => ladder(one)));
      return findings(report);
    });
  }

  attempt(() => measure(86400), go);
  const ends = [on("published", (published) => typeof published === "string" || put(records, published.map(record)))];
  return () => ends.forEach((end) => end());
}

function findings(report) {
  const { element, body } = table("Findings", ["What", "Found", "That means"]);
  for (const one of report.findings ?? []) body.append(row(["What", one.what], ["Found", h("strong", {}, one.value)], ["That means", one.meaning || "–"]));
  const verdict = report.udp_blocked === false ? badge("good", `UDP works; ${report.network_class}`) : report.udp_blocked ? badge("bad", "UDP is blocked") : badge("off", "not known");
  const remedies = report.remedies ?? [];
  return [
    h("p", { class: "verdict" }, verdict, h("small", {}, `measured ${ago(report.age ?? 0)} in ${(report.seconds ?? 0).toFixed(1)} s`)),
    remedies.length ? h("ul", { class: "remedies" }, remedies.map((words) => h("li", {}, words))) : null,
    h("div", { class: "scroll" }, element),
  ];
}

/** What would be tried with one kind of peer. */
export function ladder(one, open = false) {
  const { element, body } = table(`With ${one.peer}`, ["Tried", "Chance", "Takes at most", "Why"]);
  for (const rung of one.rungs) {
    const price = rung.seconds ? `${Math.round(rung.seconds)} s, ${rung.datagrams} datagrams` : rung.is_direct ? "pings" : "–";
    body.append(row(["Tried", h("strong", {}, rung.strategy)], ["Chance", h("span", { class: "chance" }, h("meter", { min: 0, max: 1, value: rung.success, "aria-hidden": "true" }), percent(rung.success))], ["Takes at most", price], ["Why", rung.why]));
  }
  const best = one.rungs[0];
  return h("details", { class: "ladder", open }, h("summary", {}, h("strong", {}, one.peer), best ? h("small", {}, ` first ${best.strategy}, ${one.rungs.length} in all`) : null), h("div", { class: "scroll" }, element));
}

function record(one) {
  const places = (one.places ?? []).map((place) =>
    h("li", {}, badge(place.problem ? "bad" : place.published_ago === null || place.published_ago === undefined ? "off" : "good", beacon(place.place)),
      h("small", {}, place.problem || (place.published_ago === null || place.published_ago === undefined ? "not yet" : `put there ${ago(place.published_ago)}, good for ${duration(place.good_for)}`))));
  const tells = [...(one.relays ?? []).map((url) => `beacon ${beacon(url)}`), ...(one.services ?? []).map((name) => `service ${name}`), ...(one.addresses ?? []), ...(one.zone ?? [])];
  return h("div", { class: "record" },
    h("h3", {}, one.scope, h("small", {}, one.why_not ? "" : `${one.bytes} of 996 bytes`)),
    one.why_not ? badge("off", one.why_not) : [h("p", {}, `Tells: ${tells.join(", ") || "that we exist"}`), h("ul", { class: "plain" }, places.length ? places : h("li", {}, badge("off", "nowhere yet")))]);
}
