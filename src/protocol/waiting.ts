/** What is said while a person is waited for: in the stream every 15 s, on a screen every second. */

/** "4 minutes 30 seconds", "1 minute", "20 seconds". */
export function inWords(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const units: [number, string][] = [
    [Math.floor(whole / 86400), "day"],
    [Math.floor((whole % 86400) / 3600), "hour"],
    [Math.floor((whole % 3600) / 60), "minute"],
    [whole % 60, "second"],
  ];
  const parts = units.filter(([count]) => count > 0).slice(0, 2);
  if (parts.length === 0) return "0 seconds";
  return parts.map(([count, unit]) => `${count} ${unit}${count === 1 ? "" : "s"}`).join(" ");
}

/** `remaining`: seconds, where they are said. */
export const waitingForYou = (remaining?: number) =>
  `Waiting for you to sign in${remaining === undefined ? "" : `, ${inWords(remaining)} left`}.`;
