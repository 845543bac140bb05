// What others may reach here, and who may.

import { ask } from "../api.js";
import { h, keyed, put, text } from "../dom.js";
import { on, report } from "../store.js";
import { badge, button, confirm, copyable, dialog, empty, field, notice, panel, row, table } from "../widgets.js";
import { makeInvite } from "./invites.js";

export default { name: "services", title: "Services", kinds: ["services", "contacts"], open };

function open(main) {
  const { element, body } = table("Services", ["Service", "Target", "Offered as", "Who may use it", ""]);
  const nothing = empty("Nothing is offered yet. Expose a local server, then invite somebody to use it.");
  const rows = keyed(body, { key: (one) => one.name, make: makeRow, update: updateRow });
  put(
    main,
    h("h1", {}, "Services"),
    panel("Offered to others", { about: "Nobody may use a service until you say who.", actions: [button("Expose…", () => edit(), { class: "primary" })] }, h("div", { class: "scroll" }, element, nothing)),
  );
  const ends = [
    on("services", (services) => {
      if (typeof services === "string") return;
      element.hidden = !services.length;
      nothing.hidden = services.length > 0;
      rows(services);
    }),
  ];
  return () => ends.forEach((end) => end());
}

function makeRow(one) {
  const current = () => report("services")?.find((each) => each.name === one.name) ?? one;
  return row(
    ["Service", h("strong", {}, one.name), h("small")],
    ["Target", h("code")],
    ["Offered as"],
    ["Who may use it"],
    ["", h("div", { class: "tools" },
      button("Invite", () => makeInvite([one.name])),
      button("Change", () => edit(current())),
      button("Unexpose", () => unexpose(one.name), { class: "quiet danger" }))],
  );
}

function updateRow(made, one) {
  const [name, target, offered, who] = made.children;
  text(name.querySelector("small"), one.origin === "configuration" ? "in gateway.toml" : "");
  text(target.firstElementChild, one.settings.target);
  put(offered, h("div", {}, `${one.port}/${(one.settings.protocols ?? ["tcp"]).join("+")}`), one.url ? copyable(one.url, { block: true }) : null);
  put(who, whoMay(one), (one.warnings ?? []).map((words) => h("small", { class: "warning" }, words)));
}

function whoMay(one) {
  if (one.settings.public) return badge("fair", "everybody who knows our id");
  const allowed = [...(one.settings.allow ?? []).map(shortened), ...(one.invited ?? []).map((who) => `${who} (by invite)`)];
  return allowed.length ? h("span", { class: "tags" }, allowed.map((who) => h("span", { class: "tag" }, who))) : badge("off", "nobody yet");
}

const shortened = (who) => who.replace(/[a-z0-9]{52}$/, (id) => report("contacts")?.find((one) => one.endpoint_id === id)?.petname ?? `${id.slice(0, 8)}…`);

function unexpose(name) {
  confirm(`Take ${name} away?`, `Streams that use ${name} end. The server behind it is not touched.`, "Unexpose", async () => {
    const was = await ask("DELETE", `/services/${encodeURIComponent(name)}`);
    notice(`${was.name} is no longer offered.`);
  });
}

/** Expose a service, or change one: who may use it is part of it. */
function edit(one) {
  const settings = one?.settings ?? {};
  const name = h("input", { value: one?.name ?? "", autocomplete: "off", spellcheck: "false", placeholder: "web", readonly: Boolean(one) });
  const target = h("input", { value: settings.target ?? "", autocomplete: "off", spellcheck: "false", placeholder: "127.0.0.1:8000" });
  const port = h("input", { value: settings.port ? String(settings.port) : "", inputmode: "numeric", autocomplete: "off", placeholder: "that of the name, else of the target" });
  const protocols = settings.protocols ?? ["tcp"];
  const tcp = h("input", { type: "checkbox", checked: protocols.includes("tcp") });
  const udp = h("input", { type: "checkbox", checked: protocols.includes("udp") });
  const allow = new Set(settings.allow ?? []);
  const anybody = h("input", { type: "checkbox", checked: settings.public });
  const contacts = h("input", { type: "checkbox", checked: allow.has("contacts") });
  const names = h("div", { class: "choices" });
  const petnames = new Map((report("contacts") ?? []).map((each) => [each.endpoint_id, each.petname]));
  const groups = new Set((report("contacts") ?? []).flatMap((each) => each.groups ?? []));
  const boxes = new Map();
  const known = [...[...groups].sort().map((group) => [`group:${group}`, `group ${group}`]), ...[...petnames].map(([id, petname]) => [id, petname])];
  for (const [entry, words] of known.slice(0, 200)) {
    const petname = petnames.get(entry);
    const box = h("input", { type: "checkbox", checked: allow.has(entry) || (petname && allow.has(petname)) });
    boxes.set(entry, box);
    allow.delete(entry);
    allow.delete(petname);
    names.append(h("label", { class: "check" }, box, " ", words));
  }
  allow.delete("contacts");
  const others = h("input", { value: [...allow].join(" "), autocomplete: "off", spellcheck: "false", placeholder: "ids, group:NAME, contacts-of:NAME" });
  dialog(one ? `Change ${one.name}` : "Expose a service", [
    field("Name", name, "Others open it as NAME.you.overlay."),
    field("Target", target, "host:port, a port of this machine, unix:PATH, or a range such as 5000-5100."),
    h("div", { class: "pair" }, field("Port others use", port),
      h("fieldset", {}, h("legend", {}, "Protocol"), h("label", { class: "check" }, tcp, " TCP"), h("label", { class: "check" }, udp, " UDP"))),
    h("fieldset", {}, h("legend", {}, "Who may use it"),
      h("label", { class: "check" }, contacts, " all contacts"),
      names,
      h("label", { class: "check" }, anybody, " everybody who knows this endpoint's id"),
      field("Others", others)),
  ], {
    words: one ? "Save" : "Expose",
    submit: async () => {
      const list = [...(contacts.checked ? ["contacts"] : []), ...[...boxes].filter(([, box]) => box.checked).map(([entry]) => entry), ...others.value.split(/[\s,]+/).filter(Boolean)];
      const done = await ask("POST", "/services", {
        name: name.value.trim(),
        settings: {
          ...settings,
          target: target.value.trim(),
          port: Number(port.value.trim() || 0),
          protocols: [...(tcp.checked ? ["tcp"] : []), ...(udp.checked ? ["udp"] : [])],
          allow: list,
          public: anybody.checked,
        },
      });
      notice(`${done.name} is offered as port ${done.port}. To undo: ${done.undo || `overlay unexpose ${done.name}`}`);
    },
  });
}
