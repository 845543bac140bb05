// The records and the profile that our own name carries; anybody may read them.

import { ask } from "../api.js";
import { h, keyed, put, text } from "../dom.js";
import { on, report } from "../store.js";
import { attempt, badge, button, choice, copyable, dialog, empty, field, notice, panel, row, table } from "../widgets.js";

export default { name: "zone", title: "Zone", kinds: ["zone"], open };

const TYPES = [["TXT", "TXT: a text"], ["CNAME", "CNAME: another label of yours"], ["SRV", "SRV: priority weight port name"], ["HTTPS", "HTTPS: priority name parameters"]];

function open(main) {
  const { element, body } = table("Zone records", ["Label", "Type", "Value", ""]);
  const nothing = empty("No records yet. A CNAME gives a service another name; TXT says something.");
  const host = h("p", { class: "about" });
  const space = h("div", { class: "space" });
  const meter = h("meter", { min: 0, "aria-label": "Space used" });
  const words = h("small");
  space.append(meter, words);
  const problem = h("div", {});
  const facts = h("dl", { class: "facts" });
  const rows = keyed(body, {
    key: (one) => JSON.stringify(one),
    make: (one) => row(["Label", h("code", {}, one.label)], ["Type", one.type], ["Value", h("code", { class: "wrap" }, shown(one))], ["", h("div", { class: "tools" }, button("Change", () => edit(one)), button("Remove", () => remove(one), { class: "quiet danger" }))]),
  });
  put(
    main,
    h("h1", {}, "Zone"),
    panel("Records", { actions: [button("Add a record…", () => edit(), { class: "primary" })] }, host, problem, h("div", { class: "scroll" }, element, nothing), space),
    panel("Profile", { about: "What you say of yourself; anybody may read it.", actions: [button("Change…", profile)] }, facts),
  );
  const ends = [
    on("zone", (zone) => {
      if (typeof zone === "string") return;
      if (host.textContent.indexOf(zone.host) < 0) put(host, "Seen by others as LABEL.", copyable(zone.host));
      const records = zone.records ?? [];
      element.hidden = !records.length;
      nothing.hidden = records.length > 0;
      rows(records);
      meter.max = (zone.used_bytes ?? 0) + (zone.left_bytes ?? 0);
      meter.value = zone.used_bytes ?? 0;
      text(words, `${zone.used_bytes ?? 0} bytes used, ${zone.left_bytes ?? 0} left`);
      put(problem, zone.why_not ? badge("off", `not published: ${zone.why_not}`) : null, zone.left_out?.length ? badge("fair", `no room for ${zone.left_out.join(", ")}`) : null);
      const of = zone.profile ?? {};
      put(facts, [["Name", of.name], ["About", of.description], ["Picture", of.avatar], ["Links", (of.links ?? []).join("  ")]].map(([title, value]) => [h("dt", {}, title), h("dd", {}, value || "–")]));
    }),
  ];
  return () => ends.forEach((end) => end());
}

const shown = (one) => (one.value ?? []).map((word) => (/\s/.test(word) ? JSON.stringify(word) : word)).join(" ");

/** A text as the words that the gateway takes: one for TXT unless it is quoted, else what spaces part. */
export function split(type, value) {
  const quoted = [...value.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map((found) => found[1].replace(/\\(.)/g, "$1"));
  if (type === "TXT") return quoted.length ? quoted : [value];
  return value.split(/\s+/).filter(Boolean);
}

function told(change) {
  for (const warning of change.warnings ?? []) notice(warning, "fair");
  const undo = (change.undo ?? []).map((command) => ["overlay", ...command].map((word) => (/^[\w@:.,/=-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)).join(" "));
  notice(`Saved.${undo.length ? ` To undo: ${undo.join(" ; ")}` : ""}`);
}

function edit(one) {
  const label = h("input", { value: one?.label ?? "", autocomplete: "off", spellcheck: "false", placeholder: "blog" });
  const type = choice(TYPES, one?.type ?? "CNAME");
  const value = h("input", { value: one ? shown(one) : "", autocomplete: "off", spellcheck: "false", placeholder: "web" });
  const add = h("input", { type: "checkbox" });
  dialog(one ? "Change a record" : "Add a record", [
    field("Label", label, "@ is the name itself."),
    field("Type", type),
    field("Value", value, "Several texts of one TXT record each stand in double quotes."),
    h("label", { class: "check" }, add, " keep others of the same label and type beside it"),
  ], {
    submit: async () => {
      const changed = await ask("POST", "/zone/set", { label: label.value.trim(), type: type.value, value: split(type.value, value.value.trim()), add: add.checked });
      if (one && (one.label !== label.value.trim() || one.type !== type.value)) await ask("POST", "/zone/unset", { label: one.label, type: one.type });
      told(changed);
    },
  });
}

const remove = (one) => attempt(async () => told(await ask("POST", "/zone/unset", { label: one.label, type: one.type })));

function profile() {
  const of = report("zone")?.profile ?? {};
  const name = h("input", { value: of.name ?? "" });
  const description = h("input", { value: of.description ?? "" });
  const avatar = h("input", { value: of.avatar ?? "", inputmode: "url" });
  const links = h("textarea", { rows: 3, value: (of.links ?? []).join("\n") });
  dialog("Profile", [field("Name", name), field("About", description, "A line on what this is."), field("Picture", avatar, "The URL of one."), field("Links", links, "One in each line.")], {
    submit: async () =>
      told(await ask("POST", "/zone/profile", { name: name.value, description: description.value, avatar: avatar.value, links: links.value.split("\n").map((line) => line.trim()).filter(Boolean) })),
  });
}
