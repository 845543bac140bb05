// Numbers and times for people.

const UNITS = ["B", "KB", "MB", "GB", "TB"];

/** Bytes: `1.5 MB`, as the command line says it. */
export function amount(bytes) {
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}

/** Bytes in a second. */
export const rate = (bytes) => `${amount(bytes)}/s`;

/** Milliseconds, in three digits. */
export function milliseconds(value) {
  if (value === null || value === undefined) return "–";
  if (value >= 100) return `${Math.round(value)} ms`;
  return `${Number(value.toPrecision(value < 1 ? 2 : 3))} ms`;
}

/** A duration in its two largest units: `2 h 5 min`. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  let left = Math.floor(seconds);
  const parts = [];
  for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]]) {
    const count = Math.floor(left / size);
    left -= count * size;
    if (count || (unit === "s" && !parts.length)) parts.push(`${count} ${unit}`);
  }
  return parts.slice(0, 2).join(" ");
}

export const ago = (seconds) =>
  seconds === null || seconds === undefined ? "never" : seconds < 10 ? `${seconds.toFixed(1)} s ago` : `${duration(seconds)} ago`;

/** A day and time from unix seconds, in the reader's own zone. */
export function when(unix) {
  const date = new Date(unix * 1000);
  if (Number.isNaN(date.getTime())) return String(unix);
  const two = (number) => String(number).padStart(2, "0");
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${two(date.getHours())}:${two(date.getMinutes())}`;
}

/** The beginning of an id or serial. */
export const short = (id) => (id.length > 12 ? `${id.slice(0, 8)}…` : id);

/** A beacon's URL without what everyone of them has. */
export const beacon = (url) => url.split("#")[0].replace("https://", "");

export const percent = (share) =>
  share > 0.99 && share < 1 ? ">99 %" : `${Math.round(share * 100)} %`;
