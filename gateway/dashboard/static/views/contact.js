// One endpoint: how it is reached, what moves, why that way, and what else would be tried.

import { ask } from "../api.js";
import { h, put, text } from "../dom.js";
import { ago, amount, milliseconds, rate } from "../format.js";
import { plot } from "../plot.js";
import { history, on, report } from "../store.js";
import { badge, button, choice, empty, identity, notice, panel, path, row, show, table } from "../widgets.js";
import { POLICIES, links, remove, rename, setPolicy } from "./contacts.js";
import { ladder } from "./network.js";

export default { name: "contact", title: "Contact", kinds: ["contacts"], open };

const TRACE = 200;

function open(main, [name]) {
  const title = h("h1", {}, name);
  const about = h("div", { class: "about-us" });
  const policy = choice(POLICIES, "", { "aria-label": "Paths that may be used" });
  policy.addEventListener("change", () => setPolicy(policy, name));
  const state = h("div", { class: "now", role: "status" });
  const traffic = plot({
    label: `Traffic with ${name}`,
    lines: [
      { name: "received", colour: "in", of: (point) => point.received },
      { name: "sent", colour: "out", of: (point) => point.sent },
    ],
    unit: rate,
    least: 1000,
  });
  const rtt = plot({ label: `Round trip to ${name}`, lines: [{ name: "round trip", colour: "rtt", of: (point) => point.rtt }], unit: milliseconds, least: 1 });
  const paths = h("div", {});
  const trace = h("div", {});
  const rungs = h("div", {}, h("p", { class: "about" }, "What would be tried for a direct path, by the network that the peer told of."));
  const who = h("div", {});
  let id = /^[a-z0-9]{52}$/.test(name) ? name : "";
  const isContact = () => report("contacts")?.some((one) => one.petname === name);
  const actions = h("div", { class: "actions" });
  put(
    main,
    h("nav", { "aria-label": "Breadcrumb", class: "crumbs" }, h("a", { href: "#/contacts" }, "Contacts"), " / ", name),
    h("div", { class: "headline" }, title, actions),
    about,
    panel("Connection", { actions: [h("label", { class: "inline" }, "Paths ", policy), button("Ping", ping, { class: "primary" })] }, state),
    h("div", { class: "columns even" }, panel("Throughput", {}, traffic.element), panel("Round trip", {}, rtt.element)),
    panel("Paths", {}, paths),
    panel("Why this way", { about: "What was decided about paths, the newest first." }, trace),
    h("div", { class: "columns even" },
      panel("Ladder", { actions: [button("Show", showLadder)] }, rungs),
      panel("What they say of themselves", { actions: [button("Ask", whois)] }, who)),
  );
  put(
    actions,
    button("Rename", () => rename(name, (now) => (location.hash = `#/contacts/${encodeURIComponent(now)}`))),
    button("Remove", () => remove(name, () => (location.hash = "#/contacts")), { class: "danger" }),
  );
  let asking = false;

  async function ping() {
    const pong = await ask("POST", "/ping", { name, timeout: 10 });
    const connecting = pong.connect_ms === null || pong.connect_ms === undefined ? "" : `, connected in ${milliseconds(pong.connect_ms)}`;
    notice(`Pong via ${pong.via || pong.address} in ${milliseconds(pong.rtt_ms)}${connecting}.`);
    await look();
  }

  async function look() {
    if (asking) return;
    asking = true;
    try {
      const found = await ask("GET", `/paths/${encodeURIComponent(name)}`);
      drawPaths(paths, found);
      drawTrace(trace, found.decisions ?? []);
    } catch (error) {
      put(paths, empty(error.message));
      put(trace, empty("Nothing yet: the trace begins with the first connection."));
    } finally {
      asking = false;
    }
  }

  function showLadder() {
    const request = { ladder: true, peer: name, max_age: 86400 };
    return show(rungs, "Asking…", () => ask("POST", "/netcheck", request), (found) => (found.ladders ?? []).map((one) => ladder(one, true)));
  }

  function whois() {
    return show(who, "Asking everybody who may know…", () => ask("GET", `/whois/${encodeURIComponent(name)}`), drawWhois);
  }

  const ends = [
    on("contacts", (contacts) => {
      if (typeof contacts === "string") return;
      const one = contacts.find((each) => each.petname === name || each.endpoint_id === name);
      actions.hidden = policy.disabled = !isContact();
      if (!one) {
        put(about, id ? h("span", {}, "No contact of yours: ", identity(id)) : h("span", {}, "Nobody is called so."));
        return;
      }
      id = one.endpoint_id;
      if (document.activeElement !== policy) policy.value = one.path_policy ?? "";
      const now = JSON.stringify(one);
      if (about.last === now) return;
      about.last = now;
      put(
        about,
        identity(one.endpoint_id),
        one.nickname ? h("span", {}, "calls itself ", h("strong", {}, one.nickname)) : null,
        h("span", {}, "services: ", links(one)),
        one.granted?.length ? h("span", {}, `may use ${one.granted.join(", ")} of ours by invite`) : null,
      );
    }),
    on("live", (live) => {
      const peer = live.peers.find((one) => one.endpoint_id === id);
      draw(peer);
      traffic.draw(history.of(id), history.moment);
      rtt.draw(history.of(id), history.moment);
      if (peer || !paths.childElementCount) look();
    }),
  ];

  function draw(peer) {
    if (!peer) {
      put(state, badge("off", "not connected"), h("small", {}, "Ping connects."));
      return;
    }
    const figures = [
      peer.where || "",
      `round trip ${milliseconds(peer.rtt === null || peer.rtt === undefined ? null : peer.rtt * 1000)}`,
      `${peer.streams} ${peer.streams === 1 ? "stream" : "streams"}`,
      `${amount(peer.received)} received`,
      `${amount(peer.sent)} sent`,
      peer.trying ? `trying ${peer.trying}` : "",
    ].filter(Boolean);
    if (!state.querySelector(".path") || state.querySelector(".path").textContent !== (peer.path ?? "direct")) put(state, path(peer.path ?? "direct"), h("span"));
    text(state.lastElementChild, figures.join(" · "));
  }

  return () => {
    ends.forEach((end) => end());
    traffic.close();
    rtt.close();
  };
}

