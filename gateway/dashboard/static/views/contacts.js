// The address book: whom we know by a name of our own.

import { ask } from "../api.js";
import { h, keyed, put, text } from "../dom.js";
import { milliseconds, when } from "../format.js";
import { history, on, report } from "../store.js";
import { attempt, badge, button, choice, confirm, dialog, empty, field, identity, notice, panel, path, row, table } from "../widgets.js";

export default { name: "contacts", title: "Contacts", kinds: ["contacts", "status"], open };

export const POLICIES = [
  ["", "default"],
  ["auto", "any path"],
  ["direct-only", "direct only"],
  ["relay-only", "relay only"],
  ["no-lan", "not on the LAN"],
];

function open(main) {
  const filter = h("input", { type: "search", placeholder: "Filter", "aria-label": "Filter contacts" });
  const { element, body } = table("Contacts", ["Name", "Now", "Their services", "Paths", "Groups", ""]);
  const nobody = empty("You have no contacts yet. Take an invite or a ticket that somebody gave you, or make an invite for them.");
  const count = h("p", { class: "about", role: "status" });
  const rows = keyed(body, { key: (one) => one.petname, make: makeRow, update: updateRow });
  put(
    main,
    h("h1", {}, "Contacts"),
    panel(
      "Address book",
      { actions: [filter, button("Add by id…", addById), button("Join…", join, { class: "primary" })] },
      h("div", { class: "scroll" }, element, nobody),
      count,
    ),
  );

  function draw() {
    const all = report("contacts") ?? [];
    const words = filter.value.trim().toLowerCase();
    const found = all.filter((one) => !words || `${one.petname} ${one.endpoint_id} ${one.nickname} ${(one.groups ?? []).join(" ")}`.toLowerCase().includes(words));
    const live = new Map((report("live")?.peers ?? []).map((peer) => [peer.endpoint_id, peer]));
    rows(found.slice(0, 300).map((one) => ({ ...one, live: live.get(one.endpoint_id) && now(live.get(one.endpoint_id)) })));
    element.hidden = !found.length;
    nobody.hidden = all.length > 0;
    text(count, found.length === all.length ? (all.length > 300 ? `The first 300 of ${all.length}; filter for others.` : "") : `${found.length} of ${all.length}`);
  }

  filter.addEventListener("input", draw);
  const ends = [on("contacts", draw), on("live", draw)];
  return () => ends.forEach((end) => end());
}

const now = (peer) => ({ path: peer.path ?? "direct", rtt: peer.rtt === null || peer.rtt === undefined ? null : Number((peer.rtt * 1000).toPrecision(2)) });

function makeRow(one) {
  const policy = choice(POLICIES, one.path_policy ?? "", { "aria-label": `Paths to ${one.petname}` });
  policy.addEventListener("change", () => setPolicy(policy, one.petname));
  const name = h("a", { href: `#/contacts/${encodeURIComponent(one.petname)}` }, one.petname);
  return row(
    ["Name", h("div", { class: "named" }, name, h("small", {})), identity(one.endpoint_id)],
    ["Now"],
    ["Their services"],
    ["Paths", policy],
    ["Groups"],
    ["", h("div", { class: "tools" }, button("Rename", () => rename(one.petname)), button("Remove", () => remove(one.petname), { class: "quiet danger" }))],
  );
}

function updateRow(made, one) {
  const [name, state, services, policy, groups] = made.children;
  const called = one.nickname && one.nickname !== one.petname ? `calls itself ${one.nickname}` : "";
  text(name.querySelector("small"), [called, ...(one.warnings ?? [])].filter(Boolean).join("; "));
  put(state, one.live ? [path(one.live.path), h("small", {}, milliseconds(one.live.rtt))] : one.connected === false ? badge("off", "not connected") : badge("off", "not tried"));
  put(services, links(one));
  const select = policy.firstElementChild;
  if (document.activeElement !== select) select.value = one.path_policy ?? "";
  text(groups, (one.groups ?? []).join(", ") || "–");
}

