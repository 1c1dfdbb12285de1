/** Numbers, dates and sizes as people read them. */

const COUNT = new Intl.NumberFormat("en");
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "long", year: "numeric" });
const MONTH = new Intl.DateTimeFormat("en-GB", { month: "long", year: "numeric" });
const TIME = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });

export const number = (value) => COUNT.format(value);

export const count = (value, one, many = `${one}s`) =>
  `${number(value)} ${value === 1 ? one : many}`;

export const day = (iso) => DAY.format(new Date(iso));
export const month = (iso) => MONTH.format(new Date(iso));
export const moment = (iso) => `${day(iso)}, ${TIME.format(new Date(iso))}`;

export function bytes(value) {
  const units = ["bytes", "KB", "MB", "GB", "TB"];
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) [value, unit] = [value / 1000, unit + 1];
  return `${value >= 10 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

export function duration(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${(minutes / 60).toFixed(1)} h`;
}

/** A time of a video: 1:23, 1:02:03. */
export function clock(seconds) {
  const [hour, minute, second] = [seconds / 3600, (seconds / 60) % 60, seconds % 60].map(Math.floor);
  const two = (value) => String(value).padStart(2, "0");
  return hour ? `${hour}:${two(minute)}:${two(second)}` : `${minute}:${two(second)}`;
}

/** The folder that a path is in. */
export const folderOf = (path) => path.replace(/[\\/][^\\/]*$/, "") || "/";

export const nameOf = (path) => path.split(/[\\/]/).filter(Boolean).pop() ?? path;
