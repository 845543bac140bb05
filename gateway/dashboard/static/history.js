// What moved in the last minutes: rates and round trips, made of counts. Bounded in time and in the number of peers.

export const SECONDS = 180;
const PEERS = 512;
export const ALL = "";

export class History {
  constructor() {
    this.series = new Map(); // id, or ALL → [{at, received, sent, rtt, path}]
    this.last = null;
  }

  /** Take a report; false if it is not newer than the last one. */
  add(live) {
    const before = this.last;
    if (before && live.moment <= before.moment) {
      if (live.started === before.started) return false;
      this.series.clear(); // another gateway, whose clock began again
    }
    this.last = live;
    if (!before || live.started !== before.started) return true;
    const seconds = live.moment - before.moment;
    if (seconds > 30) return true; // nobody looked meanwhile: what it was then is not known
    this.put(ALL, live.moment, live, before, seconds);
    const known = new Map(before.peers.map((peer) => [peer.endpoint_id, peer]));
    for (const peer of live.peers.slice(0, PEERS)) {
      this.put(peer.endpoint_id, live.moment, peer, known.get(peer.endpoint_id) ?? peer, seconds);
    }
    for (const [id, points] of this.series) {
      while (points.length && points[0].at < live.moment - SECONDS) points.shift();
      if (!points.length) this.series.delete(id);
    }
    return true;
  }

  put(id, at, now, before, seconds) {
    if (!this.series.has(id)) this.series.set(id, []);
    this.series.get(id).push({
      at,
      received: Math.max(0, now.received - before.received) / seconds,
      sent: Math.max(0, now.sent - before.sent) / seconds,
      rtt: now.rtt === null || now.rtt === undefined ? null : now.rtt * 1000,
      path: now.path ?? "",
    });
  }

  of(id) {
    return this.series.get(id) ?? [];
  }

  /** The newest rates of an endpoint, or of all. */
  now(id) {
    return this.of(id).at(-1) ?? { received: 0, sent: 0, rtt: null, path: "" };
  }

  get moment() {
    return this.last?.moment ?? 0;
  }
}