/** Names of services, those of the web as links: they work where the browser uses our proxy, or the system our DNS. */
export function links(one) {
  const services = one.services ?? [];
  if (!services.length) return "–";
  return h("span", { class: "services" }, services.map((service) => {
    const host = `${service}.${one.petname}.overlay`;
    const web = /^(web|http|www|https)$/.test(service);
    const url = `${service === "https" ? "https" : "http"}://${host}/`;
    return web ? h("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, service) : h("span", { title: host }, service);
  }));
}

export async function setPolicy(select, petname) {
  const done = await attempt(() => ask("PUT", `/contacts/${encodeURIComponent(petname)}/path`, { policy: select.value }));
  if (done) notice(`Paths to ${petname}: ${POLICIES.find(([key]) => key === select.value)[1]}.`);
  else select.value = report("contacts")?.find((one) => one.petname === petname)?.path_policy ?? "";
}

export function rename(petname, then = () => {}) {
  const input = h("input", { value: petname, autocomplete: "off", spellcheck: "false" });
  dialog(`Rename ${petname}`, field("New name", input, "What it may use here stays as it is."), {
    words: "Rename",
    submit: async () => {
      const done = await ask("PATCH", `/contacts/${encodeURIComponent(petname)}`, { petname: input.value.trim() });
      notice(`${petname} is called ${done.petname} now.`);
      then(done.petname);
    },
  });
  input.select();
}

export function remove(petname, then = () => {}) {
  confirm(`Remove ${petname}?`, `${petname} may use none of your services any more, and its streams end. You can add it again by its id.`, "Remove", async () => {
    const was = await ask("DELETE", `/contacts/${encodeURIComponent(petname)}`);
    notice(`${petname} is removed. To undo: overlay contacts add ${petname} ${was.endpoint_id}`);
    then();
  });
}

function addById() {
  const name = h("input", { autocomplete: "off", spellcheck: "false" });
  const id = h("input", { autocomplete: "off", spellcheck: "false" });
  dialog("Add a contact", [field("Name", name, "What you call it; nobody else sees that."), field("Endpoint id or ticket", id)], {
    words: "Add",
    submit: async () => {
      const done = await ask("POST", "/contacts", { petname: name.value.trim(), id_or_ticket: id.value.trim() });
      notice(`${done.petname} is a contact now.`);
    },
  });
}

/** Take an invite, a ticket or a spoken code: first tell what it says, then ask. */
function join() {
  const given = h("textarea", { rows: 3, autocomplete: "off", spellcheck: "false" });
  const name = h("input", { autocomplete: "off", spellcheck: "false", placeholder: "as they call themselves" });
  const said = h("div", { "aria-live": "polite" });
  let shown = "";
  dialog("Join", [field("Invite, ticket or spoken code", given, "A line that begins with overlay, or words such as 7-guitar-elbow."), field("Name", name, "What you will call them."), said], {
    words: "Continue",
    submit: async () => {
      let words = given.value.trim();
      if (/^\d+-/.test(words)) {
        words = (await ask("POST", "/codes/say", { code: words })).invite;
        given.value = words; // a code is good for one time
      }
      const wanted = `${words} ${name.value.trim()}`;
      const preview = wanted !== shown;
      const isInvite = words.toLowerCase().startsWith("overlay:i");
      const done = isInvite
        ? await ask("POST", "/invites/take", { invite: words, petname: name.value.trim(), preview })
        : await ask("POST", "/join", { ticket: words, petname: name.value.trim(), preview });
      if (preview) {
        shown = wanted;
        put(said, h("div", { class: "preview" }, h("p", {}, told(done, isInvite)), identity(done.contact.endpoint_id)));
        return false;
      }
      notice(`${done.contact.petname} is a contact now${done.state === "waiting" ? "; the invite is handed in when they are there" : ""}.`);
      return true;
    },
  });
}

function told(done, isInvite) {
  const known = done.known ? ", who is a contact already" : "";
  if (!isInvite) return `A ticket of ${done.contact.petname}${known}. Continue makes it a contact.`;
  const { invite } = done;
  const grants = invite.services?.length ? `lets you use ${invite.services.join(", ")}` : "makes you a contact";
  const until = invite.until === null || invite.until === undefined ? "until it is revoked" : `until ${when(invite.until)}`;
  const learns = done.learns?.length ? ` They learn your ${done.learns.join(", ")}.` : "";
  return `An invite of ${done.contact.petname}${known}: it ${grants} ${until}.${learns} Continue takes it.`;
}
