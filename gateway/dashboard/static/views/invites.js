// Letting others in, and taking that back.

import { ask, request } from "../api.js";
import { h, keyed, put } from "../dom.js";
import { short, when } from "../format.js";
import { on, report } from "../store.js";
import { badge, button, choice, confirm, copyable, dialog, empty, field, notice, panel, qr, row, table } from "../widgets.js";

export default { name: "invites", title: "Invites", kinds: ["invites", "services"], open };

const STATES = { open: "good", used: "off", expired: "off", revoked: "bad" };
const DAY = 86400;

function open(main) {
  const given = table("Invites that you made", ["For", "Grants", "State", "Taken by", "To be taken before", ""]);
  const noneGiven = empty("You made no invite yet.");
  const taken = table("Invites that you took", ["From", "Grants", "State", "Until"]);
  const noneTaken = empty("You took no invite yet; Contacts → Join takes one.");
  const showGiven = keyed(given.body, { key: (one) => one.invite.serial, make: (one) => row(["For"], ["Grants"], ["State"], ["Taken by"], ["To be taken before"], ["", h("div", { class: "tools" }, button("Revoke", () => revoke(one.invite.serial), { class: "quiet danger" }))]), update: updateGiven });
  const showTaken = keyed(taken.body, { key: (one) => one.invite.serial, make: () => row(["From"], ["Grants"], ["State"], ["Until"]), update: updateTaken });
  put(
    main,
    h("h1", {}, "Invites"),
    panel("Made by you", { about: "Whoever takes one is your contact, and may use the services that it names.", actions: [button("Invite…", () => makeInvite([]), { class: "primary" })] }, h("div", { class: "scroll" }, given.element, noneGiven)),
    panel("Taken by you", {}, h("div", { class: "scroll" }, taken.element, noneTaken)),
  );
  const ends = [
    on("invites", (invites) => {
      if (typeof invites === "string") return;
      const issued = [...(invites.issued ?? [])].sort((a, b) => b.invite.issued - a.invite.issued);
      given.element.hidden = !issued.length;
      noneGiven.hidden = issued.length > 0;
      showGiven(issued.slice(0, 300));
      const held = invites.held ?? [];
      taken.element.hidden = !held.length;
      noneTaken.hidden = held.length > 0;
      showTaken(held.slice(0, 300));
    }),
  ];
  return () => ends.forEach((end) => end());
}

const grants = (services) => (services?.length ? h("span", { class: "tags" }, services.map((name) => h("span", { class: "tag" }, name))) : "contact only");

function updateGiven(made, one) {
  const { invite } = one;
  const [who, what, state, by, before, tools] = made.children;
  put(who, h("strong", {}, invite.petname || (invite.holder ? short(invite.holder) : "anybody")), h("small", {}, h("code", {}, short(invite.serial))));
  put(what, grants(invite.services));
  put(state, badge(STATES[one.state] ?? "off", one.state), h("small", {}, `${one.used ?? 0} of ${invite.uses ?? 1}`));
  put(by, one.taken?.length ? one.taken.map((each) => h("div", {}, each.petname || short(each.endpoint_id), each.in_force ? null : h("small", {}, "ended"))) : "–");
  put(before, when(invite.expires));
  tools.firstElementChild.hidden = one.state === "revoked";
}

function updateTaken(made, one) {
  const [from, what, state, until] = made.children;
  put(from, one.contact || short(one.invite.issuer_id));
  put(what, grants(one.services?.length ? one.services : one.invite.services));
  put(state, badge(one.state === "redeemed" ? "good" : one.state === "waiting" ? "fair" : "bad", one.state), one.reason ? h("small", {}, one.reason) : null);
  put(until, one.until ? when(one.until) : "–");
}

function revoke(serial) {
  const one = report("invites")?.issued?.find((each) => each.invite.serial === serial);
  const names = one?.taken?.filter((each) => each.in_force).map((each) => each.petname || short(each.endpoint_id)) ?? [];
  const ends = names.length ? ` What it let ${names.join(", ")} use ends now.` : "";
  confirm("Revoke this invite?", `Nobody can take it any more.${ends} It cannot be undone; you can make another.`, "Revoke", async () => {
    await ask("DELETE", `/invites/${encodeURIComponent(serial)}`);
    notice("The invite is revoked.");
  });
}

/** Make an invite, then show it: as text, as a QR code, and as the command for the other side. */
export function makeInvite(chosen) {
  const services = (report("services") ?? []).map((one) => one.name);
  const boxes = new Map(services.map((name) => [name, h("input", { type: "checkbox", checked: chosen.includes(name) })]));
  const name = h("input", { autocomplete: "off", spellcheck: "false", placeholder: "as they call themselves" });
  const expires = choice([[String(DAY / 24), "an hour"], [String(DAY), "a day"], [String(7 * DAY), "a week"], [String(30 * DAY), "a month"]], String(7 * DAY));
  const lasts = choice([["", "as long as the invite"], [String(30 * DAY), "30 days"], [String(365 * DAY), "a year"], ["forever", "until it is revoked"]], "");
  const uses = h("input", { value: "1", inputmode: "numeric", autocomplete: "off" });
  dialog("Invite", [
    h("fieldset", {}, h("legend", {}, "Lets them use"), services.length ? [...boxes].map(([each, box]) => h("label", { class: "check" }, box, " ", each)) : h("p", { class: "about" }, "No service is exposed: it makes a contact, and grants nothing.")),
    field("Name", name, "What you will call whoever takes it."),
    h("div", { class: "pair" }, field("To be taken within", expires), field("What it grants lasts", lasts)),
    field("How many may take it", uses),
  ], {
    words: "Make",
    submit: async () => {
      const made = await ask("POST", "/invites", {
        services: [...boxes].filter(([, box]) => box.checked).map(([each]) => each),
        name: name.value.trim(),
        expires_in: Number(expires.value),
        lasts: lasts.value === "" ? null : lasts.value === "forever" ? "forever" : Number(lasts.value),
        uses: Number(uses.value),
      });
      const { rows } = await request("POST", "/qr", { text: made.invite });
      showInvite(made, rows);
    },
  });
}

function showInvite(made, rows) {
  const services = made.services?.length ? `lets them use ${made.services.join(", ")}` : "makes a contact";
  const until = made.until === null || made.until === undefined ? "until it is revoked" : `until ${when(made.until)}`;
  dialog("Give this to them", [
    h("p", {}, `It ${services} ${until}. Whoever has it can take it, ${made.uses > 1 ? `${made.uses} times` : "once"}, before ${when(made.expires)}: pass it on as you would a key.`),
    qr(rows, "The invite as a QR code"),
    h("div", { class: "long" }, h("span", { class: "label" }, "The invite"), copyable(made.invite, { block: true, label: "Copy the invite" })),
    h("div", { class: "long" }, h("span", { class: "label" }, "What they run"), copyable(made.command, { block: true, label: "Copy the command", shown: made.command.replace(made.invite, `${made.invite.slice(0, 28)}…`) })),
    made.undo ? h("div", { class: "long" }, h("span", { class: "label" }, "To undo"), copyable(made.undo, { block: true })) : null,
  ], { close: "Done" });
}
