/** A time as somebody says it: how far off it is. */

const plural = (count: number, unit: string) => `${count} ${unit}${count === 1 ? "" : "s"}`;

/** "in 4 minutes", "3 hours ago", "now". Of one unit, rounded: the stream has the exact time. */
export function fromNow(time: string, now: string): string {
  const seconds = Math.round((Date.parse(time) - Date.parse(now)) / 1000);
  if (seconds === 0) return "now";
  return seconds > 0 ? `in ${inOneUnit(seconds)}` : `${inOneUnit(-seconds)} ago`;
}

function inOneUnit(seconds: number): string {
  const [minutes, hours, days] = [60, 3600, 86_400].map((unit) => Math.round(seconds / unit)) as [
    number,
    number,
    number,
  ];
  if (seconds < 60) return plural(seconds, "second");
  if (minutes < 120) return plural(minutes, "minute");
  return hours < 48 ? plural(hours, "hour") : plural(days, "day");
}
