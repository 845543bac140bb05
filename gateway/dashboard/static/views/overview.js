// What works, what moves, and with whom.

import { ask } from "../api.js";
import { h, keyed, put, text } from "../dom.js";
import { amount, beacon, duration, milliseconds, rate } from "../format.js";
import { plot, sparkline } from "../plot.js";
import { history, on } from "../store.js";
import { badge, copyable, empty, identity, panel, path, row, table } from "../widgets.js";

export default { name: "", title: "Overview", kinds: [], open };

function open(main) {
  const about = h("div", { class: "about-us" });
  const channels = h("ul", { class: "channels" });
  const warnings = h("ul", { class: "warnings" });
  const traffic = plot({
    label: "Traffic with everybody",
    lines: [
      { name: "received", colour: "in", of: (point) => point.received },
      { name: "sent", colour: "out", of: (point) => point.sent },
    ],
    unit: rate,
    least: 1000,
  });
  const process = h("dl", { class: "figures" });
  const connections = peers();
  put(
    main,
    h("h1", {}, "Overview"),
    about,
    warnings,
    h("div", { class: "columns" },
      panel("What works", { className: "works" }, channels),
      h("div", { class: "stack" },
        panel("Traffic", {}, traffic.element),
        panel("Process", {}, process))),
    panel("Connected", {}, connections.element),
  );
  let networkIs = { state: "off", words: "being measured…" };
  let network = null;
  ask("POST", "/netcheck", { max_age: 86400 }).then(
    (report) => {
      const blocked = report.udp_blocked;
      networkIs = { state: blocked ? "bad" : "good", words: blocked ? "UDP is blocked here" : report.network_class };
    },
    (error) => (networkIs = { state: "off", words: error.message.replace(/^netcheck: /, "") }),
  ).then(() => network && draw(network));
  const showChannels = keyed(channels, {
    key: (one) => one.name,
    make: (one) => h("li", {}, h("span", { class: "name" }, one.name), h("span", { class: "what" })),
    update: (element, one) => put(element.lastElementChild, badge(one.state, one.words), one.detail ? h("small", {}, one.detail) : null, one.copy ? copyable(one.copy, { block: true }) : null),
  });
  const showWarnings = keyed(warnings, { key: (words) => words, make: (words) => h("li", {}, badge("fair", words)) });
  let drawn = "";

  function draw(status) {
    network = status;
    const identityIs = `${status.endpoint_id}${status.nickname}`;
    if (drawn !== identityIs) {
      drawn = identityIs;
      put(about, h("span", {}, "This endpoint is ", h("strong", {}, status.nickname), ", "), identity(status.endpoint_id));
    }
    showWarnings(status.warnings ?? []);
    showChannels(channelsOf(status, networkIs));
  }

  const ends = [
    on("status", (status) => typeof status === "string" || draw(status)),
    on("live", (live) => {
      traffic.draw(history.of(""), history.moment);
      connections.show(live.peers);
      figures(process, live);
    }),
  ];
  return () => {
    ends.forEach((end) => end());
    traffic.close();
  };
}

/** Each way in or out, with whether it works. */
export function channelsOf(status, networkIs) {
  const listener = (name) => status.listeners.find((one) => one.name === name);
  const door = (name, words, detail, copy) => {
    const found = listener(name);
    if (!found || !found.enabled) return { name: words, state: "off", words: "off" };
    if (!found.addresses.length) return { name: words, state: "bad", words: found.note || "does not listen" };
    return { name: words, state: "good", words: found.addresses.join(", "), detail: found.note || detail, copy: copy?.(found.addresses[0]) };
  };
  return [
    door("proxy", "Proxy", "SOCKS4, 4a, 5 and HTTP"),
    door("dns", "DNS", "names under .overlay"),
    door("dashboard", "Automatic proxy configuration", "", (address) => `http://${address}/proxy.pac`),
    door("tunnels", "Tunnels", status.quic_engine),
    lan(status.local_network),
    dht(status.dht),
    ...(status.beacons?.length ? status.beacons.map(beaconChannel) : [{ name: "Beacon", state: "off", words: "none", detail: "name one with: overlay up --beacon URL" }]),
    mapping("Port mapping", status.port_mapping),
    ...(status.pinhole?.external ? [mapping("IPv6 pinhole", status.pinhole)] : []),
    { name: "Network", state: networkIs.state, words: networkIs.words },
    ...(status.lending ? [{ name: "Lent relay", state: "good", words: `${status.lending.connected} of ${status.lending.most} connected`, detail: `${status.lending.url}, ${amount(status.lending.relayed_bytes)} relayed` }] : []),
  ];
}

function lan(report) {
  const name = "Local network";
  if (!report) return { name, state: "off", words: "off" };
  if (!report.interfaces?.length) return { name, state: "off", words: "none", detail: "our tunnels listen on no network that others share" };
  const ways = [["multicast DNS", report.mdns, report.mdns_problem], ["our own datagrams", report.fallback, report.fallback_problem]];
  const works = ways.filter(([, versions]) => versions?.length);
  const detail = ways.map(([way, versions, problem]) => `${way}: ${versions?.length ? versions.map((v) => `IPv${v}`).join(", ") : problem || "off"}`).join("; ");
  return { name, state: works.length ? "good" : "bad", words: `${report.interfaces.join(", ")}; ${report.heard ?? 0} heard`, detail };
}

