// Asking the gateway. The session's key is shown with each request; the browser adds the cookie by itself.

const KEY = "overlay-key";
export const HEADER = "Overlay-Key";

/** What the gateway says when it does not do something: a line for people, and a code. */
export class Refused extends Error {
  constructor(status, reply) {
    super(reply.error);
    this.status = status;
    this.code = reply.code ?? "";
    this.suggestion = reply.suggestion ?? "";
  }
}

let onLoggedOut = () => {};

/** Called when the session has ended. */
export function whenLoggedOut(callback) {
  onLoggedOut = callback;
}

export const key = () => localStorage.getItem(KEY) ?? "";

export function forgetKey() {
  localStorage.removeItem(KEY);
}

/** A request below `/v1`; the report, or Refused. */
export const ask = (method, path, body) => request(method, `/v1${path}`, body);

export async function request(method, path, body) {
  let reply;
  try {
    reply = await fetch(path, {
      method,
      headers: { [HEADER]: key(), ...(body === undefined ? {} : { "Content-Type": "application/json" }) },
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store",
    });
  } catch {
    throw new Refused(0, { error: "The gateway does not answer; is it still running?" });
  }
  const told = await reply.json().catch(() => ({}));
  if (reply.ok) return told;
  if (reply.status === 401) onLoggedOut();
  throw new Refused(reply.status, { error: told.error ?? `${reply.status} ${reply.statusText}`, ...told });
}

/** Hand the token of a link in, and keep the key it is worth. */
export async function logIn(token) {
  const { key: secret } = await request("POST", "/login", { token });
  localStorage.setItem(KEY, secret);
}

export async function logOut() {
  await request("POST", "/logout").catch(() => {});
  forgetKey();
}