function drawPaths(place, found) {
  const { element, body } = table("Paths", ["To", "Path", "Known as", "State", "Round trip", "Received", "Sent", "Answered"]);
  for (const one of found.paths ?? []) {
    const line = row(
      ["To", h("code", {}, one.address)],
      ["Path", path(one.path)],
      ["Known as", one.kind],
      ["State", badge(one.selected ? "good" : one.state === "usable" ? "fair" : "off", one.selected ? `${one.state}, in use` : one.state), one.lossy ? h("small", {}, "lossy") : null],
      ["Round trip", milliseconds(one.rtt_ms)],
      ["Received", amount(one.bytes_in ?? 0)],
      ["Sent", amount(one.bytes_out ?? 0)],
      ["Answered", ago(one.answered_ago)],
    );
    if (one.selected) line.classList.add("selected");
    body.append(line);
  }
  const own = (found.own_candidates ?? []).map((one) => h("li", {}, h("code", {}, one.address), ` ${one.path}, ${one.kind}`));
  const details = h("details", { open: place.querySelector("details")?.open }, h("summary", {}, `Where they were told that we are (${own.length})`), h("ul", { class: "plain" }, own));
  const focused = place.contains(document.activeElement) && document.activeElement.tagName === "SUMMARY";
  put(place, h("p", { class: "about" }, `Which paths may be used: ${found.policy}.`), h("div", { class: "scroll" }, element), details);
  if (focused) details.firstElementChild.focus();
}

function drawTrace(place, decisions) {
  const newest = decisions.slice(-TRACE).reverse();
  put(
    place,
    newest.length
      ? h("ol", { class: "trace", tabindex: "0", "aria-label": "Decisions" }, newest.map((one) => h("li", {}, h("time", {}, ago(one.ago)), h("div", {}, h("span", {}, one.what), one.why ? h("span", { class: "why" }, ` ${one.why}`) : null, one.times > 1 ? h("small", {}, `${one.times} times`) : null))))
      : empty("Nothing yet."),
  );
}

function drawWhois(found) {
  const profile = found.profile ?? {};
  const rows = [
    ["Calls itself", found.nickname],
    ["Name", profile.name],
    ["About", profile.description],
    ["Links", (profile.links ?? []).join("  ")],
    ["Public services", (found.services ?? []).join(", ")],
    ["Beacons", (found.relays ?? []).join("  ")],
    ["Addresses", (found.addresses ?? []).join("  ")],
    ["By the word of", found.source ? `${found.source}${found.age === null || found.age === undefined ? "" : `, signed ${ago(found.age)}`}` : "nobody: there is no record"],
  ].filter(([, value]) => value);
  return h("dl", { class: "facts" }, rows.map(([title, value]) => [h("dt", {}, title), h("dd", {}, value)]));
}