function dht(report) {
  const name = "DHT";
  if (!report || !report.enabled) return { name, state: "off", words: "off", detail: report?.problem };
  const stored = report.stored === null || report.stored === undefined ? "" : `our record on ${report.stored} nodes`;
  return { name, state: report.problem ? "fair" : report.nodes ? "good" : "fair", words: `${report.nodes} nodes`, detail: report.problem || stored };
}

function beaconChannel(report) {
  const state = report.state === "connected" ? "good" : report.state === "connecting" ? "fair" : "bad";
  const words = report.seconds ? `${report.state} for ${duration(report.seconds)}` : report.state;
  const detail = [report.error, report.home ? "home" : "", report.observed ? `sees us at ${report.observed}` : "", report.relays === false ? "relays nothing" : ""].filter(Boolean).join("; ");
  return { name: `Beacon ${beacon(report.url)}`, state, words, detail };
}

function mapping(name, report) {
  if (!report) return { name, state: "off", words: "off" };
  if (!report.external) return { name, state: report.router ? "fair" : "off", words: report.problem || (report.router ? "being asked for" : "no router to ask"), detail: report.router ? `router ${report.router}` : "" };
  const state = report.state === "verified" ? "good" : report.state === "dead" ? "bad" : "fair";
  return { name, state, words: `${report.external}, ${report.state}`, detail: `${report.protocol} at ${report.router}${report.problem ? `: ${report.problem}` : ""}` };
}

function figures(place, live) {
  const { process } = live;
  const before = place.last;
  place.last = { moment: live.moment, cpu: process.cpu_seconds };
  const busy = before && live.moment > before.moment ? (process.cpu_seconds - before.cpu) / (live.moment - before.moment) : null;
  if (busy !== null) place.busy = busy;
  const rows = [
    ["Memory", process.rss === null || process.rss === undefined ? "–" : amount(process.rss)],
    ["Processor", place.busy === undefined ? "–" : `${(place.busy * 100).toFixed(1)} %`],
    ["Open files", process.descriptors_most ? `${process.descriptors} of ${process.descriptors_most}` : `${process.descriptors ?? "–"}`],
    ["Tasks", String(process.tasks)],
    ["Streams", String(live.streams)],
    ["UDP flows", String(live.flows)],
    ["Received", amount(live.received)],
    ["Sent", amount(live.sent)],
  ];
  if (!place.childElementCount) put(place, ...rows.map(([name]) => h("div", {}, h("dt", {}, name), h("dd"))));
  rows.forEach(([, value], index) => text(place.children[index].lastElementChild, value));
}

/** The endpoints that are connected, each with what moves. */
function peers() {
  const nobody = empty("Nobody is connected. Connections are made when somebody is reached, or reaches us.");
  const { element, body } = table("Connected endpoints", ["With", "Path", "Round trip", "Received", "Sent", "Traffic", "Streams", "Up for"], { className: "peers" });
  const lines = new WeakMap();
  const rows = keyed(body, {
    key: (peer) => peer.endpoint_id,
    make: (peer) => {
      const line = sparkline((point) => point.received + point.sent, "in", "Traffic of the last minutes");
      const made = row(["With"], ["Path"], ["Round trip"], ["Received"], ["Sent"], ["Traffic", line.element], ["Streams"], ["Up for"]);
      lines.set(made, line);
      return made;
    },
    update: (made, peer) => {
      const now = history.now(peer.endpoint_id);
      const name = peer.petname || `${peer.endpoint_id.slice(0, 8)}…`;
      const link = made.children[0].firstElementChild;
      if (!link || link.textContent !== name) put(made.children[0], h("a", { href: `#/contacts/${encodeURIComponent(peer.petname || peer.endpoint_id)}` }, name));
      put(made.children[1], path(peer.path ?? "direct"), h("small", {}, (peer.where ?? "").replace(/ \(.*\)$/, "")), peer.trying ? h("small", {}, `trying ${peer.trying}`) : null);
      text(made.children[2], milliseconds(peer.rtt === null || peer.rtt === undefined ? null : peer.rtt * 1000));
      text(made.children[3], rate(now.received));
      text(made.children[4], rate(now.sent));
      lines.get(made).draw(history.of(peer.endpoint_id), history.moment);
      text(made.children[6], String(peer.streams + peer.flows));
      text(made.children[7], duration(peer.seconds));
    },
  });
  return {
    element: h("div", { class: "scroll" }, element, nobody),
    show(found) {
      element.hidden = !found.length;
      nobody.hidden = found.length > 0;
      rows([...found].sort((a, b) => (a.petname || "~").localeCompare(b.petname || "~")).slice(0, 200));
    },
  };
}
